package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A spender says which processes a start costs processor time, beside the
// worker's own.
type spender interface {
	spenders() spenders
}

// spenders are processes by what they are for: to supervise, to fork for the
// supervisor, and to ask it or pass the question on.
type spenders struct{ supervisor, launcher, asking []int }

// spent is the processor time of each kind of process.
type spent struct{ supervisor, launcher, asking, workers time.Duration }

// cpuSpent reads the clocks of s and of the workers' processes.
func cpuSpent(s spenders, workers []int) (t spent, err error) {
	for _, x := range []struct {
		pids []int
		sum  *time.Duration
	}{{s.supervisor, &t.supervisor}, {s.launcher, &t.launcher}, {s.asking, &t.asking}, {workers, &t.workers}} {
		for _, pid := range x.pids {
			d, err := cpuTime(pid)
			if err != nil {
				return t, err
			}
			*x.sum += d
		}
	}
	return t, nil
}

// cpuTime is what a process has spent, all its threads together.
func cpuTime(pid int) (time.Duration, error) {
	const sched = 2 // CPUCLOCK_SCHED, the low bits of what clock_getcpuclockid(3) makes
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|sched), &t); err != nil {
		return 0, fmt.Errorf("cannot read the clock of process %d: %w", pid, os.NewSyscallError("clock_gettime", err))
	}
	return time.Duration(t.Nano()), nil
}

// addSpent adds what each of n starts has cost since before, the workers' part
// from their fork until now, when they wait.
func (m *measuring) addSpent(p peer, s spenders, before spent, n int) error {
	pids, err := pidsOf(p, 0, n)
	if err != nil {
		return err
	}
	now, err := cpuSpent(s, pids)
	if err != nil {
		return err
	}
	parts := [...]time.Duration{
		now.supervisor - before.supervisor, now.launcher - before.launcher, now.asking - before.asking, now.workers,
	}
	var all time.Duration
	for i, id := range [...]string{"cpu-supervisor", "cpu-launcher", "cpu-asking", "cpu-worker"} {
		all += parts[i]
		if parts[i] > 0 { // there is such a part
			m.add(id, p.name(), micro(parts[i].Nanoseconds())/float64(n))
		}
	}
	m.add("cpu", p.name(), micro(all.Nanoseconds())/float64(n))
	return nil
}
