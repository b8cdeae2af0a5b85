package supervise

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pg-bgw/pg-bgw/units"
)

// A script drives a table with one event a line:
//
//	settings SLOTS PARALLEL [crash-ends]     the limits of the next reload
//	define NAME [OPTION...]                  see options
//	segments NAME...                         those of the next reload; none: any
//	reload NAME...                           the static definitions
//	register NAME [owner BUS|RUN]
//	phase PHASE [SERVER [smart] [demoted]]   unknown, down, crashed, started, consistent, running
//	clients SERVER N                         -1: not known
//	grace TIME | splay TIME                  the settings, at once
//	started RUN | failed RUN | exited RUN N|SIGNAL
//	attach RUN | detach RUN | ready RUN
//	limited RUN | unlimited RUN              its limits could be set, or not
//	terminate H | stop H | start H | restart H | signal H NAME
//	database NAME                            terminates its interruptible workers
//	gone BUS | lost BUS
//	startup ID H | shutdown? ID H | forget ID    waits
//	shutdown MODE | label NAME
//
// "+2s" in front lets that time pass first, with a tick whenever one is due.
type script struct {
	table *table
	now   time.Time
	next  Settings
	defs  map[string]*units.Worker
	pids  int
	waits map[string]wait
	out   strings.Builder
}

var epoch0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newScript() *script {
	st := Settings{MaxWorkerProcesses: 4, MaxParallelWorkers: 2, RestartAfterCrash: true, SmartStopGrace: 30 * time.Second}
	return &script{
		table: newTable(0, 1, st), now: epoch0, next: st, pids: 100,
		defs: map[string]*units.Worker{}, waits: map[string]wait{},
	}
}

// fakeProcess is a process that nothing happens to: the script says what does.
type fakeProcess int

func (p fakeProcess) Pid() int                     { return int(p) }
func (fakeProcess) Signal(units.Signal) error      { return nil }
func (fakeProcess) SignalGroup(units.Signal) error { return nil }
func (fakeProcess) Kill() error                    { return nil }
func (fakeProcess) Limit(units.Resources) error    { return nil }

// line runs one line and writes what came of it.
func (s *script) line(line string) error {
	fmt.Fprintf(&s.out, "> %s\n", line)
	fields := strings.Fields(line)
	if strings.HasPrefix(fields[0], "+") {
		d, err := time.ParseDuration(fields[0][1:])
		if err != nil {
			return err
		}
		s.pass(d)
		if fields = fields[1:]; len(fields) == 0 {
			s.step(tick{})
			s.dump()
			return nil
		}
	}
	ev, err := s.event(fields[0], fields[1:])
	if err != nil || ev == nil {
		return err
	}
	s.step(ev)
	s.dump()
	return nil
}

func (s *script) dump() {
	for l := range strings.Lines(s.table.dump(s.now)) {
		s.out.WriteString("\t" + l)
	}
}

// pass lets d go by, with the ticks that the loop would send.
func (s *script) pass(d time.Duration) {
	end := s.now.Add(d)
	for {
		at, ok := s.table.next()
		if !ok || !at.Before(end) {
			s.now = end
			return
		}
		fmt.Fprintf(&s.out, "tick after %v\n", d-end.Sub(at))
		s.now = at
		s.step(tick{})
	}
}

func (s *script) step(ev event) {
	for _, e := range s.table.step(s.now, ev) {
		s.out.WriteString(showEffect(e) + "\n")
	}
}

func (s *script) event(verb string, args []string) (event, error) {
	arg := func(i int) string {
		if i < len(args) {
			return args[i]
		}
		return ""
	}
	switch verb {
	case "settings":
		_, err := fmt.Sscan(arg(0)+" "+arg(1), &s.next.MaxWorkerProcesses, &s.next.MaxParallelWorkers)
		s.next.RestartAfterCrash = arg(2) == ""
		return nil, err
	case "segments":
		s.next.Segments = nil
		for i, name := range args {
			if i == 0 {
				s.next.Segments = map[string]bool{}
			}
			s.next.Segments[name] = true
		}
		return nil, nil
	case "define":
		return nil, s.define(args)
	case "reload":
		return s.reload(args)
	case "database":
		of := func(w *units.Worker) bool { return w.Connection != nil && w.Connection.Database == arg(0) }
		return forDatabase{of, make(chan DatabaseResult, 1)}, nil
	case "register":
		return s.register(arg(0), arg(2))
	case "phase":
		p, ok := map[string]units.Phase{"unknown": 0, "down": 1, "crashed": 2, "started": 3, "consistent": 4, "running": 5}[arg(0)]
		if !ok {
			return nil, fmt.Errorf("phase %q", arg(0))
		}
		for _, more := range args[min(2, len(args)):] {
			p |= map[string]units.Phase{"smart": units.SmartStop, "demoted": units.Demoted}[more]
		}
		return phase{arg(1), p}, nil
	case "clients":
		ev := clients{server: arg(0)}
		_, err := fmt.Sscan(arg(1), &ev.n)
		return ev, err
	case "grace", "splay":
		return nil, s.limit(verb, arg(0))
	case "gone", "lost":
		return ownerGone{ownerOf(arg(0)), verb == "lost"}, nil
	case "shutdown":
		m, err := ParseMode(arg(0))
		return shutdown{m}, err
	case "startup", "shutdown?":
		w := wait{handleOf(arg(1)), map[string]waitFor{"startup": waitStartup, "shutdown?": waitShutdown}[verb], make(chan Info, 1)}
		s.waits[arg(0)] = w
		return w, nil
	case "forget":
		return forget{s.waits[arg(0)].handle, s.waits[arg(0)].reply}, nil
	case "label":
		for _, i := range s.table.byLabel(arg(0)) {
			fmt.Fprintf(&s.out, "%s %s\n", i.Handle, i.State)
		}
		return nil, nil
	case "started", "failed", "exited", "attach", "detach", "ready", "limited", "unlimited":
		return s.runEvent(verb, args)
	}
	return requestOf(verb, args)
}

func (s *script) register(label, owner string) (event, error) {
	w := s.defs[label]
	if w == nil {
		return nil, fmt.Errorf("%q is not defined", label)
	}
	d := *w
	d.Label = ""
	return register{&d, ownerOf(owner), make(chan registered, 1)}, nil
}

func (s *script) limit(what, text string) error {
	d, err := units.ParseDuration(text)
	if what == "grace" {
		s.next.SmartStopGrace = d
	} else {
		s.next.StartSplay = d
	}
	s.table.settings.SmartStopGrace, s.table.settings.StartSplay = s.next.SmartStopGrace, s.next.StartSplay
	return err
}

func (s *script) reload(names []string) (event, error) {
	var ws []*units.Worker
	for _, n := range names {
		if s.defs[n] == nil {
			return nil, fmt.Errorf("%q is not defined", n)
		}
		ws = append(ws, s.defs[n])
	}
	return reload{ws, s.next, make(chan reloaded, 1)}, nil
}

func (s *script) runEvent(verb string, args []string) (event, error) {
	r := runOf(args[0])
	switch verb {
	case "started":
		s.pids++
		return started{r, fakeProcess(s.pids), nil}, nil
	case "failed":
		return started{r, nil, errors.New("no memory")}, nil
	case "attach":
		return attach{r, make(chan error, 1)}, nil
	case "detach":
		return detach{r, make(chan error, 1)}, nil
	case "ready":
		return ready{r, strings.Join(args[1:], " "), make(chan error, 1)}, nil
	case "limited":
		return limited{r, nil}, nil
	case "unlimited":
		return limited{r, errors.New("cannot set memory.max")}, nil
	}
	x := units.Exit{At: s.now}
	if sig, err := units.ParseSignal(args[1]); err == nil && strings.HasPrefix(args[1], "SIG") {
		x.Signal = syscall.Signal(sig)
		return exited{r, x}, nil
	}
	_, err := fmt.Sscan(args[1], &x.Code)
	return exited{r, x}, err
}

func requestOf(verb string, args []string) (event, error) {
	for _, v := range []verbs{{"terminate", verbTerminate}, {"stop", verbStop}, {"start", verbStart}, {"restart", verbRestart}, {"signal", verbSignal}} {
		if v.name != verb {
			continue
		}
		run := runOf(args[0]) // a handle, or a run for signal
		r := request{verb: v.verb, handle: run.Handle, start: run.Start, reply: make(chan error, 1)}
		var err error
		if v.verb == verbSignal {
			r.signal, err = units.ParseSignal(args[1])
		}
		return r, err
	}
	return nil, fmt.Errorf("unknown event %q", verb)
}

type verbs struct {
	name string
	verb verb
}

var kindNames = [...]string{"Registered", "Started", "StartFailed", "Exited", "Updated", "Unregistered", "Renewed", "Crashed", "Skipped", "Retired"}

func showEffect(e effect) string {
	switch e := e.(type) {
	case startEffect:
		s := fmt.Sprintf("start %v %s in %s/%d", e.start.Run, e.start.Worker.Name, e.start.Worker.Segment, e.start.Incarnation)
		if e.start.Worker.MainArg != 0 {
			s += fmt.Sprintf(" arg %d", e.start.Worker.MainArg)
		}
		return s
	case signalEffect:
		if e.group {
			return fmt.Sprintf("signal %v and its group %v", e.run, e.signal)
		}
		return fmt.Sprintf("signal %v alone %v", e.run, e.signal)
	case killEffect:
		return fmt.Sprintf("kill %v", e.run)
	case limitEffect:
		return fmt.Sprintf("limit %v to %v", e.run, e.limits.Cgroup)
	case publishEffect:
		return showChange(*e.change)
	case reply[error]:
		return showReply(e.what, "ok", e.value)
	case reply[registered]:
		return showReply(e.what, e.value.handle.String(), e.value.err)
	case reply[reloaded]:
		return showReply(e.what, e.value.result.String(), e.value.err)
	case reply[DatabaseResult]:
		return fmt.Sprintf("reply database: terminated %v remaining %v", e.value.Terminated, e.value.Remaining)
	case reply[Info]:
		return fmt.Sprintf("answer %v %v pid %d", e.value.Handle, e.value.Status, e.value.Pid)
	}
	return fmt.Sprintf("%T", e)
}

func showReply(what, good string, err error) string {
	if err != nil {
		return fmt.Sprintf("reply %s: error: %v", what, err)
	}
	return fmt.Sprintf("reply %s: %s", what, good)
}

func showChange(c Change) string {
	s := kindNames[c.Kind]
	switch {
	case c.Kind == Renewed || c.Kind == Retired:
		return fmt.Sprintf("%s %s/%d", s, c.Segment, c.Incarnation)
	case c.Kind == Skipped:
		return fmt.Sprintf("%s %s: %s", s, c.Info.Worker.Name, c.Info.Reason)
	case c.Kind == Crashed:
		s += fmt.Sprintf(" %s/%d by", c.Segment, c.Incarnation)
		if c.Server != "" {
			s += " server " + c.Server + ", as"
		}
	}
	s += " " + c.Info.Handle.String()
	if c.Before.State != c.Info.State {
		s += fmt.Sprintf(" %v ->", c.Before.State)
	}
	s += " " + c.Info.State.String()
	if c.Notify.Kind != NoOwner {
		s += " notify " + c.Notify.Bus
		if c.Notify.Kind == WorkerOwner {
			s += c.Notify.Run.String()
		}
	}
	return s
}

func run(t *testing.T, events string) string {
	t.Helper()
	s := newScript()
	for n, l := range strings.Split(events, "\n") {
		if l = strings.TrimSpace(l); l == "" || l[0] == '#' {
			continue
		}
		if err := s.line(l); err != nil {
			t.Fatalf("event line %d: %q: %v", n+1, l, err)
		}
		if err := s.table.check(); err != nil {
			t.Fatalf("after line %d, %q: %v", n+1, l, err)
		}
	}
	return s.out.String()
}
