package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/pg-bgw/pg-bgw/dbusapi"
)

func TestReload(t *testing.T) {
	s := start(t, startBus(t), map[string]string{
		"workers.d/10.hcl": sleeper("same", "") + sleeper("changed", "") + sleeper("removed", ""),
	})
	same, changed, removed := s.state("same", "running"), s.state("changed", "running"), s.state("removed", "running")
	h, err := s.client.RegisterDynamicBackgroundWorker(s.ctx(), definition("dynamic", 0, "/bin/sleep", "1000"), 0)
	if err != nil {
		t.Fatal(err)
	}
	dynamic := s.state("dynamic", "running")

	s.file("workers.d/10.hcl", sleeper("same", "")+sleeper("changed", "  main_arg = 7\n")+sleeper("added", ""))
	if err := s.client.Reload(s.ctx()); err != nil {
		t.Fatal(err)
	}
	if msg := s.until("RELOADING=1"); !strings.Contains(msg, "MONOTONIC_USEC=") {
		t.Errorf("the manager was told %q", msg)
	}
	s.until("READY=1")
	s.state("added", "running")
	s.state("removed", "ended")
	var now dbusapi.WorkerInfo
	s.wait("the changed one's restart", func() bool { now = s.worker("changed"); return now.StartNumber == 2 && now.State == "running" })
	if now.Handle != changed.Handle || now.Definition.MainArg != 7 {
		t.Errorf("changed is %+v", now)
	}
	if w := s.worker("same"); w.MainPID != same.MainPID {
		t.Error("an unchanged worker was restarted")
	}
	if w := s.worker("dynamic"); w.MainPID != dynamic.MainPID || w.Handle != h {
		t.Error("a dynamic worker was touched")
	}
	gone(t, removed.MainPID)()
}

// TestBadReload: a mistake in any file changes nothing, and everybody hears of
// it.
func TestBadReload(t *testing.T) {
	s := start(t, startBus(t), map[string]string{"workers.d/10.hcl": sleeper("one", "")})
	one := s.state("one", "running")
	s.file("workers.d/20.hcl", sleeper("two", "  restart_tme = 5\n"))
	err := s.client.Reload(s.ctx())
	if !dbusapi.IsError(err, dbusapi.ErrorConfigurationInvalid) || !strings.Contains(err.Error(), "20.hcl:5") || !strings.Contains(err.Error(), "restart_tme") {
		t.Fatalf("reload says %v", err)
	}
	s.until("STATUS=1 of 1 workers running; reload failed: ")
	s.until("READY=1")
	if w := s.worker("one"); w.MainPID != one.MainPID {
		t.Error("the worker was restarted")
	}
	if m, err := s.client.Manager(s.ctx()); err != nil || !strings.Contains(m.ConfigurationState, "20.hcl") || m.Workers != 1 {
		t.Errorf("the manager object says %+v, %v", m, err)
	}
	// The same by signal, then the mend.
	_ = s.cmd.Process.Signal(syscall.SIGHUP)
	s.until("RELOADING=1")
	s.until("READY=1")
	s.file("workers.d/20.hcl", sleeper("two", ""))
	_ = s.cmd.Process.Signal(syscall.SIGHUP)
	s.until("RELOADING=1")
	s.until("READY=1")
	s.state("two", "running")
	if m, _ := s.client.Manager(s.ctx()); m.ConfigurationState != "ok" {
		t.Errorf("the configuration is %q", m.ConfigurationState)
	}
}

// TestReloadNotApplied: a configuration without a mistake that cannot be made to
// hold changes nothing either, and everybody hears of it.
func TestReloadNotApplied(t *testing.T) {
	s := start(t, startBus(t), map[string]string{"workers.d/10.hcl": sleeper("one", "")})
	one := s.state("one", "running")
	settings := filepath.Join(s.dir, "run", "settings")
	if err := errors.Join(os.Rename(settings, settings+".kept"), os.Mkdir(settings, 0o700)); err != nil {
		t.Fatal(err)
	}
	s.file("pg-bgw.hcl", "max_worker_processes = 300\nsegment \"new\" {}\n")
	s.file("workers.d/20.hcl", sleeper("two", ""))
	if err := s.client.Reload(s.ctx()); err == nil || !strings.Contains(err.Error(), "settings") {
		t.Fatalf("reload says %v", err)
	}
	s.until("STATUS=1 of 1 workers running; reload failed: cannot write the modules' settings")
	m, err := s.client.Manager(s.ctx())
	if err != nil || m.MaxWorkerProcesses != 128 || m.Workers != 1 || !strings.Contains(m.ConfigurationState, "settings") {
		t.Errorf("the manager object says %+v, %v", m, err)
	}
	if _, err := s.client.SharedMemory(s.ctx(), "new"); !dbusapi.IsError(err, dbusapi.ErrorInvalidArgs) {
		t.Errorf("a segment of what does not hold: %v", err)
	}
	if err := os.Remove(settings); err != nil {
		t.Fatal(err)
	}
	s.again(true)
	s.state("two", "running")
	if m, err := s.client.Manager(s.ctx()); err != nil || m.MaxWorkerProcesses != 300 || m.ConfigurationState != "ok" {
		t.Errorf("the manager object says %+v, %v", m, err)
	}
	if w := s.worker("one"); w.MainPID != one.MainPID {
		t.Error("an unchanged worker was restarted")
	}
}
