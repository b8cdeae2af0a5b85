package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/pg-bgw/pg-bgw/dbusapi"
)

// never is a RestartTime of never; long one that no test lives to see.
const (
	never = -1
	long  = 3600
)

// TestExits is what each end of a process means, with and without an attached
// segment. A crash is one of the witness too: it gets SIGQUIT in the very step
// that ends the worker.
func TestExits(t *testing.T) {
	s := start(t, startBus(t), witnessFile())
	s.file("segv", "#!/bin/sh\nkill -SEGV $$\n") // Go's runtime would make it exit code 2
	segv := filepath.Join(s.dir, "segv")
	if err := errors.Join(os.Chmod(segv, 0o755), os.Chmod(s.dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []exitCase{
		{"BGW-051 main returns", script("", long, "attach detach"), 0, 0, false, "ended"},
		{"BGW-052 exit(0) after normal cleanup", script("", long, "attach detach exit:0"), 0, 0, false, "ended"},
		{"BGW-054 exit 1, never", script("", never, "attach detach exit:1"), 1, 0, false, "ended"},
		{"BGW-053 exit 1, later", script("", long, "attach detach exit:1"), 1, 0, false, "restarting"},
		{"BGW-058 exit 2, attached", script("", never, "attach exit:2"), 2, 0, true, "ended"},
		{"BGW-059 SIGSEGV, attached", script("", never, "attach exec:"+segv), -1, 11, true, "ended"},
		{"BGW-060 SIGKILL, attached", script("", never, "attach kill:KILL"), -1, 9, true, "ended"},
		{"BGW-061 _exit(0), attached", script("", never, "attach exit:0"), 0, 0, true, "ended"},
		{"BGW-062 _exit(1), attached", script("", never, "attach exit:1"), 1, 0, true, "ended"},
		{"BGW-063 exec, attached", script("", never, "attach exec:/bin/true"), 0, 0, true, "ended"},
		{"BGW-064 SIGQUIT, attached", script("", never, "attach kill:QUIT"), 2, 0, true, "ended"}, // Go exits with 2 on it
		{"attached and detached", script("", never, "attach detach attach detach exit:2"), 2, 0, false, "ended"},

		// Not attached: its own affair (the design, section 5).
		{"BGW-051 a shell script's 0", definition("", long, "/bin/sh", "-c", "exit 0"), 0, 0, false, "ended"},
		{"BGW-054 a shell script's 1, never", definition("", never, "/bin/sh", "-c", "exit 1"), 1, 0, false, "ended"},
		{"BGW-053 a shell script's 1", definition("", long, "/bin/sh", "-c", "exit 1"), 1, 0, false, "restarting"},
		{"BGW-058 exit 3, not attached", definition("", long, "/bin/sh", "-c", "exit 3"), 3, 0, false, "restarting"},
		{"BGW-058 exit 255, not attached, never", definition("", never, "/bin/sh", "-c", "exit 255"), 255, 0, false, "ended"},
		{"BGW-059 SIGSEGV, not attached", definition("", long, "/bin/sh", "-c", "kill -SEGV $$"), -1, 11, false, "restarting"},
		{"BGW-060 SIGKILL, not attached", definition("", never, "/bin/sh", "-c", "kill -KILL $$"), -1, 9, false, "ended"},
		{"BGW-064 SIGQUIT, not attached", definition("", long, "/bin/sh", "-c", "kill -QUIT $$"), -1, 3, false, "restarting"},
		{"a signal that nobody asked for", definition("", long, "/bin/sh", "-c", "kill -TERM $$"), -1, 15, false, "restarting"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.t = t
			s.endsLike(t, c)
		})
	}
	s.t = t
}

// An exitCase is a way to end and what becomes of that.
type exitCase struct {
	name    string
	def     dbusapi.Definition
	code    int32 // -1: none
	sig     int32
	crashes bool
	state   string // after the exit, the crash handled
}

// endsLike has a worker end like that beside the witness.
func (s *supervisor) endsLike(t *testing.T, c exitCase) {
	before := s.attached(witness)
	c.def.Name = c.name
	h := s.register(c.def)
	w := s.exited(h)
	if w.ExitCode != c.code || w.ExitSignal != c.sig {
		t.Errorf("it ended with code %d, signal %d; want %d, %d", w.ExitCode, w.ExitSignal, c.code, c.sig)
	}
	now := s.worker(witness)
	crashed := now.StartNumber != before.StartNumber || now.State != "running"
	if crashed != c.crashes {
		t.Errorf("crashed is %v; the witness was %s %d and is %s %d", crashed, before.State, before.StartNumber, now.State, now.StartNumber)
	}
	s.attached(witness)
	if w = s.info(h); w.State != c.state {
		t.Errorf("it is %s, want %s: %s", w.State, c.state, w.Reason)
	}
	if w.Reason == "" {
		t.Error("no reason is given")
	}
	if err := s.client.Terminate(s.ctx(), h); err != nil {
		t.Error(err)
	}
}

// TestRestartInterval: BGW-053 on the daemon's own clock, BGW-042 on the way.
func TestRestartInterval(t *testing.T) {
	s := start(t, startBus(t), nil)
	var h dbusapi.Handle
	var w dbusapi.WorkerInfo
	for w.StartNumber != 1 { // else we came too late to see its first exit
		h = s.register(definition("one", 1, "/bin/sh", "-c", "exit 1"))
		w = s.exited(h) // BGW-042: at that exit, though it will start again
	}
	if w.State != "restarting" || w.NextStart == 0 {
		t.Fatalf("it is %+v", w)
	}
	due := w.NextStart
	w = s.when(h, "started again", func(w dbusapi.WorkerInfo) bool { return w.StartNumber > 1 })
	if w.StartNumber == 2 && w.Changed.Realtime < due {
		t.Errorf("it started again %d µs too early", due-w.Changed.Realtime)
	}
}

// TestRestartAtOnce: BGW-055, and BGW-056: no number of tries is too many.
func TestRestartAtOnce(t *testing.T) {
	s := start(t, startBus(t), nil)
	h := s.register(definition("one", 0, "/bin/sh", "-c", "exit 1"))
	w := s.when(h, "the hundredth start", func(w dbusapi.WorkerInfo) bool { return w.StartNumber >= 100 })
	if w.Restarts < 98 { // the newest may be under way
		t.Errorf("it counts %d restarts at start %d", w.Restarts, w.StartNumber)
	}
}

// TestStartFails: a program that is not there. BGW-074 with our deviation: the
// owner is told, and the state says why; BGW-075: never means once.
func TestStartFails(t *testing.T) {
	s := start(t, startBus(t), nil)
	own := s.newOwner()
	again := s.register(definition("again", long, "/nonexistent/again"))
	for e := range own {
		if e.Kind == dbusapi.EventStateChanged && e.Handle == again && e.Change.State == "restarting" && e.Change.Reason != "" {
			break
		}
	}
	if w := s.info(again); w.Reason == "" || w.Status != dbusapi.StatusNotYetStarted || w.NextStart == 0 {
		t.Errorf("it is %+v", w)
	}
	once := s.register(definition("once", never, "/nonexistent/once"))
	if st, _, err := s.client.WaitForBackgroundWorkerStartup(s.ctx(), once); st != dbusapi.StatusStopped || err != nil {
		t.Errorf("the waiter was told %v, %v", st, err)
	}
	if w := s.info(once); w.State != "ended" || w.Reason == "" {
		t.Errorf("it is %+v", w)
	}
}
