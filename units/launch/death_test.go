package launch

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// launcherPid returns the number of the launcher program that serves now.
func (r *rig) launcherPid() int {
	r.t.Helper()
	prog, err := r.program(context.Background(), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return prog.pid
}

func (r *rig) signalLauncher(sig syscall.Signal) {
	r.t.Helper()
	if err := unix.Kill(r.launcherPid(), sig); err != nil {
		r.t.Fatal(err)
	}
}

func TestLauncherDies(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		p, exits := r.start(spec("sleep 1000"))
		before := strings.Count(descriptors(t), "\n")
		for range 3 {
			r.signalLauncher(syscall.SIGKILL)
			<-r.notices
			_, exits := r.start(spec("exit 4"))
			if e := <-exits; e.Status != 4<<8 {
				t.Errorf("status %#x", e.Status)
			}
		}
		if after := strings.Count(descriptors(t), "\n"); after != before {
			t.Errorf("descriptors:\n%s", descriptors(t))
		}
		select {
		case e := <-exits:
			t.Fatalf("the launcher's death ended a worker: %+v", e)
		default:
		}
		if err := p.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if e := <-exits; e.Status.Signal() != syscall.SIGTERM {
			t.Errorf("status %v", e.Status)
		}
	})
}

// Starts that are under way when the launcher is killed are carried out once or fail,
// and leave nothing.
func TestLauncherDiesMidFlight(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		r.l().delay = 0
		for range 5 {
			pid := r.launcherPid()
			if err := unix.Kill(pid, syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			for i := range 40 {
				wg.Go(func() {
					done := make(chan Exit, 2)
					s := spec("exit 6")
					if _, err := r.Start(context.Background(), s, func(e Exit) { done <- e }); err != nil {
						t.Logf("start: %v", err)
						return
					}
					if e := <-done; e.Status != 6<<8 {
						t.Errorf("status %#x", e.Status)
					}
				})
				if i == 20 { // some are served, some are in the socket, some not sent
					_ = unix.Kill(pid, syscall.SIGCONT)
				}
			}
			_ = unix.Kill(pid, syscall.SIGKILL)
			wg.Wait()
			<-r.notices
		}
		if n := zombies(); n != 0 {
			t.Errorf("%d zombies", n)
		}
		r.noCgroups()
	})
}

func (r *rig) l() *Launcher { return r.Launcher }

// A launcher that does not run cannot hold a caller longer than its context.
func TestLauncherHangs(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		before := descriptors(t)
		pid := r.launcherPid()
		if err := unix.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		for range 600 { // more than the socket takes
			wg.Go(func() {
				if _, err := r.Start(ctx, spec("sleep 1000"), func(Exit) { t.Error("exited called") }); !errors.Is(err, context.Canceled) {
					t.Errorf("got %v", err)
				}
			})
		}
		prog, err := r.program(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.awaitQueue(prog)
		cancel()
		wg.Wait()
		if err := unix.Kill(pid, syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		r.eventually(func() bool { return descriptors(t) == before && zombies() == 0 })
		r.noCgroups()
	})
}

// awaitQueue waits until the socket has taken all that it takes.
func (r *rig) awaitQueue(prog *program) {
	for {
		prog.mu.Lock()
		n := len(prog.queue)
		prog.mu.Unlock()
		if n > 0 {
			return
		}
		runtime.Gosched()
	}
}

func TestGarbage(t *testing.T) {
	r := newRig(t, true)
	pid := r.launcherPid()
	prog, err := r.program(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	good, _, err := encode(&Spec{ID: "1.1.1", Argv: []string{"/bin/true"}}, false)
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	send := func(data []byte, nfds int) {
		fds := make([]int, nfds)
		for i := range fds {
			fds[i] = int(null.Fd())
		}
		pk := &packet{data: data, fds: fds}
		queued, err := prog.send(pk)
		if queued {
			err = <-pk.sent
		}
		if err != nil {
			t.Errorf("%d bytes, %d descriptors: %v", len(data), nfds, err)
		}
	}
	for _, nfds := range []int{0, 1, 2, 243, 244, 253} {
		send([]byte("x"), nfds)
		send(make([]byte, headSize), nfds)
		send(make([]byte, 2*headSize), nfds)
		send(good[:len(good)-1], nfds)
	}
	for i := 8; i < len(good); i++ { // every byte, except what makes it a good one of another kind
		bad := append([]byte(nil), good...)
		bad[i] ^= 0xff
		if i >= 12 && i < 32 || i >= headSize {
			continue
		}
		send(bad, 1)
	}
	send(make([]byte, requestMax+1), 1)
	_, exits := r.start(spec("exit 0"))
	<-exits
	if now := r.launcherPid(); now != pid {
		t.Errorf("garbage ended launcher %d; now it is %d", pid, now)
	}
	fds, err := os.ReadDir("/proc/" + itoa(pid) + "/fd")
	if err != nil || len(fds) > 6 { // 0 to 2, the socket, the ruleset, /dev/null
		t.Errorf("the launcher has %d descriptors: %v", len(fds), err)
	}
}

func TestClose(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		pid := r.launcherPid()
		p, exits := r.start(spec("sleep 1000"))
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if err := unix.Kill(pid, 0); err != unix.ESRCH {
			t.Errorf("launcher %d after Close: %v", pid, err)
		}
		if _, err := r.Start(context.Background(), spec("exit 0"), nil); !errors.Is(err, ErrClosed) {
			t.Errorf("Start after Close: %v", err)
		}
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		<-exits
	})
}

// A worker of an earlier image of this process: its poller is gone, nobody knows it.
func TestAdopt(t *testing.T) {
	for name, cgroups := range map[string]bool{"cgroups": true, "fallback": false} {
		t.Run(name, func(t *testing.T) {
			old := newRig(t, cgroups)
			p, _ := old.start(spec(`trap "exit 5" TERM; while :; do sleep 0.01; done`))
			old.poller.Remove(int(p.pidfd))
			kin.forget(p.Pid())

			l, err := New(launcherPath, Options{Cgroups: old.cgroups})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			exits := make(chan Exit, 2)
			q, err := l.Adopt(p.id, p.Pid(), func(e Exit) { exits <- e })
			if err != nil {
				t.Fatal(err)
			}
			if err := q.Kill(); err != nil {
				t.Fatal(err)
			}
			if e := <-exits; e.Pid != p.Pid() || e.Status.Signal() != syscall.SIGKILL {
				t.Errorf("got %+v", e)
			}
			for _, pid := range []int{1, 0, -1, p.Pid()} {
				if _, err := l.Adopt("9.9.9", pid, nil); err == nil {
					t.Errorf("adopted process %d", pid)
				}
			}
			unix.Close(int(p.pidfd))
			old.noCgroups()
		})
	}
}
