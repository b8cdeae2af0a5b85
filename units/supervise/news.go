package supervise

import (
	"sync"

	"github.com/pg-bgw/pg-bgw/units"
)

// news is the queue of changes to the Sink: in order, and never in the loop's
// way. Where the sink is behind, changes of one registration that leave its
// state alone (a worker that attaches and detaches, or says that it is ready,
// as fast as it can) become one, so that no worker can make the queue grow.
type news struct {
	mu      sync.Mutex
	changes []*Change
	spare   []*Change            // empty, to be changes next
	newest  map[units.Handle]int // in changes
	wake    chan struct{}        // has room for one
	closed  chan struct{}
}

func newNews() *news {
	return &news{newest: map[units.Handle]int{}, wake: make(chan struct{}, 1), closed: make(chan struct{})}
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
	switch c.Kind {
	case Renewed, Crashed, Skipped: // not of one registration; what follows is not moved before them
		clear(n.newest)
		n.changes = append(n.changes, c)
		return
	}
	if i, ok := n.newest[c.Info.Handle]; ok && quiet(c) && quiet(n.changes[i]) {
		n.changes[i].Info = c.Info
		return
	}
	n.newest[c.Info.Handle] = len(n.changes)
	n.changes = append(n.changes, c)
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
		n.mu.Lock()
		batch := n.changes
		n.changes = n.spare
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
