package main

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// System calls of one restart: from one request to the launcher to the next,
// the exit in between included. See TestSystemCallsOfARestart.
const (
	mostOfTheDaemon   = 32 // 30 seen, and room for what systemd is told
	mostOfTheLauncher = 3
	mostOfTheChild    = 18
)

// TestSystemCallsOfARestart holds what a start and the exit after it cost.
//
// The daemon: six descriptors made (the control socket's pair, the pipes of
// output and status), one copied (the segment) and one opened for the moment
// (the cgroup, after mkdir), two made non-blocking; four of them watched; nine
// closed, which ends the watch; sendmsg, pidfd_open, waitid, rmdir, a read for
// each end of file, and one write for each line of the log. What Go's scheduler
// and memory do by themselves is not counted, it depends on the machine: waits,
// wake-ups, mappings.
//
// The launcher: recvmsg, clone3, close_range. Its child, up to execve: a dup3
// for each of eight descriptors and moving two out of their way, session,
// Landlock, and closing the rest.
func TestSystemCallsOfARestart(t *testing.T) {
	need(t, "strace")
	group := newCgroup(t)
	s := prepare(t, nil, map[string]string{"workers.d/10.hcl": `
worker "loop" {
  command      = ["/bin/false"]
  flags        = ["shmem_access"]
  restart_time = 0
}`})
	s.wrap = []string{"/bin/sh", "-c", `echo $$ > "$0" && exec "$@"`, filepath.Join(group, "cgroup.procs")}
	s.run()
	s.until("READY=1")
	const starts = 50
	c := s.trace(starts)
	t.Logf("%d starts: daemon %v, launcher %v, child %v", starts, c.daemon, c.launcher, c.child)
	for _, x := range []struct {
		who   string
		calls map[string]int
		most  int
	}{
		{"daemon", c.daemon, mostOfTheDaemon},
		{"launcher", c.launcher, mostOfTheLauncher},
		{"child", c.child, mostOfTheChild},
	} {
		if n := sum(x.calls); n > starts*x.most || n < starts {
			t.Errorf("the %s makes %.1f system calls a start, at most %d are expected: %v", x.who, float64(n)/starts, x.most, x.calls)
		}
	}
}

// TestThreads: their number does not depend on the number of workers.
func TestThreads(t *testing.T) {
	s := prepare(t, startBus(t), nil)
	s.run("GOMAXPROCS=2")
	s.until("READY=1")
	s.connect()
	s.running(s.register(definition("idle", 0, "/bin/sleep", "1000")))
	few := s.status("Threads")
	for range 60 {
		s.running(s.register(definition("idle", 0, "/bin/sleep", "1000")))
	}
	if many := s.status("Threads"); many > few+8 { // those that a busy moment made
		t.Errorf("%d threads with 1 worker, %d with 61", few, many)
	}
}

// newCgroup is an empty cgroup that the daemon may have for itself.
func newCgroup(t *testing.T) string {
	t.Helper()
	dir, err := "", os.ErrNotExist
	mounts, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "cgroup2" {
			dir, err = os.MkdirTemp(f[1], "test-")
			break
		}
	}
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("a writable cgroup v2 and root are needed: %v", err)
		}
		t.Skipf("a writable cgroup v2 and root are needed: %v", err)
	}
	t.Cleanup(func() { removeCgroup(t, dir) })
	return dir
}

// removeCgroup removes a tree of cgroups whose last process has just ended.
func removeCgroup(t *testing.T, dir string) {
	t.Helper()
	_ = os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0)
	var err error
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) { // the kernel tells nobody
		inner, _ := filepath.Glob(filepath.Join(dir, "*", "cgroup.procs"))
		for _, f := range inner {
			_ = os.Remove(filepath.Dir(f))
		}
		if err = os.Remove(dir); err == nil || time.Now().After(end) {
			break
		}
	}
	if err != nil {
		t.Errorf("cannot remove the cgroup: %v", err)
	}
}

// calls are the system calls of some starts, by name.
type calls struct{ daemon, launcher, child map[string]int }

func sum(m map[string]int) (n int) {
	for _, v := range m {
		n += v
	}
	return n
}

// ofTheRuntime are the calls that Go makes on its own account, at times of its
// own.
var ofTheRuntime = map[string]bool{
	"futex": true, "nanosleep": true, "epoll_pwait": true, "sched_yield": true, "rt_sigreturn": true, "tgkill": true, "getpid": true,
	"madvise": true, "mmap": true, "munmap": true, "restart_syscall": true, "rt_sigprocmask": true, "sigaltstack": true, "gettid": true,
	"clone": true, "prctl": true, "sched_getaffinity": true, "timer_settime": true,
	"mprotect": true, "rseq": true, "set_robust_list": true, "exit": true, // of threads that begin and end
}

// ofTheWatch are the calls by which the launcher's second thread watches how
// long the first waits for a child, which under strace is long: one or two in
// some milliseconds, none without a start; and those that begin a thread.
var ofTheWatch = map[string]bool{
	"timerfd_settime": true, "read": true, "futex": true, "rseq": true, "set_robust_list": true, "rt_sigprocmask": true,
	"mmap": true, "mprotect": true, "madvise": true, "munmap": true, "exit": true,
}

// A line of strace: a call that begins, not one that was shown as unfinished
// before.
var callLine = regexp.MustCompile(`^\[pid +(\d+)\] (\w+)\(`)

// workerFlag tells the making of a worker from that of a thread (CLONE_PARENT_SETTID).
var workerFlag = regexp.MustCompile(`CLONE_PARENT\b`)

// trace watches the daemon, its launcher and the launcher's children over so
// many starts. The children are let go as they execute their program.
func (s *supervisor) trace(starts int) calls {
	s.t.Helper()
	launcher := s.launcherPid()
	cmd := exec.Command("strace", "-f", "-b", "execve", "-p", strconv.Itoa(s.cmd.Process.Pid), "-p", strconv.Itoa(launcher))
	out, err := cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	// Whatever happens, nothing below waits for longer than this.
	hurry := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer hurry.Stop()
	defer func() {
		// Not asked to detach: it would wait for a thread that waits for a child
		// that waits for strace.
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	daemon, tallies := s.cmd.Process.Pid, map[int]*tally{}
	begun, said := -1, "" // the start under way; -1 before the first whole one
	for lines := bufio.NewScanner(out); lines.Scan(); said = lines.Text() {
		m := callLine.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		pid, _ := strconv.Atoi(m[1])
		t := tallies[pid]
		if t == nil {
			t = &tally{of: taskOf(pid, launcher, daemon), calls: map[string]int{}}
			tallies[pid] = t
		}
		worker := workerFlag.MatchString(lines.Text())
		if m[2] == "clone3" && worker {
			if begun++; begun == starts {
				c := calls{map[string]int{}, map[string]int{}, map[string]int{}}
				c.add(daemon, launcher, tallies)
				return c
			}
		}
		if begun >= 0 && (m[2] != "clone3" || worker) {
			t.calls[m[2]]++
		}
	}
	s.t.Fatalf("strace ended early, in start %d: %s", begun+1, said)
	return calls{}
}

// A tally is what one thread has called, and whose it was when it was first seen: it
// may be gone before all that it did has been read.
type tally struct {
	of    int // daemon, launcher or 0
	calls map[string]int
}

// add sorts the calls of the threads. A child is known by its own session: what
// else is unknown is a thread that was gone at first sight.
func (c *calls) add(daemon, launcher int, tallies map[int]*tally) {
	for _, t := range tallies {
		for name, n := range t.calls {
			switch {
			case t.of == launcher && !ofTheWatch[name]:
				c.launcher[name] += n
			case t.of == daemon && !ofTheRuntime[name]:
				c.daemon[name] += n
			case t.of == 0 && t.calls["setsid"] > 0:
				c.child[name] += n
			}
		}
	}
}

// taskOf returns whose thread tid is: the first of processes that has it, or 0.
func taskOf(tid int, processes ...int) int {
	for _, of := range processes {
		if _, err := os.Stat(fmt.Sprintf("/proc/%d/task/%d", of, tid)); err == nil {
			return of
		}
	}
	return 0
}

// launcherPid is the process of the launcher: of the daemon's children with
// its name, which a worker has too until it executes its program, the oldest.
func (s *supervisor) launcherPid() (pid int) {
	s.t.Helper()
	s.poll("the launcher", func() bool {
		pid = s.oldestLauncher(func(string) bool { return true })
		return pid != 0
	})
	return pid
}

// oldestLauncher is, of the daemon's children that have the launcher's name and are
// as told, the oldest; 0 where there is none.
func (s *supervisor) oldestLauncher(is func(child string) bool) (pid int) {
	oldest := uint64(math.MaxUint64)
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", s.cmd.Process.Pid))
	for _, f := range files {
		for child := range strings.FieldsSeq(readOr(f, "")) {
			born := birth(child)
			if strings.HasPrefix(readOr("/proc/"+child+"/comm", ""), "pg-bgw-launch") && born < oldest && is(child) {
				oldest = born
				pid, _ = strconv.Atoi(child)
			}
		}
	}
	return pid
}

// birth is when a process began, in ticks since the machine did (proc(5), field
// 22 of stat); the largest number for one that is gone.
func birth(pid string) uint64 {
	stat, _ := os.ReadFile("/proc/" + pid + "/stat")
	_, after, _ := strings.Cut(string(stat), ") ")
	if f := strings.Fields(after); len(f) > 19 {
		if n, err := strconv.ParseUint(f[19], 10, 64); err == nil {
			return n
		}
	}
	return math.MaxUint64
}
