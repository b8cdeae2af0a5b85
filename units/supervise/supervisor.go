package supervise

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/pg-bgw/pg-bgw/units"
)

// Options are what a Supervisor is made of.
type Options struct {
	Launcher Launcher
	Sink     Sink
	// Show, unless nil, is called with what each change of a registration has come
	// to, in order and before anybody is answered who may go by it. It is called on
	// the loop's goroutine, so it must neither block nor call the Supervisor.
	Show     func(Info)
	Settings Settings
	Epoch    uint32 // of this life; handles of another epoch are stale
	Seed     uint64 // of the jitter in restart intervals
}

// A Supervisor runs workers. Its methods may be called from any goroutine,
// also by the Sink. Before Run they wait for it; after it has returned they
// answer ErrShuttingDown or as for a worker that is gone.
type Supervisor struct {
	events chan event
	done   chan struct{}
	table  *table
	starts *queue[Start]
	hands  *queue[effect] // signalEffect, killEffect
	news   *news
	opts   Options
}

// New returns a Supervisor of no workers; nothing happens before Run.
func New(o Options) *Supervisor {
	return &Supervisor{
		events: make(chan event),
		done:   make(chan struct{}),
		table:  newTable(o.Epoch, o.Seed, o.Settings),
		starts: newQueue[Start](), hands: newQueue[effect](), news: newNews(),
		opts: o,
	}
}

// Register registers a dynamic worker, which is valid and has its defaults.
// The handle means queued, nothing more (BGW-027). Errors: ErrNoFreeSlot,
// ErrParallelLimit, ErrShuttingDown.
func (s *Supervisor) Register(w *units.Worker, o Owner) (units.Handle, error) {
	r := make(chan registered, 1)
	if a, ok := ask(s, register{w, o, r}, r); ok {
		return a.handle, a.err
	}
	return units.Handle{}, ErrShuttingDown
}

// A Registrant is a worker to be registered, valid and with its defaults, and
// its owner to be.
type Registrant struct {
	Worker *units.Worker
	Owner  Owner
}

// RegisterAll is Register for each of all, in their order and with nothing in
// between: of n free slots the first n get one. It returns a handle or an error
// for each.
func (s *Supervisor) RegisterAll(all []Registrant) ([]units.Handle, []error) {
	r := make(chan []registered, 1)
	handles, errs := make([]units.Handle, len(all)), make([]error, len(all))
	answers, ok := ask(s, registerAll{all, r}, r)
	for i := range all {
		if !ok {
			errs[i] = ErrShuttingDown
			continue
		}
		handles[i], errs[i] = answers[i].handle, answers[i].err
	}
	return handles, errs
}

// Terminate unregisters a worker and ends its process; a stale handle is no
// error (BGW-033, BGW-034).
func (s *Supervisor) Terminate(h units.Handle) error { return s.request(verbTerminate, h, 0) }

// Stop holds a worker: its process is ended and none is started until Start.
func (s *Supervisor) Stop(h units.Handle) error { return s.request(verbStop, h, 0) }

// Start releases a held worker, skips a pending restart time, and registers
// again, under the new handle that is returned, a static definition that has
// ended. What runs, or will by its rules, is left alone; what is being
// terminated is refused.
func (s *Supervisor) Start(h units.Handle) (units.Handle, error) {
	if err := s.request(verbStart, h, 0); err != nil {
		return h, err
	}
	s.query(func(t *table) { h = t.successor(h) })
	return h, nil
}

// Restart ends a worker's process and starts it again at once.
func (s *Supervisor) Restart(h units.Handle) error { return s.request(verbRestart, h, 0) }

// Signal signals a worker's process, and it alone.
func (s *Supervisor) Signal(h units.Handle, sig units.Signal) error {
	return s.request(verbSignal, h, sig)
}

// SignalRun is Signal for the process r only: once it is gone, ErrNotRunning,
// whatever its registration runs by then (BGW-048).
func (s *Supervisor) SignalRun(r units.Run, sig units.Signal) error {
	c := make(chan error, 1)
	if err, ok := ask(s, request{verb: verbSignal, handle: r.Handle, start: r.Start, signal: sig, reply: c}, c); ok {
		return err
	}
	return ErrShuttingDown
}

func (s *Supervisor) request(v verb, h units.Handle, sig units.Signal) error {
	r := make(chan error, 1)
	if err, ok := ask(s, request{verb: v, handle: h, signal: sig, reply: r}, r); ok {
		return err
	}
	return ErrShuttingDown
}

// Attach says that the process r has mapped the segment it was given; the
// error ErrSegmentRenewed says that it must not use it.
func (s *Supervisor) Attach(r units.Run) error {
	c := make(chan error, 1)
	if err, ok := ask(s, attach{r, c}, c); ok {
		return err
	}
	return ErrShuttingDown
}

// Detach says that the process r has done with its segment.
func (s *Supervisor) Detach(r units.Run) error {
	c := make(chan error, 1)
	if err, ok := ask(s, detach{r, c}, c); ok {
		return err
	}
	return ErrShuttingDown
}

// Ready says that the process r has done what it does before its work; text is
// for people and may be empty.
func (s *Supervisor) Ready(r units.Run, text string) error {
	c := make(chan error, 1)
	if err, ok := ask(s, ready{r, text, c}, c); ok {
		return err
	}
	return ErrShuttingDown
}

// Reload makes workers, which are valid, have their defaults and differ in
// their labels, the static definitions.
func (s *Supervisor) Reload(workers []*units.Worker, st Settings) (ReloadResult, error) {
	r := make(chan reloaded, 1)
	if a, ok := ask(s, reload{workers, st, r}, r); ok {
		return a.result, a.err
	}
	return ReloadResult{}, ErrShuttingDown
}

// Phase says how far a server has come; server "" is the one of workers that
// name none, which nobody else uses. It is to be called with what holds, at
// each change and in order; what is to be done about it does not depend on
// which changes were seen. A server of which Phase was never called is
// units.PhaseUnknown.
func (s *Supervisor) Phase(server string, p units.Phase) { s.post(phase{server, p}) }

// Clients says how many sessions other than those of pg-bgw and its workers a
// server has: 0 ends the wait of a smart stop of it, and of Smart; -1 says
// that they cannot be counted, as is taken for granted when a smart stop
// begins. It is called after the Phase with units.SmartStop that it belongs
// to, and any time during Smart.
func (s *Supervisor) Clients(server string, n int) { s.post(clients{server, n}) }

// OwnerGone says that the bus connection of that unique name is gone; lost
// says that the bus is, so that nothing is known of the owner itself.
func (s *Supervisor) OwnerGone(bus string, lost bool) {
	s.post(ownerGone{Owner{Kind: BusOwner, Bus: bus}, lost})
}

// Shutdown asks Run to end all workers and return.
func (s *Supervisor) Shutdown(m Mode) { s.post(shutdown{m}) }

// Lookup returns what is known of h; ok is false when nothing is, and then the
// Info says Ended and StatusStopped.
func (s *Supervisor) Lookup(h units.Handle) (i Info, ok bool) {
	i = Info{Handle: h, State: units.Ended, Status: units.StatusStopped}
	s.query(func(t *table) { i, ok = t.lookup(h) })
	return i, ok
}

// List returns all registrations in the order of their slots.
func (s *Supervisor) List() []Info {
	var is []Info
	s.query(func(t *table) {
		is = make([]Info, 0, t.used)
		for _, e := range t.slots {
			if e != nil {
				is = append(is, t.info(e))
			}
		}
	})
	return is
}

// Ended returns what is still readable of registrations that have ended, in no
// order: also the newest of each static definition that is not registered.
func (s *Supervisor) Ended() []Info {
	var is []Info
	s.query(func(t *table) {
		for h := range t.ended.all() {
			if i, ok := t.ended.get(h, t.now); ok {
				is = append(is, i)
			}
		}
	})
	return is
}

// ByLabel returns the registrations of that label or, for dynamic ones and
// where no label fits, of that name; failing that the newest one that has
// ended. Several dynamic workers may have one name (BGW-016).
func (s *Supervisor) ByLabel(label string) []Info {
	var is []Info
	s.query(func(t *table) { is = t.byLabel(label) })
	return is
}

func (t *table) byLabel(label string) []Info {
	if st := t.labels[label]; st != nil {
		if st.entry != nil {
			return []Info{t.info(st.entry)}
		}
		if i, ok := t.lookup(st.last); ok {
			return []Info{i}
		}
	}
	var is []Info
	for _, e := range t.slots {
		if e != nil && e.worker.Name == label {
			is = append(is, t.info(e))
		}
	}
	if len(is) > 0 {
		return is
	}
	if i, ok := t.ended.newest(label, t.now); ok {
		return []Info{i}
	}
	return nil
}

// WaitStartup is WaitForBackgroundWorkerStartup: it returns as soon as the
// status is anything but not_yet_started, or with the status of the moment
// when ctx ends.
func (s *Supervisor) WaitStartup(ctx context.Context, h units.Handle) Info {
	return s.wait(ctx, h, waitStartup)
}

// WaitShutdown is WaitForBackgroundWorkerShutdown: it returns at the first
// exit, also of a worker that will start again (BGW-042).
func (s *Supervisor) WaitShutdown(ctx context.Context, h units.Handle) Info {
	return s.wait(ctx, h, waitShutdown)
}

func (s *Supervisor) wait(ctx context.Context, h units.Handle, want waitFor) Info {
	r := make(chan Info, 1)
	s.post(wait{h, want, r})
	select {
	case i := <-r:
		return i
	case <-s.done:
	case <-ctx.Done():
		s.post(forget{h, r})
	}
	select {
	case i := <-r: // it came in the same moment
		return i
	default:
		i, _ := s.Lookup(h)
		return i
	}
}

// Counts are the totals that a status line tells.
type Counts struct {
	Registered, Limit         int
	Running, Restarting, Held int
	Mode                      Mode
}

func (c Counts) String() string {
	parts := []string{fmt.Sprintf("%d of %d workers running", c.Running, c.Registered)}
	if c.Restarting > 0 {
		parts = append(parts, fmt.Sprintf("%d waiting for a restart", c.Restarting))
	}
	if c.Held > 0 {
		parts = append(parts, fmt.Sprintf("%d held", c.Held))
	}
	if c.Mode != NotShutdown {
		parts = append(parts, c.Mode.String()+" shutdown")
	}
	return strings.Join(parts, ", ")
}

// Counts returns the totals. It is a round trip through the loop: a watchdog
// may rest on it.
func (s *Supervisor) Counts() (c Counts, ok bool) {
	ok = s.query(func(t *table) { c = t.counts() })
	return c, ok
}

// Dump returns the whole table as text, for people.
func (s *Supervisor) Dump() string {
	var text string
	s.query(func(t *table) { text = t.dump(time.Now()) })
	return text
}

func (s *Supervisor) query(f func(*table)) bool {
	r := make(chan struct{}, 1)
	_, ok := ask(s, query{f, r}, r)
	return ok
}
