package libpgbgw

import (
	"encoding/binary"
	"fmt"
	"syscall"
	"testing"

	"github.com/pg-bgw/pg-bgw/shm"
	"github.com/pg-bgw/pg-bgw/shm/control"
)

// TestLife: what a worker finds, attaches, shares and gives back (BGW-133).
func TestLife(t *testing.T) {
	h := newHost(t)
	w := h.start(3, nil, built.asan, "life")
	w.succeed()
	if got, want := w.requests(), "Hello Attach Ready Detach Attach Detach"; got != want {
		t.Errorf("requests %q, want %q", got, want)
	}
	g := h.open(5)
	if _, found, err := g.Area("x", 1); !found || err != nil {
		t.Errorf("BGW-133: Go finds the area of C: %v, %v", found, err)
	}
	h.start(3, []string{"PGBGW_FDS=segment:3,slots:4,control:5,death:6"}, built.asan, "latch").succeed()
	h.start(3, nil, built.asan, "latch").succeed()
	h.start(3, nil, built.asan, "forks").succeed()
}

// TestLatchAcross: the latches of C and Go wake each other, attached or not.
func TestLatchAcross(t *testing.T) {
	h := newHost(t)
	g := h.open(5)
	ping, _, err := g.Area("ping", 16)
	if err != nil {
		t.Fatal(err)
	}
	w := h.start(3, nil, built.asan, "waiter", "1000")
	p, err := g.PeerLatch(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	for i := uint64(1); i <= 1000; i++ {
		if i == 500 {
			if err := g.Detach(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		binary.LittleEndian.PutUint64(ping, i)
		if err := p.Set(); err != nil {
			t.Fatal(err)
		}
		for binary.LittleEndian.Uint64(ping[8:]) != i {
			if e, err := g.Latch().Wait(t.Context(), patience); e != shm.LatchSet || err != nil {
				t.Fatalf("round %d: %v, %v", i, e, err)
			}
			g.Latch().Reset()
		}
	}
	w.succeed()
}

// TestSupervisorDies: a worker that waits is told (DESIGN 5: POSTMASTER_DIED).
func TestSupervisorDies(t *testing.T) {
	for _, how := range []string{"death", "control"} {
		h := newHost(t)
		w := h.start(3, nil, built.asan, "survivor")
		w.says("waiting")
		if how == "death" {
			h.death.Close()
		} else {
			w.control.Close()
		}
		err := w.wait()
		if code := w.cmd.ProcessState.ExitCode(); code != 1 {
			t.Errorf("%s: %v, want exit status 1\n%s", how, err, w.out.String())
		}
	}
}

// TestInterrupted: a signal handler can end a wait in a queue, and a wait that
// would have no end is refused (BGW-151).
func TestInterrupted(t *testing.T) {
	h := newHost(t)
	g := h.open(5)
	makeQueue(t, g, "q", 256)
	w := h.start(3, nil, built.asan, "interrupted", "q", "256")
	w.says("waiting")
	_ = w.cmd.Process.Signal(syscall.SIGTERM)
	w.succeed()
}

// TestRegistrant: a definition, handles and changes over the control socket.
func TestRegistrant(t *testing.T) {
	h := newHost(t)
	handle := control.Handle{Slot: 9, Generation: 7 << 32}
	var registered []control.Pair
	var flags uint64
	waits := 0
	h.answers(func(w *worker, r control.Record) (control.Record, bool) {
		a := r.Accept()
		switch r.Type {
		case control.Register:
			if r.Pairs[0].Value != "w" {
				return r.Refuse(syscall.EDQUOT, "no more of them"), true
			}
			registered, flags = r.Pairs, r.Flags
			a.Handle = handle
		case control.WaitStartup:
			if waits++; waits == 1 {
				a.Status = 1 // the supervisor's 20 s are over
			} else {
				a.Pid = 4711
			}
		case control.GetPid:
			a.Status = 2
		case control.WaitShutdown:
		case control.Terminate:
			w.sendBytes([]byte{16, 0, 0, 0, 1, 0, 0x77, 0x40, 0, 0, 0, 0, 0, 0, 0, 0}, -1) // an event of a later version
			w.send(control.Record{Type: control.WorkerStateChanged, Handle: r.Handle, State: uint32(shm.StateEnded), ExitSignal: 9, Text: "was killed"}, -1)
		}
		if r.Handle != handle && r.Handle != (control.Handle{}) {
			t.Errorf("%v has handle %v", r.Type, r.Handle)
		}
		return a, true
	})
	h.start(3, nil, built.asan, "registrant").succeed()
	want := []control.Pair{
		{Key: control.KeyName, Value: "w"}, {Key: control.KeyFlags, Value: []string{"shmem_access", "backend_database_connection"}},
		{Key: control.KeyStartTime, Value: "consistent_state"}, {Key: control.KeyRestartTime, Value: int64(-1)},
		{Key: control.KeyCommand, Value: []string{"/bin/sleep", "größer", ""}}, {Key: control.KeyMainArg, Value: uint64(1<<64 - 1)},
		{Key: control.KeyExtra, Value: []byte{0, 1, 255}}, {Key: control.KeyDatabase, Value: "db"}, {Key: control.KeyRole, Value: "ro'le"},
		{Key: control.KeyEnvironment, Value: []string{"A=1"}}, {Key: control.KeySegment, Value: "main"}, {Key: control.KeyKillSignal, Value: "SIGINT"},
		{Key: control.KeyKillTimeout, Value: uint64(1<<64 - 1)}, {Key: control.KeyStopWithOwner, Value: uint64(1)},
	}
	if got, want := fmt.Sprint(registered), fmt.Sprint(want); got != want || flags != control.RegisterSignal {
		t.Errorf("registered %s\nwant       %s, flags %d", got, want, flags)
	}
}

// TestHostile: somebody writes anything into the memory of all that is used.
func TestHostile(t *testing.T) {
	h := newHost(t)
	h.start(3, nil, built.asan, "hostile").succeed()
}
