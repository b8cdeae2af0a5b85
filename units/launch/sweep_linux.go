package launch

import (
	"cmp"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// sweep has the tree of p, whose leader is dead and unreaped, killed; p.ended
// is called when nothing of it is left.
func (f *family) sweep(p *Process) {
	f.mu.Lock()
	f.dying = append(f.dying, p)
	start := !f.sweeping
	f.sweeping = true
	f.mu.Unlock()
	if start {
		go f.sweepAll()
		return
	}
	var one = [8]byte{0: 1}
	_, _ = unix.Write(f.wake, one[:]) // fails only if it is awake already
}

// holdAgain is the pause before a tree is looked at again of which nothing could be
// held: it was just ending, or there is no descriptor left to hold it by.
const holdAgain = time.Millisecond

// A victim is a process that has been killed and not yet seen dead.
type victim struct {
	of    *Process
	pidfd int
}

// sweepAll runs until there is nothing to sweep. One look at /proc serves every
// dying tree, so that a thousand that die at once cost no more than one. A tree is
// gone when all its victims are dead and one more look finds no others.
func (f *family) sweepAll() {
	var victims []victim
	var look []*Process // trees without victims, to be looked at
	for {
		f.mu.Lock()
		look = append(look, f.dying...)
		f.dying = nil
		if len(look) == 0 && len(victims) == 0 {
			f.sweeping = false
			f.mu.Unlock()
			return
		}
		f.mu.Unlock()
		killed, alive := f.killTrees(look)
		victims = append(victims, killed...)
		var again []*Process
		for _, p := range look {
			switch {
			case !alive[p]:
				p.reap()
				p.ended(false)
			case !hasVictim(killed, p): // it was gone before it could be held
				again = append(again, p)
			}
		}
		if look = again; len(look) == 0 {
			victims, look = f.waitDead(victims)
		} else {
			time.Sleep(holdAgain)
		}
	}
}

func hasVictim(victims []victim, p *Process) bool {
	return slices.ContainsFunc(victims, func(v victim) bool { return v.of == p })
}

// waitDead waits until a victim has died or sweep was called. It returns the
// victims that are left and the trees that have none any more.
func (f *family) waitDead(victims []victim) (left []victim, done []*Process) {
	if len(victims) == 0 {
		return nil, nil
	}
	fds := []unix.PollFd{{Fd: int32(f.wake), Events: unix.POLLIN}}
	for _, v := range victims {
		fds = append(fds, unix.PollFd{Fd: int32(v.pidfd), Events: unix.POLLIN})
	}
	for {
		if _, err := unix.Poll(fds, -1); err != unix.EINTR {
			break
		}
	}
	var b [8]byte
	_, _ = unix.Read(f.wake, b[:])
	for i, v := range victims {
		if fds[i+1].Revents == 0 {
			left = append(left, v)
			continue
		}
		unix.Close(v.pidfd)
		done = append(done, v.of)
	}
	slices.SortFunc(done, func(a, b *Process) int { return cmp.Compare(a.pid, b.pid) })
	done = slices.Compact(done)
	return left, slices.DeleteFunc(done, func(p *Process) bool { return hasVictim(left, p) })
}

// freezeRounds bounds how often /proc is looked at for processes that are new. A
// process that has been stopped cannot fork, so each round stops all that the last
// one left running.
const freezeRounds = 20

// killTrees kills what has outlived the leaders of dying, which are dead and
// unreaped, and returns what it killed and the trees that it found alive.
//
// First everything is stopped, until a look finds nothing new: a child that is made
// between look and kill would lose its parent, and with it perhaps the only sign
// of whose it is. Between a look and a signal a number may have become another
// process's; so a process is signalled only when a later look still finds it.
func (f *family) killTrees(dying []*Process) (killed []victim, alive map[*Process]bool) {
	if len(dying) == 0 || !f.strangers() {
		return nil, nil
	}
	alive = map[*Process]bool{}
	held := map[int]*hold{}
	for range freezeRounds {
		found := members(readProcs(), dying, f.isLeader)
		if !freeze(found, held) {
			break
		}
		for _, p := range found {
			alive[p] = true
		}
	}
	for _, h := range held {
		if !h.stopped {
			unix.Close(h.pidfd)
			continue
		}
		_ = unix.PidfdSendSignal(h.pidfd, unix.SIGKILL, nil, 0)
		killed = append(killed, h.victim)
	}
	return killed, alive
}

// A hold is a process that has been found once, and stopped if it was found again.
type hold struct {
	victim
	stopped bool
}

// freeze takes hold of what is new and stops what was held; false if there was neither.
func freeze(found map[int]*Process, held map[int]*hold) (changed bool) {
	for pid, p := range found {
		h := held[pid]
		switch {
		case h == nil:
			changed = true
			if fd, err := unix.PidfdOpen(pid, 0); err == nil {
				held[pid] = &hold{victim: victim{of: p, pidfd: fd}}
			}
		case !h.stopped:
			changed = true
			h.stopped = true
			_ = unix.PidfdSendSignal(h.pidfd, unix.SIGSTOP, nil, 0)
		}
	}
	return changed
}

func (f *family) isLeader(pid int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.leaders[pid] != nil
}

// members returns whose tree each living process belongs to. The orphans of a dead
// leader are below this process, since it is their subreaper. Leaders themselves, the
// living ones with their trees, are passed over.
func members(procs []proc, dying []*Process, isLeader func(pid int) bool) map[int]*Process {
	bySession, byID := map[int]*Process{}, map[string]*Process{}
	for _, p := range dying {
		bySession[p.Pid()] = p
		byID[p.id] = p
	}
	below := map[int][]proc{}
	for _, pr := range procs {
		below[pr.ppid] = append(below[pr.ppid], pr)
	}
	found := map[int]*Process{}
	var walk func(parent int, of *Process)
	walk = func(parent int, of *Process) {
		for _, pr := range below[parent] {
			owner := of
			if owner == nil && isLeader(pr.pid) {
				continue
			}
			if owner == nil {
				owner = ownerOf(pr, bySession, byID)
			}
			if owner != nil && !pr.zombie {
				found[pr.pid] = owner
			}
			walk(pr.pid, owner)
		}
	}
	walk(os.Getpid(), nil)
	return found
}

// ownerOf returns whose tree a process declares itself to be in.
func ownerOf(pr proc, bySession map[int]*Process, byID map[string]*Process) *Process {
	if p := bySession[pr.session]; p != nil {
		return p
	}
	if p := bySession[pr.pgrp]; p != nil {
		return p
	}
	if pr.zombie {
		return nil
	}
	return byID[markOf(pr.pid)]
}
