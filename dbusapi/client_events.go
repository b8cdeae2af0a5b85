package dbusapi

import (
	"context"

	"github.com/godbus/dbus/v5"
)

// EventKind says what an [Event] is about and which of its fields mean something.
type EventKind int

// The kinds. The last three are made by the Client itself.
const (
	EventStateChanged EventKind = iota // Handle, Change
	EventNew                           // Handle, Label
	EventRemoved                       // Handle
	EventReloading                     // Active
	EventServer                        // Server: Name, Phase and Evidence
	EventDaemonGone                    // the bus name lost its owner: POSTMASTER_DIED (BGW-043)
	EventDaemonBack                    // a daemon took the name; handles of the earlier one match nothing
	EventMissed                        // the receiver was too slow and events were dropped: read everything again
)

// Event is a signal of the daemon, its sender verified.
type Event struct {
	Kind   EventKind
	Handle Handle
	Label  string
	Change StateChange
	Active bool // a reload is under way
	Server ServerInfo
}

// Match rules of a client. A unicast notification needs none.
const (
	ownerRule  = wideRule + ",arg0='" + BusName + "'"
	eventsRule = "type='signal',sender='" + BusName + "',interface='" + ManagerInterface + "'"
)

// Events returns the daemon's signals in order, until ctx ends or the bus is lost; then the channel is closed. With all
// false they are the notifications for workers that this Client owns; with all true it subscribes, again after each
// restart of the daemon, and gets everything. Signals by anybody but the owner of the name are dropped; so are
// repetitions, as when an owner has also subscribed. Events that happen after it returned are not missed: read the state
// then, and wait.
func (c *Client) Events(ctx context.Context, all bool) (<-chan Event, error) {
	undo := c.match(ownerRule)
	if all {
		undoEvents, undoOwner := c.match(eventsRule), undo
		undo = func() { undoEvents(); undoOwner() }
	}
	w := c.signals.add()
	stop := func() {
		c.signals.remove(w)
		undo()
	}
	if err := c.findOwner(ctx); err != nil {
		stop()
		return nil, err
	}
	if all {
		if err := c.Subscribe(ctx); err != nil && !IsNoDaemon(err) {
			stop()
			return nil, err
		}
	}
	out := make(chan Event)
	go func() {
		defer close(out)
		defer stop()
		c.pump(ctx, w, out, all)
	}()
	return out, nil
}

// match adds a match rule and returns what takes it back. Errors need no look: a broker refuses a rule only for want of
// quota, and then the calls that follow fail too.
func (c *Client) match(rule string) (undo func()) {
	c.conn.BusObject().Go(busDriver+".AddMatch", 0, nil, rule)
	return func() { c.conn.BusObject().Go(busDriver+".RemoveMatch", 0, nil, rule) }
}

// findOwner asks who owns the bus name now. The rule for changes is in place already.
func (c *Client) findOwner(ctx context.Context) error {
	var owner string
	seen := c.signals.changes()
	err := fromBus(c.conn.BusObject().CallWithContext(ctx, busDriver+".GetNameOwner", 0, BusName).Store(&owner))
	if err != nil && !IsError(err, errorNameHasNoOwner) {
		return err
	}
	c.signals.setOwner(owner, seen)
	return nil
}

// pump hands the events of w out until ctx or the connection ends.
func (c *Client) pump(ctx context.Context, w *watcher, out chan<- Event, all bool) {
	for {
		for _, e := range c.signals.take(w) {
			if all && (e.Kind == EventDaemonBack || e.Kind == EventMissed) && c.Subscribe(ctx) != nil {
				continue // gone again already: another EventDaemonGone follows
			}
			select {
			case out <- e:
			case <-ctx.Done():
				return
			case <-c.conn.Context().Done():
				return
			}
		}
		select {
		case <-w.news:
		case <-ctx.Done():
			return
		case <-c.conn.Context().Done():
			return
		}
	}
}

// decodeEvent reads a signal of ManagerInterface; ok is false for one that this version does not know.
func decodeEvent(member string, body []any) (e Event, ok bool) {
	var path dbus.ObjectPath
	var err error
	switch member {
	case "WorkerStateChanged":
		e.Kind = EventStateChanged
		s := &e.Change
		err = dbus.Store(body, &path, &s.State, &s.Status, &s.PID, &s.ExitCode, &s.ExitSignal, &s.Reason, &s.StartNumber)
	case "WorkerNew":
		e.Kind = EventNew
		err = dbus.Store(body, &path, &e.Label)
	case "WorkerRemoved":
		e.Kind = EventRemoved
		err = dbus.Store(body, &path)
	case "ServerPhaseChanged":
		e.Kind = EventServer
		return e, dbus.Store(body, &path, &e.Server.Name, &e.Server.Phase, &e.Server.Evidence) == nil
	case "Reloading":
		e.Kind = EventReloading
		return e, dbus.Store(body, &e.Active) == nil
	default:
		return e, false
	}
	if err == nil {
		e.Handle, ok = parseHandle(path)
		e.Change.Handle = e.Handle
	}
	return e, ok
}
