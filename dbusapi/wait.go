package dbusapi

import (
	"sync"
)

// waitList has the waits under way, by worker. It is told of every transition, so that a wait for an exit sees one that
// a restart follows within microseconds.
type waitList struct {
	mu sync.Mutex
	on map[Handle]map[*wait]struct{}
}

// wait is what one waiting call has seen since it began.
type wait struct {
	news chan struct{} // holds a token while something was seen

	// Under waitList.mu.
	tried   *WorkerInfo // first state seen that says its start was tried
	exited  bool        // a state without process was seen, ...
	exit    uint64      // ... the newest with this start number
	highest uint64      // highest start number seen
	removed bool
}

// begin registers a wait on h; end must follow. Read the worker's state after begin: then nothing falls between.
func (l *waitList) begin(h Handle) *wait {
	w := &wait{news: make(chan struct{}, 1)}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.on == nil {
		l.on = map[Handle]map[*wait]struct{}{}
	}
	if l.on[h] == nil {
		l.on[h] = map[*wait]struct{}{}
	}
	l.on[h][w] = struct{}{}
	return w
}

func (l *waitList) end(h Handle, w *wait) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.on[h], w)
	if len(l.on[h]) == 0 {
		delete(l.on, h)
	}
}

// changed tells the waits on a worker its new state.
func (l *waitList) changed(after WorkerInfo) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for w := range l.on[after.Handle] {
		if w.tried == nil && after.Status != StatusNotYetStarted {
			seen := after
			w.tried = &seen
		}
		if after.Status == StatusStopped {
			w.exited, w.exit = true, max(w.exit, after.StartNumber)
		}
		w.highest = max(w.highest, after.StartNumber)
		w.tell()
	}
}

// removed tells the waits on a worker that it is no longer listed.
func (l *waitList) removed(h Handle) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for w := range l.on[h] {
		w.removed = true
		w.tell()
	}
}

func (w *wait) tell() {
	select {
	case w.news <- struct{}{}:
	default:
	}
}

// startTried answers WaitForBackgroundWorkerStartup, if it can.
func (l *waitList) startTried(w *wait) (Status, uint32, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case w.removed:
		return StatusStopped, 0, true
	case w.tried != nil:
		return w.tried.Status, w.tried.MainPID, true
	}
	return "", 0, false
}

// ended reports whether the worker exited since it was as in base. A state older than base is none of ours: what is
// published trails what the Backend says.
func (l *waitList) ended(w *wait, base WorkerInfo) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return w.removed || w.exited && w.exit >= base.StartNumber || base.Status == StatusStarted && w.highest > base.StartNumber
}
