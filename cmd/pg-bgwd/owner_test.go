package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/pg-bgw/pg-bgw/dbusapi"
	"github.com/pg-bgw/pg-bgw/shm/control"
)

// nobody is the uid and gid of a user who is neither root nor the daemon's.
const nobody = 65534

// TestOwnerIsSignalled: who asks for it gets SIGUSR1 beside each notification.
func TestOwnerIsSignalled(t *testing.T) {
	s := start(t, startBus(t), map[string]string{"pg-bgw.hcl": "max_worker_processes = 1\n"})
	none, _ := s.descriptors()
	got := make(chan os.Signal, 8)
	signal.Notify(got, syscall.SIGUSR1)
	defer signal.Stop(got)
	h, err := s.client.RegisterDynamicBackgroundWorker(s.ctx(), definition("one", never, "/bin/sleep", "1000"), dbusapi.RegisterSignalCaller)
	if err != nil {
		t.Fatal(err)
	}
	<-got         // its start
	for range 3 { // what fails takes nothing away and leaves nothing behind
		_, err := s.client.RegisterDynamicBackgroundWorker(s.ctx(), definition("two", never, "/bin/sleep", "1000"), dbusapi.RegisterSignalCaller)
		if !dbusapi.IsError(err, dbusapi.ErrorNoFreeSlot) {
			t.Errorf("it says %v", err)
		}
	}
	if err := s.client.TerminateBackgroundWorker(s.ctx(), h); err != nil {
		t.Fatal(err)
	}
	<-got // its exit
	if st, _, err := s.client.GetBackgroundWorkerPid(s.ctx(), h); st != dbusapi.StatusStopped || err != nil {
		t.Errorf("when the signal came, the worker was %v, %v", st, err)
	}
	s.client.Close() // the daemon forgets us; the segment and the slot's latch stay
	s.poll("descriptors to close", func() bool { n, _ := s.descriptors(); return n == none+1+1 })
}

// TestOwnerCannotBeSignalled: another user's process is refused when it asks,
// not let down when it waits; and nothing is kept of it.
func TestOwnerCannotBeSignalled(t *testing.T) {
	asRoot(t)
	b := startBus(t)
	open(t, b.dir)
	s := prepare(t, b, nil)
	s.as = &syscall.Credential{Uid: nobody, Gid: nobody}
	open(t, s.dir)
	mustRun(t, "chown", "-R", strconv.Itoa(nobody), s.dir)
	s.run()
	s.until("READY=1")
	s.connect()
	before, list := s.descriptors()
	for range 3 {
		_, err := s.client.RegisterDynamicBackgroundWorker(s.ctx(), definition("one", never, "/bin/sleep", "1000"), dbusapi.RegisterSignalCaller)
		if !dbusapi.IsError(err, dbusapi.ErrorNotSupported) {
			t.Errorf("it says %v", err)
		}
	}
	if after, now := s.descriptors(); after != before {
		t.Errorf("%d descriptors are %d:\n%s%s", before, after, list, now)
	}
	s.running(s.register(definition("two", never, "/bin/sleep", "1000"))) // an unprivileged daemon works
}

// open makes a test's directory one that others may pass through.
func open(t *testing.T, dir string) {
	t.Helper()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// newOwner gives s a client that hears only what is meant for it.
func (s *supervisor) newOwner() <-chan dbusapi.Event {
	s.t.Helper()
	s.client.Close()
	c, err := dbusapi.Dial(s.bus.address)
	if err != nil {
		s.t.Fatal(err)
	}
	events, err := c.Events(s.ctx(), false)
	if err != nil {
		s.t.Fatal(err)
	}
	s.client = c
	return events
}

// TestNotifyPid: 0 is nobody (BGW-046), a foreign pid is accepted and nobody
// (BGW-047), one's own is oneself. What came first would have been heard first.
func TestNotifyPid(t *testing.T) {
	s := start(t, startBus(t), nil)
	own := s.newOwner()
	for _, pid := range []uint32{0, 1, uint32(os.Getpid())} {
		d := definition(fmt.Sprint("notifies-", pid), never, "/bin/true")
		d.Set |= dbusapi.KeyNotifyPid
		d.NotifyPid = pid
		h := s.register(d)
		s.exited(h)
		mine := pid == uint32(os.Getpid())
		if w := s.info(h); (w.Owner != "") != mine {
			t.Errorf("with NotifyPid %d the owner is %q", pid, w.Owner)
		}
		if !mine { // a signal to nobody cannot be asked for
			if _, err := s.client.RegisterDynamicBackgroundWorker(s.ctx(), d, dbusapi.RegisterSignalCaller); !dbusapi.IsError(err, dbusapi.ErrorInvalidArgs) {
				t.Errorf("a signal with NotifyPid %d: %v", pid, err)
			}
			continue
		}
		for e := range own {
			if e.Kind == dbusapi.EventStateChanged && e.Handle != h {
				t.Errorf("notified of %s", e.Handle)
			}
			if e.Kind == dbusapi.EventStateChanged && e.Change.State == "ended" {
				break
			}
		}
	}
}

// TestSlotIsFreeWhenTold: BGW-045.
func TestSlotIsFreeWhenTold(t *testing.T) {
	s := start(t, startBus(t), map[string]string{"pg-bgw.hcl": "max_worker_processes = 1\n"})
	own := s.newOwner()
	for range 10 {
		h := s.register(definition("one", never, "/bin/true")) // fails with NoFreeSlot where the rule is broken
		for e := range own {
			if e.Kind == dbusapi.EventStateChanged && e.Handle == h && e.Change.State == "ended" {
				break
			}
		}
	}
}

// TestBurst: BGW-050: ten at once all start.
func TestBurst(t *testing.T) {
	s := start(t, startBus(t), nil)
	handles := make([]dbusapi.Handle, 10)
	var all sync.WaitGroup
	for i := range handles {
		all.Go(func() {
			h, err := s.client.RegisterDynamicBackgroundWorker(s.ctx(), definition("burst", never, "/bin/sleep", "1000"), 0)
			if err != nil {
				t.Error(err)
			}
			handles[i] = h
		})
	}
	all.Wait()
	for _, h := range handles {
		s.running(h)
	}
}

// registrar is a worker that registers children over its control socket: in its
// first life one that it wants to be signalled for and one that is stopped with
// it, before it exits with 1. In its second life it counts the signals that it
// gets; SIGWINCH ends the count.
func registrar() int {
	blocking()
	marker := os.Getenv("MARKER")
	if _, err := os.Stat(marker); err != nil {
		child := func(id uint64, name string, flags uint64, with uint64) {
			err := send(control.Record{Type: control.Register, ID: id, Flags: flags, Pairs: []control.Pair{
				{Key: control.KeyName, Value: name}, {Key: control.KeyFlags, Value: []string{"shmem_access"}},
				{Key: control.KeyRestartTime, Value: int64(-1)}, {Key: control.KeyCommand, Value: []string{"/bin/sleep", "1000"}},
				{Key: control.KeyStopWithOwner, Value: with},
			}})
			for err == nil { // the answer; what else comes is of no interest
				var r control.Record
				if r, err = receive(); r.ID == id {
					fmt.Println("registered", name, r.Errno, r.Text)
					return
				}
			}
			fmt.Println("cannot register", name, err)
		}
		usr1 := make(chan os.Signal, 1)
		signal.Notify(usr1, syscall.SIGUSR1)
		child(1, "signalled", control.RegisterSignal, 0)
		<-usr1 // its start
		child(2, "tied", 0, 1)
		_ = os.WriteFile(marker, nil, 0o644)
		return 1
	}
	got := make(chan os.Signal, 8)
	signal.Notify(got, syscall.SIGUSR1, syscall.SIGWINCH)
	_ = os.WriteFile(marker+".second", []byte("up\n"), 0o644)
	for sig := range got {
		fmt.Println("second life got", sig)
	}
	return 1
}

// TestOwnerIsAWorker: a worker that asked for it gets SIGUSR1; the process that
// comes after it does not (BGW-048); what was to be stopped with it is, and
// nothing else (BGW-049).
func TestOwnerIsAWorker(t *testing.T) {
	marker := filepath.Join(t.TempDir(), "marker")
	s := start(t, startBus(t), map[string]string{"workers.d/10.hcl": fmt.Sprintf(`worker "registrar" {
  command      = [%q]
  flags        = ["shmem_access"]
  restart_time = 0
  environment  = { TEST_ROLE = "registrar", MARKER = %q }
}
`, testProgram(), marker)})
	s.content(marker + ".second")
	s.state("tied", "ended")
	w := s.state("signalled", "running")
	if w.Owner != "" {
		t.Errorf("it is owned by %s", w.Owner)
	}
	if err := s.client.Terminate(s.ctx(), w.Handle); err != nil {
		t.Fatal(err)
	}
	s.exited(w.Handle)
	if err := s.client.Signal(s.ctx(), s.worker("registrar").Handle, int32(syscall.SIGWINCH)); err != nil {
		t.Fatal(err)
	}
	s.says("second life got window changed")
	if strings.Contains(s.log.String(), "second life got user") {
		t.Error("the process after the owner was signalled")
	}
}

// stranger is a client of another user: it tells what it may do.
func stranger() int {
	ctx := context.Background()
	c, err := dbusapi.Dial(os.Getenv("BUS"))
	if err != nil {
		fmt.Println(err)
		return 1
	}
	h, err := c.GetWorker(ctx, "one")
	fmt.Println("GetWorker", err)
	w, err := c.Worker(ctx, h)
	fmt.Println("Worker", err, w.State, len(w.Definition.Environment), len(w.Definition.Extra))
	all, err := c.Workers(ctx)
	fmt.Println("Workers", err, len(all))
	for _, w := range all {
		fmt.Println("sees", len(w.Definition.Environment), len(w.Definition.Extra))
	}
	_, err = c.Manager(ctx)
	fmt.Println("Manager", err)
	denied := func(name string, err error) {
		fmt.Println("denied", name, dbusapi.IsError(err, dbusapi.ErrorAccessDenied))
	}
	_, err = c.RegisterDynamicBackgroundWorker(ctx, definition("mine", never, "/bin/true"), 0)
	denied("Register", err)
	_, err = c.Instantiate(ctx, "t", "x", dbusapi.Definition{}, 0)
	denied("Instantiate", err)
	denied("Terminate", c.TerminateBackgroundWorker(ctx, h))
	denied("Worker.Terminate", c.Terminate(ctx, h))
	denied("Stop", c.Stop(ctx, h))
	_, err = c.Start(ctx, h)
	denied("Start", err)
	denied("Restart", c.Restart(ctx, h))
	denied("Signal", c.Signal(ctx, h, 15))
	denied("Reload", c.Reload(ctx))
	_, err = c.Dump(ctx)
	denied("Dump", err)
	denied("Shutdown", c.Shutdown(ctx, dbusapi.ShutdownFast))
	return 0
}

// TestAnotherUser may look and not change, and sees no environment.
func TestAnotherUser(t *testing.T) {
	asRoot(t)
	b := startBus(t)
	open(t, b.dir)
	s := start(t, b, map[string]string{"workers.d/10.hcl": sleeper("one", "  environment = { PGPASSWORD = \"secret\" }\n  extra = \"secret\"\n")})
	one := s.state("one", "running")
	program := filepath.Join(programs, "stranger")
	mustRun(t, "cp", testProgram(), program)
	cmd := exec.Command(program)
	cmd.Env = []string{"TEST_ROLE=stranger", "BUS=" + b.address}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text := string(out)
	for _, want := range []string{"GetWorker <nil>", "Worker <nil> running 0 0", "Workers <nil> 1", "sees 0 0", "Manager <nil>"} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("%q is missing", want)
		}
	}
	if n := strings.Count(text, "denied"); n != 11 || strings.Count(text, "true\n") != n {
		t.Error("not everything was denied")
	}
	if w := s.worker("one"); w.MainPID != one.MainPID || len(w.Definition.Environment) != 1 {
		t.Errorf("one is %+v", w)
	}
	if t.Failed() {
		t.Log(text)
	}
}
