package main

import (
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// messages gathers what the manager is told from now on; the function returns
// its lines when the daemon has ended.
func (s *supervisor) messages() func() []string {
	const last = "X_LAST=1" // our own, behind all that the daemon has said
	var lines []string
	read := make(chan struct{})
	_ = s.notify.SetReadDeadline(time.Time{})
	go func() {
		defer close(read)
		buf := make([]byte, 4096)
		for {
			n, err := s.notify.Read(buf)
			if err != nil || string(buf[:n]) == last {
				return
			}
			lines = append(lines, strings.Split(string(buf[:n]), "\n")...)
		}
	}()
	return func() []string {
		s.t.Helper()
		s.exitCode()
		conn, err := net.DialUnix("unixgram", nil, s.notify.LocalAddr().(*net.UnixAddr))
		if err == nil {
			_, err = conn.Write([]byte(last))
			conn.Close()
		}
		if err != nil {
			s.t.Fatal(err)
		}
		<-read
		return lines
	}
}

// TestReloadPairs: whoever asks for reloads, and however many at once, the
// manager sees RELOADING and READY in turns, none of it after STOPPING, and
// SIGHUPs that come meanwhile share one reload.
func TestReloadPairs(t *testing.T) {
	s := start(t, startBus(t), map[string]string{"workers.d/10.hcl": sleeper("one", "")})
	s.state("one", "running")
	messages := s.messages()
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for range 3 {
				if err := s.client.Reload(s.ctx()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 200 {
		s.signal(syscall.SIGHUP)
	}
	callers.Wait()
	s.signal(syscall.SIGHUP)
	s.signal(syscall.SIGTERM)
	s.signal(syscall.SIGHUP)
	var told []string
	for _, l := range messages() {
		for _, word := range []string{"READY=1", "RELOADING=1", "STOPPING=1"} {
			if l == word {
				told = append(told, strings.TrimSuffix(word, "=1"))
			}
		}
	}
	stop := slices.Index(told, "STOPPING")
	if stop < 0 || stop != len(told)-1 {
		t.Fatalf("STOPPING is not the last of %v", told)
	}
	reloads := 0
	for i, word := range told[:stop] {
		if want := []string{"RELOADING", "READY"}[i%2]; word != want {
			t.Fatalf("number %d of %v is not %s", i, told, want)
		}
		reloads += i % 2
	}
	if reloads < 12 || reloads > 12+201 {
		t.Errorf("%d reloads", reloads)
	}
	if strings.Contains(s.log.String(), "reload failed") {
		t.Error("a reload failed")
	}
}

// TestStatusIsTrue: STATUS follows what happens, and the log has a line for it.
func TestStatusIsTrue(t *testing.T) {
	s := start(t, startBus(t), map[string]string{"workers.d/10.hcl": sleeper("one", "")})
	s.state("one", "running") // the manager may have been told of it before READY=1
	h := s.register(definition("two", long, "/bin/sh", "-c", "exit 1"))
	s.until("STATUS=1 of 2 workers running, 1 waiting for a restart")
	if err := s.client.Stop(s.ctx(), h); err != nil {
		t.Fatal(err)
	}
	s.until("STATUS=1 of 2 workers running, 1 held")
	s.says(`level=NOTICE msg="worker held"`) // nothing else would tell: it has no process
	if err := s.client.Terminate(s.ctx(), h); err != nil {
		t.Fatal(err)
	}
	s.until("STATUS=1 of 1 workers running")
	s.says(`level=NOTICE msg="worker unregistered"`)
}

// TestWatchdog: WATCHDOG=1 keeps coming while the loop answers.
func TestWatchdog(t *testing.T) {
	s := prepare(t, nil, nil)
	s.run("WATCHDOG_USEC=100000")
	for range 3 {
		s.until("WATCHDOG=1")
	}
}

// TestDraining: while a worker takes its time to end, the manager is asked for
// more, until a second request makes an end.
func TestDraining(t *testing.T) {
	t.Parallel()
	s := start(t, startBus(t), map[string]string{"workers.d/10.hcl": `worker "slow" {
  command      = ["/bin/sh", "-c", "trap '' TERM; echo trapped; while :; do sleep 1000; done"]
  flags        = ["shmem_access"]
  restart_time = 0
  kill_timeout = "infinity"
}
`})
	s.says("trapped")
	s.signal(syscall.SIGTERM)
	s.until("STOPPING=1")
	s.until("STATUS=1 of 1 workers running, fast shutdown")
	s.until("EXTEND_TIMEOUT_USEC=20000000")
	s.signal(syscall.SIGTERM)
	if code := s.exitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
