package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pg-bgw/pg-bgw/dbusapi"
	"github.com/pg-bgw/pg-bgw/shm/control"
	"golang.org/x/sys/unix"
)

// bareRoles speak the control socket without the library, or nothing at all.
var bareRoles = map[string]func() int{
	"flood": flood, "waits": tooManyWaits, "huge": huge, "registrar": registrar, "stranger": stranger,
}

// controlFd is the number of the control socket in a worker with a segment.
const controlFd = 5

func send(r control.Record) error {
	b, err := r.Append(nil)
	if err == nil {
		_, err = unix.Write(controlFd, b)
	}
	return err
}

func receive() (r control.Record, err error) {
	buf := make([]byte, control.MaxRecord)
	n, err := unix.Read(controlFd, buf)
	if err == nil && n == 0 {
		err = errors.New("closed")
	}
	if err == nil {
		err = r.Decode(buf[:n])
	}
	return r, err
}

func blocking() {
	if err := unix.SetNonblock(controlFd, false); err != nil {
		panic(err)
	}
}

// flood asks without end and never reads an answer, until it is cut off.
func flood() int {
	blocking()
	for id := uint64(1); ; id++ {
		if err := send(control.Record{Type: control.Hello, ID: id, Text: "flood"}); err != nil {
			fmt.Println("cut off after", id > 100, err)
			select {}
		}
	}
}

// tooManyWaits holds 32 waits; the next is refused, and other requests are
// answered meanwhile.
func tooManyWaits() int {
	blocking()
	slot, _ := strconv.ParseUint(os.Getenv("PGBGW_SLOT"), 10, 32)
	generation, _ := strconv.ParseUint(os.Getenv("PGBGW_GENERATION"), 10, 64)
	own := control.Handle{Slot: uint32(slot), Generation: generation}
	for id := uint64(1); id <= 33; id++ {
		if err := send(control.Record{Type: control.WaitShutdown, ID: id, Handle: own, TimeoutUSec: 1e12}); err != nil {
			fmt.Println("send:", err)
			return 3
		}
	}
	r, err := receive()
	fmt.Println("answer to", r.ID, r.Errno == syscall.EMLINK, err)
	_ = send(control.Record{Type: control.Hello, ID: 99})
	r, err = receive()
	fmt.Println("answer to", r.ID, r.Text != "", err)
	select {}
}

// huge sends what is longer than any record.
func huge() int {
	blocking()
	_, err := unix.Write(controlFd, make([]byte, 2*control.MaxRecord))
	_, err2 := receive()
	fmt.Println("sent", err, "then", err2)
	select {}
}

func bare(label, role string) string {
	return fmt.Sprintf(`worker %q {
  command      = [%q]
  flags        = ["shmem_access"]
  restart_time = "never"
  environment  = { TEST_ROLE = %q }
}
`, label, testProgram(), role)
}

func (s *supervisor) says(text string) {
	s.t.Helper()
	s.poll(text, func() bool { return strings.Contains(s.log.String(), text) })
}

// TestControlSocketFlood: who does not read its answers loses its socket, and
// nobody waits for it.
func TestControlSocketFlood(t *testing.T) {
	s := start(t, startBus(t), map[string]string{"workers.d/10.hcl": bare("flood", "flood") + bare("huge", "huge") + bare("waits", "waits")})
	s.says("cut off after true")
	s.says("answer to 33 true <nil>")
	s.says("answer to 99 true <nil>")
	s.says("then closed")
	s.running(s.register(definition("other", 0, "/bin/sleep", "1000")))
	for _, label := range []string{"flood", "huge", "waits"} {
		if w := s.worker(label); w.State != "running" {
			t.Errorf("%s is %s: %s", label, w.State, w.Reason)
		}
	}
}

// gcLine is what Go says of a collection with GODEBUG=gctrace=1: the last number
// is what was in use after it, in MiB.
var gcLine = regexp.MustCompile(`\d+->\d+->(\d+) MB`)

// TestOutputWithoutLines: a worker that writes without end and without a line
// break costs a bounded part of the daemon's memory, and delays nobody. How much
// it takes from the kernel says nothing: that is up to how busy the machine is.
func TestOutputWithoutLines(t *testing.T) {
	s := prepare(t, startBus(t), nil)
	s.run("GODEBUG=gctrace=1")
	s.until("READY=1")
	s.connect()
	h := s.register(definition("loud", never, "/bin/sh", "-c", "head -c 20000000 /dev/zero | tr '\\0' x"))
	s.running(s.register(definition("other", 0, "/bin/sleep", "1000")))
	if w := s.exited(h); w.ExitCode != 0 {
		t.Errorf("it is %+v", w)
	}
	collections, most := 0, 0
	for line := range strings.Lines(s.log.String()) {
		if !strings.Contains(line, " MB goal") {
			continue
		}
		if m := gcLine.FindStringSubmatch(line); m != nil {
			collections++
			n, _ := strconv.Atoi(m[1])
			most = max(most, n)
		}
	}
	if t.Logf("%d collections, at most %d MiB in use", collections, most); collections == 0 || most > 12 {
		t.Errorf("after %d collections up to %d MiB are in use", collections, most)
	}
}

// status returns a number of /proc/PID/status.
func (s *supervisor) status(field string) (n int) {
	s.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "\n"+field+":")
	if _, err := fmt.Sscan(rest, &n); err != nil {
		s.t.Fatalf("%s: %v", field, err)
	}
	return n
}

// descriptors returns how many the daemon holds, and what they are: of several
// looks the one that saw fewest, since some are open for a moment only.
func (s *supervisor) descriptors() (n int, list string) {
	s.t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid)
	for look := range 10 {
		entries, err := os.ReadDir(dir)
		if err != nil {
			s.t.Skipf("cannot count descriptors of a process that is not dumpable: %v", err)
		}
		if look == 0 || len(entries) < n {
			n, list = len(entries), ""
			for _, e := range entries {
				target, _ := os.Readlink(dir + "/" + e.Name())
				list += e.Name() + " " + target + "\n"
			}
		}
		time.Sleep(time.Millisecond)
	}
	return n, list
}

// TestDescriptors holds how many descriptors a worker costs the daemon: its
// pidfd, its control socket, the pipe of its output (none where there is a
// journal) and its slot's latch. The last stays with the slot; nothing else
// outlives the process.
func TestDescriptors(t *testing.T) {
	s := start(t, startBus(t), nil)
	add := func(n int) (handles []dbusapi.Handle) {
		for range n {
			handles = append(handles, s.register(definition("idle", 0, "/bin/sleep", "1000")))
		}
		for _, h := range handles {
			s.running(h)
		}
		return handles
	}
	first := add(10)
	ten, _ := s.descriptors()
	second := add(10)
	twenty, list := s.descriptors()
	if d := twenty - ten; d != 10*4 {
		t.Errorf("10 workers more are %d descriptors more:\n%s", d, list)
	}
	for _, h := range append(second, first...) {
		if err := s.client.TerminateBackgroundWorker(s.ctx(), h); err != nil {
			t.Fatal(err)
		}
		s.exited(h)
	}
	var none int
	s.poll("descriptors to close", func() bool { none, list = s.descriptors(); return none == ten-10*4+20 })
	// 300 lives leave nothing, of starts that fail neither.
	loop := s.register(definition("loop", 0, "/bin/sh", "-c", "exit 1"))
	for range 20 {
		s.exited(s.register(definition("missing", never, "/nonexistent/program")))
	}
	s.when(loop, "the 300th start", func(w dbusapi.WorkerInfo) bool { return w.StartNumber >= 300 })
	if err := s.client.TerminateBackgroundWorker(s.ctx(), loop); err != nil {
		t.Fatal(err)
	}
	s.when(loop, "ended", func(w dbusapi.WorkerInfo) bool { return w.State == "ended" })
	var after int
	s.poll(fmt.Sprintf("%d descriptors", none), func() bool { after, list = s.descriptors(); return after == none })
}

// TestGoroutines: their number does not depend on the number of workers. The
// daemon tells it itself, as it does when its watchdog aborts it.
func TestGoroutines(t *testing.T) {
	count := func(workers int) int {
		s := prepare(t, startBus(t), nil)
		s.run("GOTRACEBACK=all")
		s.until("READY=1")
		s.connect()
		for range workers {
			s.running(s.register(definition("idle", 0, "/bin/sleep", "1000")))
		}
		var pids []uint32
		list, err := s.client.Workers(s.ctx())
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range list {
			pids = append(pids, w.MainPID)
		}
		s.signal(syscall.SIGABRT)
		if code := s.exitCode(); code != 2 {
			t.Errorf("exit code %d", code)
		}
		for _, pid := range pids { // no library, no cgroup: nobody else ends them
			if pid != 0 {
				_ = syscall.Kill(int(pid), syscall.SIGKILL)
			}
		}
		return strings.Count(s.log.String(), "\ngoroutine ")
	}
	few, many := count(2), count(40)
	if many > few+2 { // calls under way
		t.Errorf("%d goroutines with 2 workers, %d with 40", few, many)
	}
}

// TestExitStorm: a hundred workers that exit at once and start again at once
// leave the daemon answering, and can be ended.
func TestExitStorm(t *testing.T) {
	s := start(t, startBus(t), nil)
	var storm []dbusapi.Handle
	for range 100 {
		storm = append(storm, s.register(definition("storm", 0, "/bin/false")))
	}
	calm := s.register(definition("calm", 0, "/bin/sleep", "1000"))
	s.running(calm)
	s.when(storm[99], "10 starts", func(w dbusapi.WorkerInfo) bool { return w.StartNumber >= 10 })
	for _, h := range storm {
		if err := s.client.TerminateBackgroundWorker(s.ctx(), h); err != nil {
			t.Fatal(err)
		}
	}
	for _, h := range storm {
		s.when(h, "ended", func(w dbusapi.WorkerInfo) bool { return w.State == "ended" })
	}
	if m, err := s.client.Manager(s.ctx()); err != nil || m.Workers != 1 {
		t.Errorf("the manager says %+v, %v", m, err)
	}
}

// TestNoDescriptorsLeft: where the limit of descriptors is reached, starts
// fail with that reason, and succeed when there is room again.
func TestNoDescriptorsLeft(t *testing.T) {
	s := prepare(t, startBus(t), nil)
	s.wrap = []string{"/bin/sh", "-c", `ulimit -n 80; exec "$@"`, "sh"}
	s.run()
	s.until("READY=1")
	s.connect()
	var handles []dbusapi.Handle
	for range 40 {
		handles = append(handles, s.register(definition("idle", 0, "/bin/sleep", "1000")))
	}
	var last dbusapi.WorkerInfo // whichever of them: a start that ends makes room for another
	s.poll("a start that failed", func() bool {
		all, err := s.client.Workers(s.ctx())
		i := slices.IndexFunc(all, func(w dbusapi.WorkerInfo) bool { return strings.Contains(w.Reason, "too many open files") })
		if err == nil && i >= 0 {
			last = all[i]
		}
		return err == nil && i >= 0
	})
	if last.Status == dbusapi.StatusStarted {
		t.Errorf("it is %+v", last)
	}
	for _, h := range handles {
		if h == last.Handle {
			continue
		}
		if err := s.client.TerminateBackgroundWorker(s.ctx(), h); err != nil {
			t.Fatal(err)
		}
	}
	s.running(last.Handle)
	s.signal(syscall.SIGTERM)
	if code := s.exitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
