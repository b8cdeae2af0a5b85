package launch

import (
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// The kernel tells of one change of cgroup.events in 10 ms (CGROUP_FILE_NOTIFY_MIN_INTV)
// and of what follows in that time after it; but if the cgroup has been removed by
// then, it never tells. So who waits for the end of a tree also looks by itself:
// after lookFirst, and then after twice as long each time, up to lookMost.
const (
	lookFirst = 20 * time.Millisecond
	lookMost  = time.Second
)

// clearCgroup kills what is left in the worker's cgroup, removes the cgroup and
// calls ended. The leader has been reaped. A cgroup that can be removed at once
// was empty, which is the rule and costs one system call. oom is what is known
// until now.
func (p *Process) clearCgroup(oom bool) {
	oom = p.l.cgroups.oomKilled(p.id) || oom
	if p.l.cgroups.rmdir(p.id) == nil {
		p.ended(oom)
		return
	}
	p.killCgroup()
	p.watchCgroup(oom)
}

// killCgroup kills what is in the worker's cgroup now.
func (p *Process) killCgroup() {
	if err := p.l.cgroups.kill(p.id); err != nil {
		p.l.opts.Notice(fmt.Errorf("cannot kill the processes of worker %s: %w", p.id, err))
	}
}

// watchCgroup has removeCgroup called when the worker's cgroup is empty or gone.
func (p *Process) watchCgroup(oom bool) {
	events, err := p.l.cgroups.openEvents(p.id)
	if removed(err) { // by somebody else, so it was empty
		p.ended(oom)
		return
	}
	if err != nil {
		p.clearLater(oom, err)
		return
	}
	w := &cgroupWatch{p: p, oom: oom, events: events, pause: lookFirst}
	w.mu.Lock()
	defer w.mu.Unlock()
	// Calls at once: nobody has read the file yet.
	if err := p.l.poller.Add(events, unix.EPOLLPRI, func(uint32) { w.look() }); err != nil {
		unix.Close(events)
		p.clearLater(oom, err)
		return
	}
	w.again = time.AfterFunc(w.pause, w.lookAgain)
}

// A cgroupWatch waits for the end of what is in the cgroup of a worker.
type cgroupWatch struct {
	p      *Process
	oom    bool // seen before the watch
	mu     sync.Mutex
	events int           // cgroup.events; -1 when the watch has ended
	again  *time.Timer   // looks without having been told to
	pause  time.Duration // before it does
}

// look ends the watch if there is nothing to wait for any more.
func (w *cgroupWatch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lookLocked()
}

// lookAgain runs when w.again says so. What has been moved into the cgroup since the
// kill is killed too.
func (w *cgroupWatch) lookAgain() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lookLocked(); w.events >= 0 {
		w.p.killCgroup()
		w.pause = min(2*w.pause, lookMost)
		w.again.Reset(w.pause)
	}
}

func (w *cgroupWatch) lookLocked() {
	if w.events < 0 {
		return
	}
	populated, err := readPopulated(w.events)
	if err == nil && populated {
		return
	}
	w.p.l.poller.Remove(w.events)
	unix.Close(w.events)
	w.events = -1
	w.again.Stop()
	// The worker may have made any number of cgroups in its own: not on the poller's time.
	go w.p.removeCgroup(w.oom, err)
}

// removeCgroup removes the worker's cgroup, which is empty, or could not be watched
// because of err, and calls ended.
func (p *Process) removeCgroup(oom bool, err error) {
	if err != nil {
		p.clearLater(oom, err)
		return
	}
	oom = p.l.cgroups.oomKilled(p.id) || oom
	err = p.l.cgroups.removeTree(p.id)
	if err != nil && p.refilled() {
		p.clearCgroup(oom)
		return
	}
	if err != nil {
		p.l.opts.Notice(fmt.Errorf("cannot remove the cgroup of worker %s, which is empty: %w", p.id, err))
	}
	p.ended(oom)
}

// refilled says whether somebody has put a process into the cgroup after it was empty.
func (p *Process) refilled() bool {
	events, err := p.l.cgroups.openEvents(p.id)
	if err != nil {
		return false
	}
	defer unix.Close(events)
	populated, err := readPopulated(events)
	return err == nil && populated
}

// clearLater begins anew in lookMost with a cgroup that cannot be watched because
// of err, for want of descriptors say: a worker has not ended before its tree has.
func (p *Process) clearLater(oom bool, err error) {
	p.l.opts.Notice(fmt.Errorf("cannot watch the cgroup of worker %s, and look again in %v: %w", p.id, lookMost, err))
	time.AfterFunc(lookMost, func() { p.clearCgroup(oom) })
}
