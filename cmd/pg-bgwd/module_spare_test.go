package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/pg-bgw/pg-bgw/dbusapi"
)

// spares are the daemon's children that are a launcher's spare, living or not.
func (s *supervisor) spares() (pids []int) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", s.cmd.Process.Pid))
	for _, f := range files {
		for child := range strings.FieldsSeq(readOr(f, "")) {
			if pid, err := strconv.Atoi(child); err == nil && readOr("/proc/"+child+"/comm", "") == "pg-bgw-spare\n" {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// spare waits until there is one spare, other than those.
func (s *supervisor) spare(others ...int) (pid int) {
	s.t.Helper()
	s.poll("a spare", func() bool {
		all := s.spares()
		if len(all) != 1 || slices.Contains(others, all[0]) {
			return false
		}
		pid = all[0]
		return true
	})
	return pid
}

// use starts workers until one of them has the spare's memory: when the launcher gives way to a new
// spare shows nowhere. It returns their processes.
func (s *supervisor) use(spare int) (pids []int) {
	s.t.Helper()
	for i := range 100 {
		pids = append(pids, s.starts(fmt.Sprintf("for %d %d", spare, i)))
		if s.next(spare) != spare {
			return pids
		}
	}
	s.t.Fatalf("spare %d is not used by %d workers", spare, len(pids))
	return nil
}

// next is the only spare there is in the end, after a worker has started.
func (s *supervisor) next(spare int) (pid int) {
	s.t.Helper()
	s.poll("a spare", func() bool {
		all := s.spares()
		if len(all) != 1 {
			return false
		}
		pid = all[0]
		_, state, _ := strings.Cut(readOr(fmt.Sprintf("/proc/%d/stat", pid), ""), ") ")
		return strings.HasPrefix(state, "S") || strings.HasPrefix(state, "T")
	})
	return pid
}

// moduleDefinition is a worker that says words and waits.
func moduleDefinition(name, words string) dbusapi.Definition {
	d := definition(name, 0)
	d.Set = d.Set&^dbusapi.KeyCommand | dbusapi.KeyLibraryName | dbusapi.KeyFunctionName | dbusapi.KeyExtra
	d.LibraryName, d.FunctionName, d.Extra = "bgw_rows", "bgw_rows_main", []byte("say:"+words+",wait")
	return d
}

// starts registers a worker, waits for its words and returns its process.
func (s *supervisor) starts(name string) int {
	s.t.Helper()
	h := s.register(moduleDefinition(name, "here"))
	s.says(name + ": here")
	s.poll(name+" running", func() bool { return s.info(h).State == "running" })
	return int(s.info(h).MainPID)
}

// bearing is what a process has from who made it: its descriptors by number and kind, its
// signals, its rights, its parent and the size of its stack.
func bearing(t *testing.T, pid int) string {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/", pid)
	files, err := os.ReadDir(dir + "fd")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range files {
		to, _ := os.Readlink(dir + "fd/" + f.Name())
		kind, _, _ := strings.Cut(to, ":[")
		fmt.Fprintln(&b, f.Name(), kind)
	}
	for line := range strings.Lines(readOr(dir+"status", "")) {
		name, _, _ := strings.Cut(line, ":")
		if slices.Contains([]string{"Name", "State", "PPid", "TracerPid", "Uid", "Gid", "Groups", "SigBlk", "SigIgn", "SigCgt",
			"SigPnd", "ShdPnd", "CapPrm", "CapEff", "NoNewPrivs", "Seccomp", "Threads", "CoreDumping"}, name) {
			if name != "Name" {
				b.WriteString(line)
			}
		}
	}
	b.WriteString(readOr(dir+"oom_score_adj", "") + readOr(dir+"limits", ""))
	return b.String()
}

// needSpares is a supervisor with modules, if they can be built here.
func needSpares(t *testing.T) *supervisor {
	dir := needModules(t)
	s := beside(t, modulesBlock(dir, nil, "bgw_rows"), "")
	s.moduleLauncher(0)
	return s
}

// TestModuleSpare: the first worker is a copy of the launcher, another has the spare's memory,
// and nobody sees a difference. The spare is gone when the next one is there.
func TestModuleSpare(t *testing.T) {
	s := needSpares(t)
	first := s.starts("first")
	spare := s.spare()
	others := s.use(spare)
	s.reaped(spare)
	others = append(others, s.use(s.spare(spare))...)
	for _, pid := range others {
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err != nil {
			t.Fatal(err)
		}
		s.poll("two of a kind", func() bool { return bearing(t, first) == bearing(t, pid) })
	}
}

// reaped says that a spare which has a successor has been waited for.
func (s *supervisor) reaped(spare int) {
	s.t.Helper()
	s.poll("its end", func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/%d", spare))
		return err != nil
	})
}

// TestModuleSpareLost: a spare that is killed or stopped keeps no worker from starting, and is
// followed by another one.
func TestModuleSpareLost(t *testing.T) {
	s := needSpares(t)
	s.starts("first")
	killed := s.spare()
	sendSignal(t, uint32(killed), syscall.SIGKILL)
	s.starts("second")
	stopped := s.spare(killed)
	s.reaped(killed)
	sendSignal(t, uint32(stopped), syscall.SIGSTOP)
	s.starts("third")
	s.starts("fourth")
	sendSignal(t, uint32(stopped), syscall.SIGCONT)
	s.use(stopped)
	last := s.spare(stopped)
	launcher := s.moduleLauncher(0)
	sendSignal(t, uint32(last), syscall.SIGSTOP) // it sees no end of file
	sendSignal(t, uint32(launcher), syscall.SIGKILL)
	s.says("killed by SIGKILL")
	s.reaped(last)
	s.moduleLauncher(launcher)
	s.starts("last")
	s.spare(last)
}

// TestModuleSpareReplaced: a launcher that is replaced when it has just made a spare, or is about to,
// leaves none behind, dead or alive.
func TestModuleSpareReplaced(t *testing.T) {
	dir := needModules(t)
	parameters := map[string]string{}
	s := beside(t, modulesBlock(dir, parameters, "bgw_rows"), "")
	launcher := s.moduleLauncher(0)
	for i := range 4 { // as many as are reloaded at once
		s.starts(fmt.Sprint("one", i))
		parameters["bgw_rows.level"] = strconv.Itoa(2 + i%8)
		s.file("pg-bgw.hcl", modulesBlock(dir, parameters, "bgw_rows"))
		s.again(i%2 == 0)
		launcher = s.moduleLauncher(launcher)
	}
	s.starts("last")
	s.spare()
}

// TestModuleSpareBurst: of many workers at once one has the spare; in the end there is one spare.
func TestModuleSpareBurst(t *testing.T) {
	const n = 40
	s := needSpares(t)
	s.starts("first")
	s.spare()
	var handles []dbusapi.Handle
	for i := range n {
		handles = append(handles, s.register(moduleDefinition(fmt.Sprint("many", i), "here")))
	}
	for _, h := range handles {
		s.poll("a worker", func() bool { return s.info(h).State == "running" })
	}
	s.spare()
}

// TestModuleSpareEnds: a spare ends with the supervisor, also a stopped one with one that is asked to
// end, and with the last use of its launcher.
func TestModuleSpareEnds(t *testing.T) {
	t.Run("killed", func(t *testing.T) {
		s := needSpares(t)
		s.starts("first")
		spare := s.spare()
		if err := s.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		s.poll("its end", func() bool { // whoever inherits it may not reap it
			_, state, found := strings.Cut(readOr(fmt.Sprintf("/proc/%d/stat", spare), ""), ") ")
			return !found || strings.HasPrefix(state, "Z")
		})
	})
	t.Run("asked", func(t *testing.T) {
		s := needSpares(t)
		s.starts("first")
		spare := s.spare()
		sendSignal(t, uint32(spare), syscall.SIGSTOP)
		over := gone(t, uint32(spare))
		if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if code := s.exitCode(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		over()
	})
}
