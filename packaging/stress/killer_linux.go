package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// killer ends children of a process at random, but for its launchers.
type killer struct {
	parent int
	killed atomic.Int64
}

func (k *killer) count() int64 { return k.killed.Load() }

// run kills one after the other until ctx ends.
func (k *killer) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(50+rand.IntN(4000)) * time.Millisecond):
		}
		children := k.children()
		if len(children) == 0 {
			continue
		}
		sig := syscall.SIGKILL
		switch rand.IntN(10) {
		case 0, 1, 2:
			sig = syscall.SIGTERM
		case 3:
			sig = syscall.SIGSTOP
		}
		k.kill(children[rand.IntN(len(children))], sig)
	}
}

// kill signals a child if it is still one: the handle is taken before that is
// looked at. One that is stopped goes on after a while.
func (k *killer) kill(pid int, sig syscall.Signal) {
	p, err := os.FindProcess(pid)
	if err != nil {
		return
	}
	defer p.Release()
	if parentOf(pid) != k.parent || p.Signal(sig) != nil {
		return
	}
	k.killed.Add(1)
	if sig == syscall.SIGSTOP {
		time.Sleep(time.Duration(rand.IntN(1500)) * time.Millisecond)
		_ = p.Signal(syscall.SIGCONT)
	}
}

func (k *killer) children() []int {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", k.parent))
	var pids []int
	for _, f := range files {
		text, _ := os.ReadFile(f)
		for word := range strings.FieldsSeq(string(text)) {
			pid, err := strconv.Atoi(word)
			exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
			if err == nil && exe != "" && filepath.Base(exe) != "pg-bgw-launcher" {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// parentOf is 0 for a process that is gone.
func parentOf(pid int) int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 2 {
		return 0
	}
	ppid, _ := strconv.Atoi(fields[1])
	return ppid
}
