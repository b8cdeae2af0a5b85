package dbusapi

import (
	"sync"

	"github.com/godbus/dbus/v5"
)

// maxEvents bounds the events that wait for a receiver.
const maxEvents = 4096

// clientSignals is a Client's SignalHandler. The library calls it on the goroutine that reads the bus, in order; it
// verifies the sender, decodes, and queues for each watcher.
type clientSignals struct {
	mu       sync.Mutex
	owner    string // unique name of the daemon, "" for none
	changed  uint64 // how often owner was set by a signal
	last     StateChange
	watchers map[*watcher]struct{}
}

// watcher is the queue of one call of Events.
type watcher struct {
	news   chan struct{} // holds a token while events is not empty
	events []Event       // under clientSignals.mu
}

func newClientSignals() *clientSignals { return &clientSignals{watchers: map[*watcher]struct{}{}} }

func (c *clientSignals) add() *watcher {
	w := &watcher{news: make(chan struct{}, 1)}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watchers[w] = struct{}{}
	return w
}

func (c *clientSignals) remove(w *watcher) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.watchers, w)
}

// take returns what waits for w.
func (c *clientSignals) take(w *watcher) []Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	events := w.events
	w.events = nil
	return events
}

// changes counts the changes of the owner seen so far.
func (c *clientSignals) changes() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

// setOwner takes the answer to GetNameOwner, unless a signal has said something newer since.
func (c *clientSignals) setOwner(owner string, seen uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changed == seen {
		c.owner = owner
	}
}

// DeliverSignal takes one signal.
func (c *clientSignals) DeliverSignal(iface, member string, signal *dbus.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case signal.Sender == busDriver && iface == busDriver && member == "NameOwnerChanged":
		var name, before, after string
		if dbus.Store(signal.Body, &name, &before, &after) == nil && name == BusName {
			c.ownerChanged(after)
		}
	case signal.Sender == c.owner && c.owner != "" && iface == ManagerInterface && signal.Path == ManagerPath:
		e, ok := decodeEvent(member, signal.Body)
		if !ok || e.Kind == EventStateChanged && e.Change == c.last {
			return // an owner that has subscribed hears everything twice
		}
		if e.Kind == EventStateChanged {
			c.last = e.Change
		}
		c.deliver(e)
	}
}

// ownerChanged notes a new owner of the name, "" for none. Under c.mu.
func (c *clientSignals) ownerChanged(owner string) {
	before := c.owner
	c.owner = owner
	c.changed++
	if before == owner {
		return
	}
	c.last = StateChange{}
	if before != "" {
		c.deliver(Event{Kind: EventDaemonGone})
	}
	if owner != "" {
		c.deliver(Event{Kind: EventDaemonBack})
	}
}

// deliver queues e for all watchers. Under c.mu.
func (c *clientSignals) deliver(e Event) {
	for w := range c.watchers {
		if len(w.events) >= maxEvents {
			w.events = append(w.events[:0], Event{Kind: EventMissed})
		}
		w.events = append(w.events, e)
		select {
		case w.news <- struct{}{}:
		default:
		}
	}
}
