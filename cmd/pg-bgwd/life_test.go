package main

import (
	"fmt"

	"strings"
	"syscall"
	"testing"

	"github.com/pg-bgw/pg-bgw/dbusapi"
)

func sleeper(label, more string) string {
	return fmt.Sprintf("worker %q {\n  command = [\"/bin/sleep\", \"1000\"]\n  flags = [\"shmem_access\"]\n  restart_time = 0\n%s}\n", label, more)
}

// TestMainJob is the whole story once: static and dynamic workers, a kill and
// the restart under the same handle, notifications, terminate, stop.
func TestMainJob(t *testing.T) {
	s := start(t, startBus(t), map[string]string{"workers.d/10.hcl": sleeper("one", "")})
	one := s.state("one", "running")
	if one.Dynamic || one.MainPID == 0 || one.StartNumber != 1 {
		t.Errorf("one is %+v", one)
	}
	owner, err := dbusapi.Dial(s.bus.address) // not subscribed: it hears what is meant for it
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Close()
	own, err := owner.Events(s.ctx(), false)
	if err != nil {
		t.Fatal(err)
	}
	h, err := owner.RegisterDynamicBackgroundWorker(s.ctx(), definition("two", 0, "/bin/sleep", "1000"), 0)
	if err != nil {
		t.Fatal(err)
	}
	status, pid, err := s.client.WaitForBackgroundWorkerStartup(s.ctx(), h) // BGW-040
	if err != nil || status != dbusapi.StatusStarted || pid == 0 {
		t.Fatalf("startup: %v %v %v", status, pid, err)
	}
	sendSignal(t, pid, syscall.SIGKILL)
	s.wait("restart", func() bool { // BGW-031: the same handle, a new pid
		st, p, err := s.client.GetBackgroundWorkerPid(s.ctx(), h)
		return err == nil && st == dbusapi.StatusStarted && p != pid
	})
	if err := s.client.TerminateBackgroundWorker(s.ctx(), h); err != nil {
		t.Fatal(err)
	}
	if st, err := s.client.WaitForBackgroundWorkerShutdown(s.ctx(), h); err != nil || st != dbusapi.StatusStopped {
		t.Errorf("shutdown: %v %v", st, err)
	}
	// BGW-044: started, exited, started, exited; each after the state had changed.
	var told []string
	for len(told) < 4 {
		e, ok := <-own
		if !ok {
			t.Fatalf("the owner was told %q and then nothing", told)
		}
		if e.Kind == dbusapi.EventStateChanged && e.Handle == h {
			told = append(told, string(e.Change.Status))
		}
	}
	if got := strings.Join(told, " "); got != "started stopped started stopped" {
		t.Errorf("the owner was told %q", got)
	}
	if now := s.worker("one"); now.MainPID != one.MainPID {
		t.Error("a kill of one worker restarted another")
	}
	away := gone(t, one.MainPID)
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	s.until("STOPPING=1")
	if code := s.exitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	away()
}

// TestHandlesOfAnEarlierLife: generations never come again, so that a handle
// of an earlier life means nothing (BGW-032).
func TestHandlesOfAnEarlierLife(t *testing.T) {
	s := start(t, startBus(t), map[string]string{"workers.d/10.hcl": sleeper("one", "")})
	old := s.state("one", "running").Handle
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	s.exitCode()
	s.client.Close()
	s.run()
	s.until("READY=1")
	s.connect()
	if now := s.state("one", "running").Handle; now == old || now.Slot != old.Slot {
		t.Errorf("handle %v after %v", now, old)
	}
	if st, pid, err := s.client.GetBackgroundWorkerPid(s.ctx(), old); st != dbusapi.StatusStopped || pid != 0 || err != nil {
		t.Errorf("the old handle says %v %d %v", st, pid, err)
	}
	if err := s.client.TerminateBackgroundWorker(s.ctx(), old); err != nil { // BGW-033
		t.Error(err)
	}
	s.state("one", "running")
}

func TestExitCodes(t *testing.T) {
	b := startBus(t)
	first := start(t, b, nil)

	t.Run("name owned", func(t *testing.T) {
		s := prepare(t, b, map[string]string{"workers.d/10.hcl": sleeper("never", "")})
		s.run()
		if code := s.exitCode(); code != 75 || !strings.Contains(s.log.String(), "another owner") {
			t.Errorf("exit code %d, log %s", code, s.log.String())
		}
		if strings.Contains(s.log.String(), "worker started") {
			t.Error("it started a worker")
		}
	})
	t.Run("runtime directory in use", func(t *testing.T) {
		s := prepare(t, nil, nil)
		s.dir = first.dir
		s.run()
		if code := s.exitCode(); code != 75 {
			t.Errorf("exit code %d", code)
		}
	})
	t.Run("configuration", func(t *testing.T) {
		s := prepare(t, nil, map[string]string{"workers.d/10.hcl": "worker \"a\" {\n  comand = []\n}\n"})
		s.run()
		status := s.until("STATUS=")
		if code := s.exitCode(); code != 78 || !strings.Contains(s.log.String(), "10.hcl") || !strings.Contains(status, "10.hcl") {
			t.Errorf("exit code %d, status %q, log %s", code, status, s.log.String())
		}
	})
	t.Run("no bus", func(t *testing.T) {
		s := prepare(t, &bus{address: "unix:path=/nonexistent"}, nil)
		s.run()
		if msg := s.until("ERRNO="); !strings.Contains(msg, fmt.Sprint(int(syscall.ENOENT))) {
			t.Errorf("manager was told %q", msg)
		}
		if code := s.exitCode(); code != 1 {
			t.Errorf("exit code %d", code)
		}
	})
	t.Run("usage", func(t *testing.T) {
		var out, errs strings.Builder
		if code := run([]string{"--nonsense"}, &out, &errs); code != 1 || !strings.Contains(errs.String(), "--config FILE") {
			t.Errorf("code %d: %s", code, errs.String())
		}
	})
}

// TestEnvironmentOfAWorker: what the manager meant for the daemon does not
// reach a worker.
func TestEnvironmentOfAWorker(t *testing.T) {
	out := t.TempDir() + "/env"
	s := prepare(t, startBus(t), map[string]string{"workers.d/10.hcl": fmt.Sprintf(`
worker "env" {
  command      = ["/bin/sh", "-c", "env > %s.new; mv %s.new %s; exec sleep 1000"]
  flags        = ["shmem_access", "backend_database_connection"]
  start_time   = "recovery_finished"
  restart_time = "never"
  main_arg     = 18446744073709551615
  extra_base64 = "AAEC/w=="
  environment  = { COLOUR = "blue" }
  connection {
    database = "shop"
    role     = "clerk"
  }
}
`, out, out, out)})
	s.run("INVOCATION_ID=0123", "LISTEN_FDS=0", "WATCHDOG_USEC=100000000")
	s.until("READY=1")
	s.connect()
	s.state("env", "running")
	var env string
	s.poll("environment", func() bool { env = readOr(out, ""); return env != "" })
	for _, want := range []string{
		"PGBGW_NAME=env", "PGBGW_MAIN_ARG=18446744073709551615", "PGBGW_EXTRA=AAEC/w==", // BGW-018, BGW-019
		"COLOUR=blue", "PGDATABASE=shop", "PGUSER=clerk", "PGAPPNAME=env", "INVOCATION_ID=0123", "PGBGW_NOTIFY_PID=0",
	} {
		if !strings.Contains("\n"+env, "\n"+want+"\n") {
			t.Errorf("%s is missing", want)
		}
	}
	for _, bad := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS", "HOME="} {
		if strings.Contains(env, bad) {
			t.Errorf("%s reached the worker:\n%s", bad, env)
		}
	}
}

func TestVersion(t *testing.T) {
	var out, errs strings.Builder
	if code := run([]string{"--version"}, &out, &errs); code != 0 || !strings.HasPrefix(out.String(), "pg-bgwd ") {
		t.Errorf("%d %q %q", code, out.String(), errs.String())
	}
}
