package launch

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// clearCgroup kills what is left in the worker's cgroup, removes the cgroup and
// calls ended. The leader has been reaped. A cgroup that can be removed at once
// was empty, which is the rule and costs one system call.
func (p *Process) clearCgroup() {
	oom := p.l.cgroups.oomKilled(p.id)
	if p.l.cgroups.rmdir(p.id) == nil {
		p.ended(oom)
		return
	}
	if err := p.l.cgroups.kill(p.id); err != nil {
		p.l.opts.Notice(fmt.Errorf("cannot kill the processes of worker %s: %w", p.id, err))
	}
	events, err := p.l.cgroups.openEvents(p.id)
	if err == nil {
		if err = p.l.poller.Add(events, unix.EPOLLPRI, func(uint32) { p.onCgroupEvent(events) }); err == nil {
			return // called at once: nobody has read the file yet
		}
		unix.Close(events)
	}
	p.giveUp(err)
}

// onCgroupEvent runs whenever cgroup.events has changed.
func (p *Process) onCgroupEvent(events int) {
	populated, err := readPopulated(events)
	if err == nil && populated {
		return
	}
	p.l.poller.Remove(events)
	unix.Close(events)
	if err != nil {
		p.giveUp(err)
		return
	}
	// The worker may have made any number of cgroups in its own: not on the poller's time.
	go func() {
		oom := p.l.cgroups.oomKilled(p.id)
		err := p.l.cgroups.removeTree(p.id)
		if err != nil && p.refilled() {
			p.clearCgroup()
			return
		}
		if err != nil {
			p.l.opts.Notice(fmt.Errorf("cannot remove the cgroup of worker %s, which is empty: %w", p.id, err))
		}
		p.ended(oom)
	}()
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

// giveUp ends a worker whose cgroup cannot be watched. The kill has been sent.
func (p *Process) giveUp(err error) {
	p.l.opts.Notice(fmt.Errorf("cannot watch the cgroup of worker %s: %w", p.id, err))
	p.ended(false)
}
