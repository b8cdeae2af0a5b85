package daemon

import (
	"context"
	"time"
)

// A launcher that cannot be started is tried again after keepMin, and then ever
// more seldom up to keepMax.
const (
	keepMin = 100 * time.Millisecond
	keepMax = 5 * time.Second
)

// renewed has the modules of a segment loaded anew with the memory of its new
// incarnation, whether or not a worker is to be started: what _PG_init registers
// is owed to nobody's start. It does not block.
func (m *modules) renewed(segment string, incarnation uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.newest[segment] = max(m.newest[segment], incarnation)
	if h := m.hosts[segment]; h != nil && h.incarnation < incarnation {
		go m.keep(segment)
	}
}

// retired ends the launcher of a segment that nothing uses any more. It does not
// block.
func (m *modules) retired(segment string, incarnation uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.newest[segment] = max(m.newest[segment], incarnation)
	if h := m.hosts[segment]; h != nil && h.incarnation < incarnation {
		delete(m.hosts, segment)
		go h.end()
	}
}

// keep has a segment's launcher started, if it should have one; where that
// fails, it says so, and goes on trying in the background.
func (m *modules) keep(segment string) {
	m.mu.Lock()
	err := m.try(segment)
	begin := err != nil && !m.keeping[segment]
	if begin {
		m.keeping[segment] = true
	}
	m.mu.Unlock()
	if err != nil {
		m.daemon.log.Error("cannot load the modules", "segment", segment, "error", err)
	}
	if begin {
		go again(m.daemon.ctx, func() bool { return m.retry(segment) })
	}
}

// retry reports that nobody needs to try any more. Who finds out and who says so
// is one step: a failure after it begins anew.
func (m *modules) retry(segment string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	done := m.try(segment) == nil
	if done {
		delete(m.keeping, segment)
	}
	return done
}

// try starts a segment's launcher unless it runs, or is not wanted any more. m.mu
// is held all the time: what is wanted is what is done.
func (m *modules) try(segment string) error {
	preload := segment == moduleSegment && len(m.daemon.config().Settings.SharedPreloadLibraries) > 0
	if m.closed || !preload && m.hosts[segment] == nil {
		return nil
	}
	_, err := m.obtain(segment, 0)
	return err
}

// again calls try, with pauses before, until it reports success or ctx ends.
func again(ctx context.Context, try func() bool) {
	for pause := keepMin; ; pause = min(2*pause, keepMax) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		if try() {
			return
		}
	}
}
