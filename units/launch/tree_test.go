package launch

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A child that calls setsid, ignores SIGTERM and holds stdout is gone before exited is called.
func TestTreeIsGone(t *testing.T) {
	scripts := map[string]string{
		"setsid":          `setsid sh -c 'trap "" TERM HUP INT; echo up; while :; do sleep 100; done' & read -r _ < "$1"; exit 3`,
		"double fork":     `(setsid sh -c 'trap "" TERM; (trap "" TERM; echo up; exec sleep 100) & exit 0' &) ; read -r _ < "$1"; exit 3`,
		"same session":    `sh -c 'trap "" TERM; echo up; sleep 100' & read -r _ < "$1"; exit 3`,
		"empty env":       `env -i PATH=/bin:/usr/bin sh -c 'trap "" TERM; echo up; sleep 100' & read -r _ < "$1"; exit 3`,
		"cleared, parent": `setsid sh -c 'env -i /bin/sh -c "echo up; sleep 100"; sleep 100' & read -r _ < "$1"; exit 3`,
		"stopped":         `setsid sh -c 'echo up; kill -STOP $$' & read -r _ < "$1"; exit 3`,
	}
	both(t, func(t *testing.T, r *rig) {
		for name, script := range scripts {
			t.Run(name, func(t *testing.T) {
				fifo := filepath.Join(t.TempDir(), "go")
				if err := unix.Mkfifo(fifo, 0o666); err != nil {
					t.Fatal(err)
				}
				read, write, err := os.Pipe()
				if err != nil {
					t.Fatal(err)
				}
				defer read.Close()
				s := spec(script, fifo)
				s.Files = []int{-1, int(write.Fd())}
				_, exits := r.start(s)
				write.Close()
				if _, err := io.ReadFull(read, make([]byte, 3)); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(fifo, []byte("go\n"), 0); err != nil {
					t.Fatal(err)
				}
				if e := <-exits; e.Status != 3<<8 {
					t.Errorf("status %#x", e.Status)
				}
				if n, err := readNow(t, read); n != 0 || err != nil {
					t.Errorf("somebody still holds stdout: %d, %v", n, err)
				}
				r.noCgroups()
			})
		}
	})
}

// BGW-065, BGW-108: a group signal reaches the worker's own children too.
func TestSignalGroup(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer read.Close()
		s := spec(`trap "echo parent" TERM; sh -c 'trap "echo child; exit" TERM; echo up; while :; do sleep 0.02; done' & wait; wait; exit 0`)
		s.Files = []int{-1, int(write.Fd())}
		p, exits := r.start(s)
		write.Close()
		if _, err := io.ReadFull(read, make([]byte, 3)); err != nil {
			t.Fatal(err)
		}
		if err := p.SignalGroup(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		out, err := io.ReadAll(read)
		if err != nil || !strings.Contains(string(out), "child") || !strings.Contains(string(out), "parent") {
			t.Errorf("got %q, %v", out, err)
		}
		<-exits
		for name, f := range map[string]func() error{
			"Signal":      func() error { return p.Signal(syscall.SIGTERM) },
			"SignalGroup": func() error { return p.SignalGroup(syscall.SIGTERM) },
			"Kill":        p.Kill,
		} {
			if err := f(); !errors.Is(err, os.ErrProcessDone) {
				t.Errorf("%s after the end: %v", name, err)
			}
		}
	})
}

// BGW-107: a worker leads its own session and process group; and it starts with nothing of ours.
func TestCleanProcess(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		s := spec("")
		s.Argv = []string{"/bin/cat", "/proc/self/stat", "/proc/self/status", "/proc/self/oom_score_adj", "/proc/self/environ", "/proc/self/limits"}
		s.OOMScoreAdj, s.Nice, s.NoNewPrivileges = 123, 7, true
		s.Rlimits = []Rlimit{{Resource: unix.RLIMIT_NOFILE, Soft: 77, Hard: 78}}
		s.Dir = "/usr"
		out, _ := r.output(s)
		stat, _, _ := strings.Cut(out, "\n")
		p, ok := parseStat([]byte(stat))
		if !ok || p.session != p.pid || p.pgrp != p.pid || p.ppid != os.Getpid() {
			t.Errorf("pid, ppid, group, session: %+v", p)
		}
		if nice := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])[16]; nice != "7" {
			t.Errorf("nice value %s", nice)
		}
		for _, want := range []string{
			"SigBlk:\t0000000000000000\n", "SigIgn:\t0000000000001000\n", "SigCgt:\t0000000000000000\n",
			"Umask:\t0077\n", "NoNewPrivs:\t1\n", "\n123\n", "PATH=/usr/bin:/bin\x00PGBGW_START=" + s.ID + "\x00",
			"Max open files            77                   78 ",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("no %q in\n%s", want, out)
			}
		}
	})
}

func TestKillTree(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer read.Close()
		s := spec(`for i in 1 2 3 4 5; do setsid sh -c 'trap "" TERM; echo up; while :; do sleep 100; done' & done; wait`)
		s.Files = []int{-1, int(write.Fd())}
		p, exits := r.start(s)
		write.Close()
		if _, err := io.ReadFull(read, make([]byte, 5*3)); err != nil {
			t.Fatal(err)
		}
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		if e := <-exits; e.Status.Signal() != syscall.SIGKILL {
			t.Errorf("status %v", e.Status)
		}
		if rest, err := io.ReadAll(read); len(rest) != 0 || err != nil {
			t.Errorf("%q, %v", rest, err)
		}
	})
}

// Orphans of a living worker are reaped when they die, and the leaders' and
// other code's children keep their status.
func TestOrphansAreReaped(t *testing.T) {
	r := newRig(t, false)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	s := spec(`i=0; while [ $i -lt 50 ]; do (setsid sh -c 'exit 9' &); i=$((i+1)); done; echo up; sleep 1000`)
	s.Files = []int{-1, int(write.Fd())}
	p, exits := r.start(s)
	write.Close()
	for range 5 {
		if err := exec.Command("/bin/sh", "-c", "exit 5").Run(); err == nil || !strings.Contains(err.Error(), "exit status 5") {
			t.Fatalf("another child's status was stolen: %v", err)
		}
	}
	if _, err := io.ReadFull(read, make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	for zombies() > 0 { // the test's timeout is the limit
		if err := exec.Command("/bin/true").Run(); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	<-exits
}

// A start that is canceled at any moment succeeds or leaves nothing.
func TestCanceled(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		before := descriptors(t)
		for i := range 60 {
			ctx, cancel := context.WithCancel(context.Background())
			go func() {
				for range i * 10 {
					runtime.Gosched()
				}
				cancel()
			}()
			done := make(chan Exit, 1)
			p, err := r.Start(ctx, spec("sleep 1000"), func(e Exit) { done <- e })
			if err == nil {
				if err := p.Kill(); err != nil {
					t.Error(err)
				}
				<-done
			} else if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
		if after := descriptors(t); after != before {
			t.Errorf("descriptors before:\n%s\nafter:\n%s", before, after)
		}
		if n := zombies(); n != 0 {
			t.Errorf("%d zombies", n)
		}
		r.noCgroups()
	})
}
