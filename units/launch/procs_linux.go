package launch

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// A proc is a line of the process table.
type proc struct {
	pid, ppid, pgrp, session int
	zombie                   bool // no thread is alive
}

// readProcs reads /proc. A process that is there throughout is always in it.
func readProcs() []proc {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	procs := make([]proc, 0, len(names))
	buf := make([]byte, 1024)
	for _, name := range names {
		if name[0] < '1' || name[0] > '9' {
			continue
		}
		if p, ok := parseStat(readInto(buf, "/proc/"+name+"/stat")); ok {
			procs = append(procs, p)
		}
	}
	return procs
}

// readInto returns as much of a file as fits into b, nil if it cannot be read.
func readInto(b []byte, path string) []byte {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	n := 0
	for n < len(b) {
		m, err := unix.Read(fd, b[n:])
		if m <= 0 || err != nil {
			break
		}
		n += m
	}
	return b[:n]
}

// parseStat reads /proc/pid/stat (proc_pid_stat(5)): pid, (name), state, ppid, pgrp,
// session, ..., threads as the 20th. A name may contain anything, even ") ".
func parseStat(b []byte) (proc, bool) {
	open, end := bytes.IndexByte(b, ' '), bytes.LastIndexByte(b, ')')
	if open < 0 || end < 0 {
		return proc{}, false
	}
	rest := bytes.Fields(b[end+1:])
	if len(rest) < 18 || len(rest[0]) != 1 {
		return proc{}, false
	}
	number := func(b []byte) int { n, _ := strconv.Atoi(string(b)); return n }
	state, threads := rest[0][0], number(rest[17])
	return proc{
		pid: number(b[:open]), ppid: number(rest[1]), pgrp: number(rest[2]), session: number(rest[3]),
		zombie: state == 'X' || state == 'Z' && threads <= 1,
	}, true
}

// A process that is just executing a program has no environment for some
// microseconds, or as long as its file system takes. It is looked at execTries times.
const (
	execTries = 20
	execPause = time.Millisecond
)

// markOf returns the ID in the process's environment, "" if there is none or it
// cannot be read. The environment is the one it was executed with.
func markOf(pid int) string {
	path := "/proc/" + strconv.Itoa(pid)
	buf := make([]byte, requestMax)
	b := readInto(buf, path+"/environ")
	for range execTries {
		if len(b) > 0 {
			break
		}
		// An empty one counts if it was opened when no exec was under way: what is
		// opened before an exec and read after it is empty too.
		settled := !inExec(path)
		if b = readInto(buf, path+"/environ"); settled {
			break
		}
		time.Sleep(execPause)
	}
	for v := range bytes.SplitSeq(b, []byte{0}) {
		if id, ok := bytes.CutPrefix(v, []byte(marker+"=")); ok {
			return string(id)
		}
	}
	return ""
}

// inExec tells an environment that is not there yet from an empty one: the end of
// the latter is somewhere (proc_pid_stat(5), env_end, the 51st).
func inExec(path string) bool {
	stat := readInto(make([]byte, 1024), path+"/stat")
	p, ok := parseStat(stat)
	rest := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	return ok && !p.zombie && len(rest) > 48 && string(rest[48]) == "0"
}
