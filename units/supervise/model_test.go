package supervise

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/pg-bgw/pg-bgw/units"
)

// model is PostgreSQL's rules for workers without a segment, once more and as
// plainly as possible: no queues, no goals, no counters; everything is found
// by looking at all slots. It starts what may start at the end of each event.
type model struct {
	slots       []*modelWorker
	generations []uint64
	up          bool
	now         time.Time
}

type modelWorker struct {
	restart units.RestartTime
	keep    bool   // it runs on when its server stops
	state   string // waiting, starting, running, held
	then    string // of one with a process: run, wait, end, hold, again
	ran     bool
	runs    uint64
	at      time.Time // not to be started before
}

func (m *model) register(restart units.RestartTime, keep bool) (units.Handle, bool) {
	for s, w := range m.slots {
		if w == nil {
			m.generations[s]++
			m.slots[s] = &modelWorker{restart: restart, keep: keep, state: "waiting", then: "run", at: m.now}
			return units.Handle{Slot: uint32(s), Generation: 9<<32 + m.generations[s]}, true
		}
	}
	return units.Handle{}, false
}

func (m *model) find(h units.Handle) *modelWorker {
	if h.Generation == 9<<32+m.generations[h.Slot] {
		return m.slots[h.Slot]
	}
	return nil
}

// settle starts what may start.
func (m *model) settle() {
	for _, w := range m.slots {
		if w != nil && w.state == "waiting" && m.up && !m.now.Before(w.at) {
			w.state, w.then = "starting", "run"
			w.runs++
		}
	}
}

// gone is the end of a process, or of a start that failed.
func (m *model) gone(slot uint32, done bool, pause time.Duration) {
	w := m.slots[slot]
	switch {
	case w.then == "end", w.then == "run" && (done || w.restart == units.NeverRestart):
		m.slots[slot] = nil
	case w.then == "hold":
		w.state = "held"
	case w.then == "again" || w.then == "wait": // an outage is no failure, and no end
		w.state, w.at = "waiting", m.now
	default:
		w.state, w.at = "waiting", m.now.Add(max(w.restart.Duration(), pause))
	}
}

func (m *model) status(h units.Handle) units.Status {
	switch w := m.find(h); {
	case w == nil || w.state == "held":
		return units.StatusStopped
	case w.state == "running":
		return units.StatusStarted
	case w.ran:
		return units.StatusStopped
	}
	return units.StatusNotYetStarted
}

// duo is the model and the table that are driven side by side.
type duo struct {
	*model
	table   *table
	handles []units.Handle
}

func (d *duo) step(ev event) {
	for _, e := range d.table.step(d.now, ev) {
		if r, ok := e.(replier); ok {
			r.send()
		}
	}
}

func (d *duo) request(v verb, h units.Handle) error {
	r := make(chan error, 1)
	d.step(request{verb: v, handle: h, reply: r})
	return <-r
}

// any returns a handle that was given at some time.
func (d *duo) any(rt *rapid.T) units.Handle {
	if len(d.handles) == 0 {
		rt.Skip("no handles")
	}
	return d.handles[rapid.IntRange(0, len(d.handles)-1).Draw(rt, "handle")]
}

// in returns the run of a worker in that state.
func (d *duo) in(rt *rapid.T, state string) (units.Run, *modelWorker) {
	h := d.any(rt)
	w := d.find(h)
	if w == nil || w.state != state {
		rt.Skip("it is not ", state)
	}
	return units.Run{Handle: h, Start: w.runs}, w
}

func (d *duo) registerOne(rt *rapid.T) {
	w := units.Worker{Attach: units.AttachNever, Command: []string{"/bin/w"}}
	w.RestartTime = rapid.SampledFrom([]units.RestartTime{units.NeverRestart, 0, 1, 60}).Draw(rt, "restart")
	w.OnServerStop = rapid.SampledFrom([]units.OnServerStop{units.ServerStopTerminate, units.ServerStopKeep}).Draw(rt, "on server stop")
	w = w.WithDefaults()
	r := make(chan registered, 1)
	d.step(register{&w, Owner{}, r})
	got := <-r
	h, ok := d.model.register(w.RestartTime, w.OnServerStop == units.ServerStopKeep)
	if got.handle != h || (got.err == nil) != ok || !ok && !errors.Is(got.err, ErrNoFreeSlot) {
		rt.Fatalf("registered %v %v, want %v %v", got.handle, got.err, h, ok)
	}
	if ok {
		d.handles = append(d.handles, h)
	}
}

func (d *duo) started(rt *rapid.T) {
	r, w := d.in(rt, "starting")
	w.state, w.ran = "running", true
	d.step(started{r, fakeProcess(5), nil})
}

func (d *duo) failed(rt *rapid.T) {
	r, _ := d.in(rt, "starting")
	d.gone(r.Slot, false, failedFloor)
	d.step(started{r, nil, errors.New("no")})
}

func (d *duo) exited(rt *rapid.T) {
	r, _ := d.in(rt, "running")
	code := rapid.IntRange(0, 3).Draw(rt, "code")
	d.gone(r.Slot, code == 0, 0)
	d.step(exited{r, units.Exit{Code: code, At: d.now}})
}

func (d *duo) terminate(rt *rapid.T) {
	h := d.any(rt)
	if w := d.find(h); w != nil {
		if w.then = "end"; w.state == "waiting" || w.state == "held" {
			d.slots[h.Slot] = nil
		}
	}
	if err := d.request(verbTerminate, h); err != nil {
		rt.Fatal(err)
	}
}

func (d *duo) stop(rt *rapid.T) {
	h := d.any(rt)
	w := d.find(h)
	if w != nil && w.then != "end" {
		if w.then = "hold"; w.state == "waiting" {
			w.state = "held"
		}
	}
	if err := d.request(verbStop, h); (err == nil) != (w != nil) {
		rt.Fatal(err)
	}
}

func (d *duo) start(rt *rapid.T) {
	h := d.any(rt)
	w := d.find(h)
	ok := w != nil
	switch {
	case !ok:
	case w.state == "waiting" || w.state == "held":
		w.state, w.then, w.at = "waiting", "run", d.now
	case w.then == "end":
		ok = false
	case w.then != "hold":
	case w.state == "starting":
		w.then = "run"
	default:
		w.then = "again"
	}
	if err := d.request(verbStart, h); (err == nil) != ok {
		rt.Fatal(err)
	}
}

func (d *duo) pass(rt *rapid.T) {
	d.now = d.now.Add(time.Duration(rapid.SampledFrom([]int{1, 999, 1000, 60_000}).Draw(rt, "ms")) * time.Millisecond)
	d.step(tick{})
}

func (d *duo) phase(rt *rapid.T) {
	p := rapid.SampledFrom([]units.Phase{units.PhaseUnknown, units.PhaseDown, units.PhaseRunning}).Draw(rt, "phase")
	d.up = p == units.PhaseRunning
	for _, w := range d.slots {
		switch {
		case w == nil:
		case p == units.PhaseDown && !w.keep && w.then == "run" && (w.state == "starting" || w.state == "running"):
			w.then = "wait"
		case d.up && w.state == "starting" && w.then == "wait":
			w.then = "run"
		}
	}
	d.step(phase{"", p})
}

func (d *duo) compare(rt *rapid.T) {
	d.settle()
	for _, h := range d.handles {
		i, _ := d.table.lookup(h)
		if want := d.status(h); i.Status != want {
			rt.Fatalf("%v is %v (%v), want %v", h, i.Status, i.State, want)
		}
		w := d.find(h)
		if (w == nil) != (i.State == units.Ended) {
			rt.Fatalf("%v is %v, want %+v", h, i.State, w)
		}
		if w != nil && (i.Start != w.runs || (w.state == "starting") != (i.State == units.Starting) || (w.state == "held") != (i.State == units.Held)) {
			rt.Fatalf("%v is %v with start %d, want %+v", h, i.State, i.Start, w)
		}
	}
	if err := d.table.check(); err != nil {
		rt.Fatal(err)
	}
}

// TestModel holds step against model: the same handles, statuses, refusals and
// starts for any sequence of events (BGW-024 to BGW-038, BGW-051 to BGW-057,
// BGW-074, BGW-075), outages of their server among them.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		const slots = 4
		d := &duo{
			model: &model{slots: make([]*modelWorker, slots), generations: make([]uint64, slots), now: epoch0},
			table: newTable(9, 1, Settings{MaxWorkerProcesses: slots, RestartAfterCrash: true}),
		}
		rt.Repeat(map[string]func(*rapid.T){
			"register": d.registerOne, "started": d.started, "failed": d.failed, "exited": d.exited, "terminate": d.terminate,
			"stop": d.stop, "start": d.start, "pass": d.pass, "phase": d.phase, "": d.compare,
		})
	})
}
