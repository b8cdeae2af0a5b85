package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/pg-bgw/pg-bgw/dbusapi"
	"github.com/pg-bgw/pg-bgw/units"
	"github.com/spf13/cobra"
)

const monitorLong = `Show what happens to workers and servers as it happens, all or those workers that are
named, until Ctrl-C. The service may end and come back meanwhile. With --json each event
is one line.`

func newMonitor(a *app) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:               "monitor [WORKER...]",
		Short:             "Show changes as they happen",
		Long:              monitorLong,
		ValidArgsFunction: a.completeWorkers,
	}
	cmd.Flags().IntVarP(&limit, "count", "n", 0, "end after so many events; 0: go on until Ctrl-C")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if limit < 0 {
			return misused(cmd, "--count is negative")
		}
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		if err := a.monitor(ctx, args, limit); ctx.Err() == nil {
			return err
		}
		return nil // Ctrl-C is how it ends
	}
	return cmd
}

// monitor prints events until ctx ends, which is an error of some kind, or there were limit.
func (a *app) monitor(ctx context.Context, args []string, limit int) error {
	b, err := a.dial()
	if err != nil {
		return err
	}
	defer b.Close()
	events, err := b.Events(ctx, true)
	if err != nil {
		return explain(err, "watch the service")
	}
	m := monitor{app: a, bus: b, titles: map[handle]string{}, labels: map[handle]string{}}
	if err := m.begin(ctx, args); err != nil {
		return err
	}
	for printed := 0; limit == 0 || printed < limit; {
		e, ok := <-events
		if !ok {
			return &failure{code: codeFailed, text: "the bus was lost", hint: "see: systemctl status dbus"}
		}
		shown, err := m.event(ctx, e)
		if err != nil {
			return err
		}
		if shown {
			printed++
		}
	}
	return nil
}

// monitor is what is known of the workers whose events are printed.
type monitor struct {
	app    *app
	bus    *bus
	titles map[handle]string // of the workers that had an event
	labels map[handle]string // of those that there were at the beginning: what is left of one that is gone
	only   map[handle]bool   // those whose events are printed; nil: all
	follow map[string]bool   // labels of definitions among them: a later registration counts, too
}

// begin reads what workers there are. A service that does not run is waited for, unless workers were named.
func (m *monitor) begin(ctx context.Context, args []string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	ws, err := m.bus.index(ctx, "watch workers")
	if f, ok := err.(*failure); ok && left(f.cause) && len(args) == 0 {
		if !m.app.quiet {
			fmt.Fprintln(m.app.err, "pg-bgwctl: the pg-bgw service does not run; waiting for it")
		}
		return nil
	}
	if err != nil {
		return err
	}
	for i := range ws {
		m.labels[ws[i].Handle] = cmp.Or(ws[i].Label, ws[i].Definition.Name)
	}
	for _, arg := range args {
		w, err := m.bus.find(ctx, ws, arg)
		if err != nil {
			return err
		}
		if m.only == nil {
			m.only, m.follow = map[handle]bool{}, map[string]bool{}
		}
		m.only[w.Handle] = true
		if !w.Dynamic {
			m.follow[w.Label] = true
		}
	}
	return nil
}

// renew adds the new registrations of definitions that are followed: the one of e, or all that there are after the service
// has come back or events were missed.
func (m *monitor) renew(ctx context.Context, e dbusapi.Event) {
	again := e.Kind == dbusapi.EventDaemonBack || e.Kind == dbusapi.EventMissed
	if len(m.follow) == 0 || e.Kind != dbusapi.EventNew && !again {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	ws := workers{{Handle: e.Handle, Label: e.Label}}
	if again {
		ws, _ = m.bus.index(ctx, "watch workers") // who comes later is an event
	}
	for i := range ws {
		if !m.follow[ws[i].Label] {
			continue
		}
		if w, err := m.bus.Worker(ctx, ws[i].Handle); err == nil && !w.Dynamic { // whose name is nobody's label
			m.only[w.Handle] = true
		}
	}
}

// eventLine is one event as JSON; fields that an event does not have are left out.
type eventLine struct {
	Time        uint64  `json:"Time"` // CLOCK_REALTIME µs at which this command learned of it
	Event       string  `json:"Event"`
	Handle      string  `json:"Handle,omitempty"`
	Worker      string  `json:"Worker,omitempty"`
	State       string  `json:"State,omitempty"`
	Status      string  `json:"Status,omitempty"`
	MainPID     uint32  `json:"MainPID,omitempty"`
	ExitCode    *int32  `json:"ExitCode,omitempty"`
	ExitSignal  *int32  `json:"ExitSignal,omitempty"`
	Reason      string  `json:"Reason,omitempty"`
	StartNumber *uint64 `json:"StartNumber,omitempty"`
	Active      *bool   `json:"Active,omitempty"` // of reloading: false when it is over
	Server      string  `json:"Server,omitempty"`
	Phase       string  `json:"Phase,omitempty"`
	Evidence    string  `json:"Evidence,omitempty"`
}

// event prints e if it is wanted.
func (m *monitor) event(ctx context.Context, e dbusapi.Event) (shown bool, err error) {
	m.renew(ctx, e)
	ofWorker := e.Kind == dbusapi.EventStateChanged || e.Kind == dbusapi.EventNew || e.Kind == dbusapi.EventRemoved
	if m.only != nil && (ofWorker && !m.only[e.Handle] || e.Kind == dbusapi.EventServer) {
		return false, nil
	}
	name := m.name(ctx, e)
	if e.Kind == dbusapi.EventRemoved || e.Kind == dbusapi.EventDaemonGone {
		m.forget(e)
	}
	now := time.Now()
	if m.app.wantsJSON() {
		one := *m.app
		one.json = "short"
		return true, one.writeJSON(jsonOf(e, name, now))
	}
	line := now.Local().Format("15:04:05") + " " + m.app.screen.text(e, safe(name))
	s := m.app.screen
	if m.app.full || s.color { // a coloured line cannot be cut by columns
		s.width = 0
	}
	_, err = io.WriteString(m.app.out, s.fit(line, 0)+"\n")
	return true, err
}

// name returns what the worker of e is called; a worker that is new is asked for it.
func (m *monitor) name(ctx context.Context, e dbusapi.Event) string {
	if e.Handle == (handle{}) {
		return ""
	}
	if _, known := m.titles[e.Handle]; !known {
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		if w, err := m.bus.Worker(ctx, e.Handle); err == nil {
			m.titles[e.Handle] = title(&w)
		} else {
			m.titles[e.Handle] = cmp.Or(e.Label, m.labels[e.Handle])
		}
	}
	return m.titles[e.Handle]
}

func (m *monitor) forget(e dbusapi.Event) {
	delete(m.titles, e.Handle)
	delete(m.labels, e.Handle)
	if e.Kind == dbusapi.EventDaemonGone {
		clear(m.titles)
		clear(m.labels)
	}
}

// eventWords are the kinds of events in JSON.
var eventWords = map[dbusapi.EventKind]string{
	dbusapi.EventStateChanged: "state", dbusapi.EventNew: "new", dbusapi.EventRemoved: "removed",
	dbusapi.EventReloading: "reloading", dbusapi.EventServer: "server", dbusapi.EventDaemonGone: "gone", dbusapi.EventDaemonBack: "back",
	dbusapi.EventMissed: "missed",
}

func jsonOf(e dbusapi.Event, name string, now time.Time) eventLine {
	l := eventLine{Time: uint64(now.UnixMicro()), Event: eventWords[e.Kind], Worker: name}
	if e.Handle != (handle{}) {
		l.Handle = handleText(e.Handle)
	}
	if e.Kind == dbusapi.EventReloading {
		l.Active = &e.Active
	}
	if e.Kind == dbusapi.EventServer {
		l.Server, l.Phase, l.Evidence = e.Server.Name, e.Server.Phase, e.Server.Evidence
	}
	if c := e.Change; e.Kind == dbusapi.EventStateChanged {
		l.State, l.Status, l.MainPID, l.Reason = c.State, string(c.Status), c.PID, c.Reason
		l.ExitCode, l.ExitSignal, l.StartNumber = &c.ExitCode, &c.ExitSignal, &c.StartNumber
	}
	return l
}

// text says in one line what e says; name is safe.
func (s screen) text(e dbusapi.Event, name string) string {
	worker := handleText(e.Handle) + " " + name
	switch e.Kind {
	case dbusapi.EventNew:
		return worker + " registered"
	case dbusapi.EventRemoved:
		return worker + " forgotten"
	case dbusapi.EventReloading:
		if e.Active {
			return "reloading the configuration"
		}
		return "reload over; its outcome: pg-bgwctl status"
	case dbusapi.EventServer:
		return fmt.Sprintf("server %s is %s (%s)", safe(e.Server.Name), safe(e.Server.Phase), safe(e.Server.Evidence))
	case dbusapi.EventDaemonGone:
		return s.paint(bad, "the pg-bgw service ended")
	case dbusapi.EventDaemonBack:
		return s.paint(good, "the pg-bgw service runs")
	case dbusapi.EventMissed:
		return "events were missed: see pg-bgwctl list"
	}
	w := workerInfo{State: e.Change.State, ExitCode: e.Change.ExitCode, ExitSignal: e.Change.ExitSignal, Reason: e.Change.Reason}
	text := worker + " " + s.paint(styleOf(&w), safe(w.State))
	if e.Change.PID != 0 {
		text += fmt.Sprintf(", pid %d", e.Change.PID)
	} else if exit := exitText(&w); exit != "" && w.State != units.Waiting.String() && w.State != units.Starting.String() {
		text += ", last process " + exit
		if words, _, _ := strings.Cut(exit, ":"); strings.HasPrefix(w.Reason, words) {
			return text // the reason says the same
		}
	}
	return text + reasonText(&w)
}
