package supervise

import (
	"errors"
	"flag"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/pg-bgw/pg-bgw/units"
)

// tape hands out a fuzzer's bytes; past its end it is all zeros.
type tape []byte

func (t *tape) n(limit int) int {
	if len(*t) == 0 {
		return 0
	}
	b := (*t)[0]
	*t = (*t)[1:]
	return int(b) % limit
}

// kinds are definitions that differ in what step looks at.
var kinds = func() []units.Worker {
	ws := []units.Worker{
		{RestartTime: 0},
		{RestartTime: 2, Attach: units.AttachAlways, StartTime: units.RecoveryFinished},
		{RestartTime: units.NeverRestart, Attach: units.AttachAlways},
		{RestartTime: 1, Attach: units.AttachNever, KillTimeout: units.Infinity},
		{RestartTime: units.NeverRestart, Flags: units.ClassParallel, StopWithOwner: true},
		{RestartTime: 3, Attach: units.AttachAlways, Segment: "other", KillSignal: units.SIGQUIT},
		{RestartTime: 0, Attach: units.AttachAlways, Server: "b", StartTime: units.ConsistentState},
		{RestartTime: 5, StopWithOwner: true, KillSignal: units.SIGINT, Backoff: &units.Backoff{Factor: 2, Max: time.Minute, Jitter: 0.5, Healthy: time.Second}},
		{RestartTime: 2, Attach: units.AttachNever, Server: "b", StartTime: units.RecoveryFinished, Flags: units.BackendDatabaseConnection},
		{RestartTime: units.NeverRestart, Attach: units.AttachNever, Server: "b", StartTime: units.ConsistentState, Flags: units.BackendDatabaseConnection},
		{RestartTime: 0, Server: "b", StartTime: units.RecoveryFinished, Flags: units.BackendDatabaseConnection,
			OnServerStop: units.ServerStopKeep, OnServerCrash: units.ServerCrashKeep, Backoff: &units.Backoff{Factor: 3, Max: time.Hour}},
		{RestartTime: 1, Attach: units.AttachAlways, Server: "b", OnServerStop: units.ServerStopKeep},
		{RestartTime: units.NeverRestart, Attach: units.AttachAlways, Server: "b", StartTime: units.ConsistentState, Flags: units.BackendDatabaseConnection},
	}
	more := ws[0]
	more.Resources.Cgroup = map[string]string{"memory.max": "1048576"}
	ws = append(ws, more)
	for i := range ws {
		ws[i].Flags |= units.ShmemAccess
		ws[i].Command = []string{"/bin/w"}
	}
	return ws
}()

func kind(n int, label string) *units.Worker {
	w := kinds[n]
	w.Label, w.Name = label, "w"
	w = w.WithDefaults()
	return &w
}

// pick returns one of the processes that want says yes to, nil: none.
func (s *sim) pick(tp *tape, want func(*simProc) bool) *simProc {
	var ps []*simProc
	for _, p := range s.procs {
		if want(p) {
			ps = append(ps, p)
		}
	}
	if len(ps) == 0 {
		return nil
	}
	slices.SortFunc(ps, func(a, b *simProc) int { return int(a.run.Slot) - int(b.run.Slot) })
	return ps[tp.n(len(ps))]
}

func anyProc(*simProc) bool { return true }

// handle returns that of a slot, mostly the newest.
func (s *sim) handle(tp *tape) units.Handle {
	n := tp.n(64)
	h := units.Handle{Slot: uint32(n % 8), Generation: 7<<32 + 1}
	if int(h.Slot) < len(s.table.generations) {
		h.Generation = s.table.generations[h.Slot]
	}
	if n >= 56 {
		h.Generation--
	}
	return h
}

func (s *sim) owner(tp *tape) Owner {
	switch tp.n(4) {
	case 1:
		return Owner{Kind: BusOwner, Bus: ":1.1", UID: 5}
	case 2:
		return Owner{Kind: BusOwner, Bus: ":1.2"}
	case 3:
		if p := s.pick(tp, anyProc); p != nil {
			return Owner{Kind: WorkerOwner, Run: p.run}
		}
		return Owner{Kind: WorkerOwner, Run: units.Run{Handle: s.handle(tp), Start: 1}}
	}
	return Owner{}
}

func (s *sim) definitions(tp *tape) (ws []*units.Worker) {
	for _, label := range []string{"a", "b", "c", "d", "e"} {
		if n := tp.n(len(kinds) + 2); n < len(kinds) {
			ws = append(ws, kind(n, label))
		}
	}
	return ws
}

// play takes one event off the tape.
func (s *sim) play(tp *tape) error {
	s.now = s.now.Add([]time.Duration{0, time.Millisecond, time.Second, 3 * time.Second, 40 * time.Second}[tp.n(5)])
	switch op := tp.n(21); op {
	case 0, 1:
		return s.step(register{kind(tp.n(len(kinds)), ""), s.owner(tp), make(chan registered, 1)})
	case 2, 3, 4:
		if p := s.pick(tp, func(p *simProc) bool { return !p.answered }); p != nil {
			return s.started(p, map[bool]error{true: errors.New("no memory")}[tp.n(4) == 3 && !p.exitEarly])
		}
	case 5, 6, 7:
		if p := s.pick(tp, func(p *simProc) bool { return !p.exitEarly }); p != nil {
			x := []units.Exit{{Code: 1}, {Code: 0}, {Code: 2}, {Signal: 9}}[tp.n(4)]
			return s.exited(p, x)
		}
	case 8:
		var r units.Run
		if p := s.pick(tp, anyProc); p != nil {
			r = p.run
		}
		return s.step([]event{attach{r, make(chan error, 1)}, detach{r, make(chan error, 1)}, ready{r, "x", make(chan error, 1)}}[tp.n(3)])
	case 9, 10, 11:
		return s.step(request{verb: verb(tp.n(5)), handle: s.handle(tp), signal: units.SIGUSR1, reply: make(chan error, 1)})
	case 12:
		return s.step(phase{[]string{"", "b"}[tp.n(2)], units.Phase(tp.n(6)) | []units.Phase{0, 0, units.SmartStop, units.Demoted}[tp.n(4)]})
	case 13:
		st := Settings{MaxWorkerProcesses: 1 + tp.n(7), MaxParallelWorkers: tp.n(3), RestartAfterCrash: tp.n(256) != 255,
			Segments:   []map[string]bool{nil, {"main": true, "other": true}, {"main": true}}[tp.n(3)],
			StartSplay: []time.Duration{0, 0, 5 * time.Second}[tp.n(3)], SmartStopGrace: []time.Duration{0, 20 * time.Second, units.Infinity}[tp.n(3)]}
		return s.step(reload{s.definitions(tp), st, make(chan reloaded, 1)})
	case 14:
		return s.step(ownerGone{Owner{Kind: BusOwner, Bus: ":1.1"}, tp.n(2) == 1})
	case 15:
		return s.step(wait{s.handle(tp), waitFor(tp.n(2)), make(chan Info, 1)})
	case 16:
		if len(s.waits) > 0 {
			w := s.waits[tp.n(len(s.waits))]
			return s.step(forget{w.handle, w.reply})
		}
	case 17:
		if len(s.past) > 0 { // late, or said twice
			ev := s.past[tp.n(len(s.past))]
			x, _ := ev.(exited)
			a, _ := ev.(started)
			if s.procs[x.run] == nil && s.procs[a.run] == nil { // no launcher does it while the process goes on
				return s.step(ev)
			}
		}
	case 20:
		if p := s.pick(tp, func(p *simProc) bool { return p.limiting > 0 }); p != nil {
			return s.limited(p, []error{nil, nil, errors.New("no")}[tp.n(3)])
		}
	case 19:
		return s.step(clients{"b", tp.n(3) - 1})
	case 18:
		if m := tp.n(256); m >= 252 {
			return s.step(shutdown{Mode(m - 252)})
		}
	}
	return s.step(tick{})
}

// FuzzStep plays any sequence of events. The promises are in sim and check.
func FuzzStep(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("0\x0c0\x03register two, start them, end one\x05\x06\x02\x03\x04"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 400 {
			return
		}
		playAll(t, data)
	})
}

func playAll(t *testing.T, tp tape) {
	t.Helper()
	s := newSim(Settings{MaxWorkerProcesses: 5, MaxParallelWorkers: 1, RestartAfterCrash: true, SmartStopGrace: 30 * time.Second})
	for len(tp) > 0 && !s.table.stopped() {
		if err := s.play(&tp); err != nil {
			t.Fatalf("%v\n%s", err, s.table.dump(s.now))
		}
	}
	if err := s.finish(); err != nil {
		t.Fatal(err)
	}
}

var soak = flag.Int("soak", 100, "long random tapes that TestSoak plays")

// TestSoak plays long random tapes, the same ones each time: they come deeper
// than a fuzzer's short ones.
func TestSoak(t *testing.T) {
	for seed := range *soak {
		r := rand.New(rand.NewPCG(uint64(seed), 1))
		tp := make(tape, 4000)
		for i := range tp {
			tp[i] = byte(r.Uint32())
		}
		t.Run(strconv.Itoa(seed), func(t *testing.T) { playAll(t, tp) })
	}
}
