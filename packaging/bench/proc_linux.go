package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// pss is the proportional set size of processes, in KiB: each page counted by
// its share. Mapped memfds are left out: they are what pg-bgw's workers share,
// and are accounted for by themselves.
func pss(pids []int) (float64, error) {
	var sum float64
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps", pid))
		if err != nil {
			return 0, err
		}
		sum += sumPss(string(b))
	}
	return sum, nil
}

// sumPss adds the Pss of the mappings in the text of an smaps file.
func sumPss(smaps string) float64 {
	var sum float64
	segment := false
	for line := range strings.Lines(smaps) {
		f := strings.Fields(line)
		switch {
		case len(f) >= 5 && !strings.HasSuffix(f[0], ":"): // a mapping's first line
			segment = len(f) > 5 && strings.HasPrefix(f[5], "/memfd:")
		case len(f) > 1 && f[0] == "Pss:" && !segment:
			v, _ := strconv.ParseFloat(f[1], 64)
			sum += v
		}
	}
	return sum
}

// switches is the number of context switches of processes since they began,
// over all their threads.
func switches(pids []int) (float64, error) {
	var sum float64
	for _, pid := range pids {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
		if err != nil || len(tasks) == 0 {
			return 0, fmt.Errorf("process %d is gone", pid)
		}
		for _, t := range tasks {
			for _, name := range []string{"voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"} {
				v, err := statusField(t, name)
				if errors.Is(err, os.ErrNotExist) {
					continue // a thread that has just ended
				}
				if err != nil {
					return 0, err
				}
				sum += v
			}
		}
	}
	return sum, nil
}

// statusField is the first number after name in a file of "Name: value" lines.
func statusField(path, name string) (float64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == name {
			return strconv.ParseFloat(f[1], 64)
		}
	}
	return 0, fmt.Errorf("%s has no line %q", path, name)
}

// children are the direct children of process pid.
func children(pid int) []int {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	var pids []int
	for _, f := range files {
		b, _ := os.ReadFile(f)
		for _, s := range strings.Fields(string(b)) {
			if n, err := strconv.Atoi(s); err == nil {
				pids = append(pids, n)
			}
		}
	}
	return pids
}

// openPidfds pins processes, so that awaitGone waits for them and for no
// successor of their numbers. Those already gone are left out.
func openPidfds(pids []int) ([]int, error) {
	var fds []int
	for _, pid := range pids {
		if pid <= 1 {
			continue
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err == unix.ESRCH {
			continue
		}
		if err != nil {
			closeAll(fds)
			return nil, fmt.Errorf("cannot watch process %d: %w", pid, os.NewSyscallError("pidfd_open", err))
		}
		fds = append(fds, fd)
	}
	return fds, nil
}

// awaitGone closes pidfds once each of their processes has ended.
func awaitGone(ctx context.Context, fds []int) error {
	defer closeAll(fds)
	for i, fd := range fds {
		for {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 100)
			if n > 0 {
				break
			}
			if err != nil && err != unix.EINTR {
				return os.NewSyscallError("poll", err)
			}
			if ctx.Err() != nil {
				return fmt.Errorf("%d processes do not end: %w", len(fds)-i, context.Cause(ctx))
			}
		}
	}
	return nil
}

// hasEnded waits up to limit for the end of a child that nobody reaps
// meanwhile, and leaves it to be reaped.
func hasEnded(pid int, limit time.Duration) bool {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err == unix.ESRCH
	}
	defer unix.Close(fd)
	for end := time.Now().Add(limit); ; {
		left := max(0, time.Until(end).Milliseconds())
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left))
		if err != unix.EINTR {
			return n > 0
		}
	}
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// idleTicks is the machine's idle time so far, in clock ticks of all cores.
func idleTicks() float64 {
	f, err := os.Open("/proc/stat")
	if err != nil {
		return 0
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	if !s.Scan() {
		return 0
	}
	fields := strings.Fields(s.Text())
	if len(fields) < 6 {
		return 0
	}
	idle, _ := strconv.ParseFloat(fields[4], 64)
	wait, _ := strconv.ParseFloat(fields[5], 64)
	return idle + wait
}

// quiet waits up to limit for a quarter of a second, or limit if that is less
// but 50 ms at least, in which the cores are nine tenths idle, and says whether
// it came.
func quiet(ctx context.Context, cores int, limit time.Duration) bool {
	look := min(250*time.Millisecond, max(limit, 50*time.Millisecond))
	const ticks = 100 // per second and core
	for end := time.Now().Add(limit); ; {
		before := idleTicks()
		if pause(ctx, look) != nil {
			return false
		}
		if idleTicks()-before >= 0.9*look.Seconds()*ticks*float64(cores) {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

// pause waits, and returns early with an error when ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// until calls try every 2 ms until it says true, at most for d. It is for
// setting up peers that announce nothing; no measurement is made of it.
func until(ctx context.Context, d time.Duration, what string, try func() bool) error {
	for end := time.Now().Add(d); !try(); {
		if time.Now().After(end) {
			return fmt.Errorf("%s: not within %v", what, d)
		}
		if err := pause(ctx, 2*time.Millisecond); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	return nil
}
