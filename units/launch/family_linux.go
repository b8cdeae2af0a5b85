package launch

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"
)

// A family is the children of this process: the leaders, whose status belongs to
// their Process, and, when this process is a child subreaper, every orphan of a worker,
// which must be reaped. Children, and being a subreaper, are of the process and not
// of a Launcher, so there is one family in it.
type family struct {
	mu       sync.Mutex
	leaders  map[int]*Process  // unreaped, by number
	ids      map[string]bool   // of starts and unreaped leaders
	starting map[uint64]string // starts whose child is not known yet
	last     uint64            // token given out last
	adopting bool              // orphans come to this process
	wake     int               // eventfd, if adopting: there is something new to sweep
	suspect  suspect
	dying    []*Process   // leaders that have exited and that no sweep has taken on
	sweeping bool         // a goroutine is at it
	spares   map[int]bool // of launchers (spares_linux.go), unreaped
}

var kin = family{leaders: map[int]*Process{}, ids: map[string]bool{}, spares: map[int]bool{}, starting: map[uint64]string{}}

// A suspect is a dead child that is no leader, but may be the child of a start
// that is not known yet. It is an orphan as soon as every start is known that
// was under way when it was found.
type suspect struct {
	pid  int
	last uint64
}

// adopt makes this process a child subreaper that reaps what it inherits.
func (f *family) adopt() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.adopting {
		return nil
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl PR_SET_CHILD_SUBREAPER", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return os.NewSyscallError("eventfd", err)
	}
	f.wake, f.adopting = wake, true
	died := make(chan os.Signal, 1)
	signal.Notify(died, unix.SIGCHLD)
	go func() {
		for range died {
			f.reapOrphans()
		}
	}()
	return nil
}

// begin announces a start. Until settle is called with the token, no child that
// could be its is reaped.
func (f *family) begin(id string) (token uint64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ids[id] {
		return 0, &SpecError{ID: id, Field: "ID", Why: "is that of a worker which has not ended"}
	}
	f.last++
	f.starting[f.last] = id
	f.ids[id] = true
	return f.last, nil
}

// settle ends a start: p is a leader from now on if it has a process.
func (f *family) settle(token uint64, p *Process) {
	f.mu.Lock()
	delete(f.starting, token)
	if pid := p.Pid(); pid != 0 {
		f.leaders[pid] = p
		if f.suspect.pid == pid {
			f.suspect = suspect{}
		}
	} else {
		delete(f.ids, p.id)
	}
	f.mu.Unlock()
	f.reapOrphans()
}

// forget says that a leader has been reaped.
func (f *family) forget(pid int) {
	f.mu.Lock()
	if p := f.leaders[pid]; p != nil {
		delete(f.leaders, pid)
		delete(f.ids, p.id)
	}
	f.mu.Unlock()
	f.reapOrphans()
}

// reapOrphans reaps every dead orphan. waitid names the first dead child only. If
// that is a leader, or may become one, the pass ends: forget and settle run the
// next. If it is somebody else's (a child in our session), the orphans behind it
// are looked for in /proc.
func (f *family) reapOrphans() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.adopting {
		c, err := waitid(unix.P_ALL, 0, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
		if err != nil || c.pid == 0 {
			return
		}
		switch f.judge(c.pid) {
		case orphan:
			f.bury(c.pid)
		case spare:
			delete(f.spares, c.pid)
			f.bury(c.pid)
		case notYet:
			return
		case foreign:
			f.reapBehind()
			return
		}
	}
}

// A verdict is what a dead child is.
type verdict int

const (
	orphan verdict = iota
	notYet
	foreign
	spare
)

// judge tells a dead child's kind. Workers are session leaders, and no process
// can enter a session: what is in ours never came from one. f.mu is held.
func (f *family) judge(pid int) verdict {
	if f.leaders[pid] != nil {
		return notYet
	}
	if f.spares[pid] {
		return spare
	}
	own, err := unix.Getsid(0)
	if sid, err2 := unix.Getsid(pid); err != nil || err2 != nil || sid == own {
		return foreign
	}
	if f.suspect.pid != pid {
		f.suspect = suspect{pid: pid, last: f.last}
	}
	oldest := uint64(math.MaxUint64)
	for token := range f.starting {
		oldest = min(oldest, token)
	}
	if oldest <= f.suspect.last {
		return notYet
	}
	return orphan
}

func (f *family) bury(pid int) {
	_, _ = waitid(unix.P_PID, pid, unix.WEXITED|unix.WNOHANG, nil)
	f.suspect = suspect{}
}

func (f *family) reapBehind() {
	for _, p := range readProcs() {
		if p.ppid == os.Getpid() && p.zombie && f.judge(p.pid) == orphan {
			f.bury(p.pid)
		}
	}
}

// unwatched ends a child for which there is no descriptor left: it is killed, and
// a thread waits for it.
func (p *Process) unwatched(err error) {
	p.mu.Lock()
	p.phase = dead
	p.start.failure = errors.Join(fmt.Errorf("cannot start worker %s: %w", p.id, err), p.start.failure)
	pid := int(p.pid)
	p.mu.Unlock()
	_ = unix.Kill(pid, unix.SIGKILL)
	go func() {
		_, _ = waitid(unix.P_PID, pid, unix.WEXITED|unix.WNOWAIT, nil)
		p.leaderDead()
	}()
}
