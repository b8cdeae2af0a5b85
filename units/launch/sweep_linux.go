package launch

import (
	"os"

	"golang.org/x/sys/unix"
)

// killTrees kills what has outlived the leaders of dying, which are dead and
// unreaped, and returns those of which something was left, with a pidfd for each
// process that was killed. Between a look at /proc and a kill a number may have become another
// process's, so the pidfds are taken first and /proc is looked at again.
func (f *family) killTrees(dying []*Process) (alive map[*Process]bool, pidfds []int) {
	if !f.strangers() {
		return nil, nil
	}
	alive = map[*Process]bool{}
	first := members(readProcs(), dying, f.isLeader)
	if len(first) == 0 {
		return alive, nil
	}
	held := make(map[int]int, len(first))
	for pid := range first {
		if fd, err := unix.PidfdOpen(pid, 0); err == nil {
			held[pid] = fd
			pidfds = append(pidfds, fd)
		}
	}
	for pid, p := range members(readProcs(), dying, f.isLeader) {
		alive[p] = true
		if fd, ok := held[pid]; ok && first[pid] == p {
			_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		}
	}
	return alive, pidfds
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
