package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pg-bgw/pg-bgw/dbusapi"
	"github.com/pg-bgw/pg-bgw/shm"
	"github.com/pg-bgw/pg-bgw/shm/control"
)

func init() {
	bareRoles["named"] = func() int { return sharing(nameSegment) }
	bareRoles["passes"] = func() int { return sharing(passSegment) }
}

// A board is a directory in which workers write what they have to say, each on
// a sheet of its own.
type board string

func newBoard(t *testing.T) board {
	dir := t.TempDir()
	mustRun(t, "chmod", "a+rwx", dir)
	return board(dir)
}

func (b board) path(sheet string) string { return filepath.Join(string(b), sheet) }

func (b board) write(sheet, text string) {
	if err := os.WriteFile(b.path(sheet), []byte(text+"\n"), 0o666); err != nil {
		fmt.Println(err)
	}
}

// once reports whether nobody has done that before.
func (b board) once(sheet string) bool {
	return os.Mkdir(b.path(sheet), 0o777) == nil
}

// read waits for a sheet.
func (b board) read(sheet string) string {
	for {
		if text, ok := strings.CutSuffix(readOr(b.path(sheet), ""), "\n"); ok {
			return text
		}
		time.Sleep(time.Millisecond)
	}
}

// sharing is a worker that attaches, does f, and writes what it says on the
// sheet of its name and start.
func sharing(f func(context.Context, *shm.Worker, board) (string, error)) int {
	ctx := context.Background()
	w, err := shm.Open()
	if err == nil {
		err = w.Attach(ctx)
	}
	if err != nil {
		fmt.Println(err)
		return 99
	}
	b := board(os.Getenv("TEST_BOARD"))
	b.write("attached."+w.Self().Name, "")
	text, err := f(ctx, w, b)
	if err != nil {
		text = "failed: " + err.Error()
	}
	b.write(fmt.Sprintf("%s.%d", w.Self().Name, w.Self().Start), text)
	<-w.Done()
	return 1
}

func sharer(name, role string, b board) string {
	return fmt.Sprintf(`worker %q {
  command      = [%q]
  flags        = ["shmem_access"]
  restart_time = 3600
  environment  = { TEST_ROLE = %q, TEST_BOARD = %q }
}
`, name, testProgram(), role, string(b))
}

const (
	namers    = 10
	namedSize = 100_000
)

// nameSegment gets the segment "shared". The first to fill it fails, and the
// second is killed.
func nameSegment(ctx context.Context, w *shm.Worker, b board) (string, error) {
	failed := errors.New("the first one fails")
	fill := func(data []byte) error {
		switch {
		case b.once("failed"):
			data[0] = 77
			return failed
		case b.once("killed"):
			for i := range namers { // so that all are in this crash
				b.read(fmt.Sprintf("attached.w%d", i))
			}
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			<-w.Done()
		}
		if !b.once(fmt.Sprintf("filled.%d", w.Self().Start)) { // in each life of the segment
			return errors.New("BGW-139: filled twice")
		}
		time.Sleep(20 * time.Millisecond) // the others are to find it unfilled
		data[0]++
		data[namedSize-1] = 5
		return nil
	}
	d, _, err := w.NamedDynamic(ctx, "shared", namedSize, fill)
	if errors.Is(err, failed) {
		d, _, err = w.NamedDynamic(ctx, "shared", namedSize, fill)
	}
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d has %d and %d", d.Handle(), d.Data()[0], d.Data()[namedSize-1]), nil
}

// TestNamedDynamicSegment holds BGW-139: ten ask at once; the first one fails to
// fill it, the second dies of it, upon which all begin anew, and then one fills
// it for all.
func TestNamedDynamicSegment(t *testing.T) {
	b := newBoard(t)
	var files strings.Builder
	for i := range namers {
		files.WriteString(sharer(fmt.Sprintf("w%d", i), "named", b))
	}
	s := start(t, startBus(t), map[string]string{"workers.d/10.hcl": files.String()})
	first := s.content(b.path("w0.2"))
	if !strings.HasSuffix(first, "has 1 and 5") {
		t.Errorf("BGW-139: %s", first)
	}
	for i := 1; i < namers; i++ {
		if got := s.content(b.path(fmt.Sprintf("w%d.2", i))); got != first {
			t.Errorf("BGW-139: w%d: %s; w0: %s", i, got, first)
		}
	}
}

// passSegment is two workers with one dynamic segment: "maker" makes it,
// "taker" attaches it, and then the maker leaves it.
func passSegment(ctx context.Context, w *shm.Worker, b board) (string, error) {
	run := strconv.FormatUint(w.Self().Start, 10)
	if w.Self().Name == "maker" {
		d, err := w.CreateDynamic(ctx, 1<<20)
		if err != nil {
			return "", err
		}
		copy(d.Data(), "from the maker")
		b.write("handle."+run, strconv.FormatUint(uint64(d.Handle()), 10))
		b.read("taken." + run)
		return "has left", d.Detach(ctx)
	}
	number, err := strconv.ParseUint(b.read("handle."+run), 10, 32)
	if err != nil {
		return "", err
	}
	handle := uint32(number)
	d, err := w.AttachDynamic(ctx, handle)
	if err != nil {
		return "", err
	}
	if _, err := w.AttachDynamic(ctx, handle); !errors.Is(err, shm.ErrMapped) {
		return "", fmt.Errorf("BGW-137: attached twice: %w", err)
	}
	b.write("taken."+run, "")
	b.read("maker." + run)
	said := string(d.Data()[:14])
	if err := d.Detach(ctx); err != nil {
		return "", err
	}
	if _, err := w.AttachDynamic(ctx, handle); !errors.Is(err, shm.ErrNoDynamic) {
		return "", fmt.Errorf("BGW-135, BGW-136: nobody has it, and it is there: %w", err)
	}
	if _, err = w.CreateDynamic(ctx, 1<<20+1); !errors.Is(err, syscall.EDQUOT) {
		return "", fmt.Errorf("more than dynamic_memory_max: %w", err)
	}
	pinned, err := w.CreateDynamic(ctx, 1<<20) // what was removed is not charged
	if err != nil {
		return "", err
	}
	return said, errors.Join(pinned.Pin(ctx), pinned.Detach(ctx))
}

// TestDynamicSegments holds BGW-135 to BGW-137 from worker to worker, and the
// limit of the configuration; a crash removes even what is pinned.
func TestDynamicSegments(t *testing.T) {
	b := newBoard(t)
	s := start(t, startBus(t), map[string]string{
		"pg-bgw.hcl":       "dynamic_memory_max = \"1MiB\"\n",
		"workers.d/10.hcl": sharer("maker", "passes", b) + sharer("taker", "passes", b),
	})
	for _, run := range []string{"1", "2"} {
		if got := s.content(b.path("maker." + run)); got != "has left" {
			t.Errorf("start %s: the maker %s", run, got)
		}
		if got := s.content(b.path("taker." + run)); got != "from the maker" {
			t.Errorf("start %s: the taker has %s", run, got)
		}
		sendSignal(t, s.attached("taker").MainPID, syscall.SIGKILL)
	}
}

func init() { bareRoles["greedy"] = greedy }

// greedy asks for dynamic segments without end, reads no answer, and sends what
// makes no sense in between.
func greedy() int {
	fd := controlDescriptor()
	send := func(r control.Record) bool {
		b, err := r.Append(nil)
		for err == nil {
			if err = control.Send(fd, b, -1); errors.Is(err, syscall.EAGAIN) {
				time.Sleep(time.Millisecond)
				err = nil
				continue
			}
			break
		}
		return err == nil
	}
	send(control.Record{Type: control.Attach, ID: 1})
	for id := uint64(2); ; id++ {
		r := control.Record{Type: control.DynamicCreate, ID: id, Size: 1}
		switch id % 8 {
		case 1:
			r.Size = 1<<64 - 1
		case 2:
			r = control.Record{Type: control.DynamicNamed, ID: id, Size: id, Text: "n"}
		case 3:
			r = control.Record{Type: control.DynamicReady, ID: id, Segment: uint32(id), Done: true}
		case 4:
			r = control.Record{Type: control.DynamicUnpin, ID: id, Segment: 1}
		}
		if !send(r) {
			break // the supervisor has closed the socket
		}
	}
	board(os.Getenv("TEST_BOARD")).write("greedy", "closed")
	select {}
}

// TestGreedyWorker: one that asks without end loses its socket and costs nobody
// anything: after its end the supervisor has as many descriptors as before, and
// all of the limits.
func TestGreedyWorker(t *testing.T) {
	b := newBoard(t)
	s := start(t, startBus(t), map[string]string{
		"pg-bgw.hcl":       "max_dynamic_segments = 100\n",
		"workers.d/10.hcl": sleeper("witness", ""),
	})
	s.state("witness", "running")
	fds := func() int {
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
		if err != nil {
			t.Skip(err) // it is not dumpable, and we are not root
		}
		return len(entries)
	}
	first := fds()
	d := definition("greedy", never, testProgram())
	d.Set |= dbusapi.KeyEnvironment
	d.Environment = map[string]string{"TEST_ROLE": "greedy", "TEST_BOARD": string(b)}
	h := s.register(d)
	s.content(b.path("greedy"))
	if n := fds(); n > first+150 {
		t.Errorf("the supervisor has %d descriptors, before %d", n, first)
	}
	sendSignal(t, s.info(h).MainPID, syscall.SIGKILL)
	s.exited(h)
	s.poll("the descriptors", func() bool { return fds() <= first+4 }) // a latch and a segment stay
	s.state("witness", "running")
}
