package launch

import (
	"slices"

	"golang.org/x/sys/unix"
)

// A launcher with modules keeps a copy of itself, its spare, of which the next
// worker is made faster. It is a child of this process and in its session, and
// ends when it has made a worker or with its launcher. Whoever is not told of it
// takes it for somebody else's child: nobody signals it or waits for it.

// onSpare is told that a launcher has made its spare pid; the one before has ended
// or is about to. It runs on the poller's goroutine.
func (p *program) onSpare(pid int) {
	kin.addSpare(pid)
	p.spares = append(slices.DeleteFunc(p.spares, kin.reapSpare), pid)
}

// endSpares kills the spares of a dead launcher and calls ended when all have been
// reaped: at once, as a rule, else on the poller's goroutine.
func (p *program) endSpares(ended func()) {
	for _, pid := range p.spares {
		kin.killSpare(pid)
	}
	for _, pid := range p.spares {
		if kin.reapSpare(pid) {
			continue
		}
		if fd, err := unix.PidfdOpen(pid, 0); err == nil {
			if p.l.poller.Add(fd, unix.EPOLLIN, func(uint32) {
				p.l.poller.Discard(fd)
				p.endSpares(ended)
			}) == nil {
				return
			}
			unix.Close(fd)
		}
	}
	p.spares = nil
	ended()
}

func (f *family) addSpare(pid int) {
	f.mu.Lock()
	f.spares[pid] = true
	f.mu.Unlock()
	f.reapOrphans() // it may have died as somebody else's child
}

// reapSpare reports whether a spare is gone.
func (f *family) reapSpare(pid int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.spares[pid] {
		c, err := waitid(unix.P_PID, pid, unix.WEXITED|unix.WNOHANG, nil)
		if err == nil && c.pid == 0 {
			return false
		}
		delete(f.spares, pid)
	}
	return true
}

// killSpare signals by number: a spare that is in f.spares has not been reaped.
func (f *family) killSpare(pid int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.spares[pid] {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
}
