package supervise

import (
	"sync"
	"time"

	"github.com/pg-bgw/pg-bgw/units"
)

// news is the queue of changes to the Sink: in order, and never in the loop's
// way. While workers are being started, what is new of them and of others that
// were is told later, by gatherTime at most: of a hundred that are registered at
// once the last need not wait until everybody has been told of the first. Where
// the sink is behind, changes of one registration that leave its state alone (a
// worker that attaches and detaches, or says that it is ready, as fast as it can)
// become one, so that no worker can make the queue grow.
type news struct {
	mu      sync.Mutex
	changes []*Change
	spare   []*Change            // empty, to be changes next
	newest  map[units.Handle]int // in changes
	wake    chan struct{}        // has room for one
	closed  chan struct{}

	busy   bool          // workers are being started
	urgent int           // of changes: what does not wait
	enough chan struct{} // has room for one: nothing is worth waiting for any more
}

// gatherTime bounds how long it takes longer to tell what is new because workers
// are being started.
const gatherTime = 15 * time.Millisecond

func newNews() *news {
	return &news{
		newest: map[units.Handle]int{}, wake: make(chan struct{}, 1), closed: make(chan struct{}),
		enough: make(chan struct{}, 1),
	}
}

// starting says whether workers are being started.
func (n *news) starting(busy bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.busy = busy; !busy {
		n.wakeGatherer()
	}
}

// wakeGatherer ends a gather. n.mu is held.
func (n *news) wakeGatherer() {
	select {
	case n.enough <- struct{}{}:
	default:
	}
}

// gather waits while nothing that is new is urgent and more of it is coming.
func (n *news) gather() {
	n.mu.Lock()
	wait := n.busy && len(n.changes) > 0 && n.urgent == 0
	if wait {
		select { // what was enough for an earlier one
		case <-n.enough:
		default:
		}
	}
	n.mu.Unlock()
	if !wait {
		return
	}
	timer := time.NewTimer(gatherTime)
	defer timer.Stop()
	select {
	case <-n.enough:
	case <-timer.C:
	case <-n.closed:
	}
}

func (n *news) put(c *Change) {
	n.mu.Lock()
	n.add(c)
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

func (n *news) add(c *Change) {
	if !c.Kind.ofOne() { // what follows is not moved before it
		clear(n.newest)
		n.changes = append(n.changes, c)
		n.hurry()
		return
	}
	switch c.Kind {
	case Registered, Started, Updated:
	default:
		n.hurry()
	}
	if i, ok := n.newest[c.Info.Handle]; ok && quiet(c) && quiet(n.changes[i]) {
		n.changes[i].Info = c.Info
		return
	}
	n.newest[c.Info.Handle] = len(n.changes)
	n.changes = append(n.changes, c)
}

// hurry notes a change that does not wait. n.mu is held.
func (n *news) hurry() {
	n.urgent++
	n.wakeGatherer()
}

// quiet reports whether c can be told as one with another such change.
func quiet(c *Change) bool {
	return c.Kind == Updated && c.Notify.Kind == NoOwner && c.Before.State == c.Info.State
}

// close says that nothing more will be put.
func (n *news) close() { close(n.closed) }

// drain calls f for each change until n is closed and empty.
func (n *news) drain(f func(Change)) {
	for {
		select {
		case <-n.closed:
			n.flush(f)
			return
		case <-n.wake:
			n.flush(f)
		}
	}
}

func (n *news) flush(f func(Change)) {
	for {
		n.gather()
		n.mu.Lock()
		batch := n.changes
		n.changes, n.urgent = n.spare, 0
		clear(n.newest)
		n.mu.Unlock()
		for _, c := range batch {
			f(*c)
		}
		clear(batch)
		n.mu.Lock()
		n.spare = batch[:0]
		n.mu.Unlock()
		if len(batch) == 0 {
			return
		}
	}
}
