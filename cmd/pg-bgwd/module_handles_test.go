package main

import (
	"strings"
	"syscall"
	"testing"
)

// TestModuleUnstarted: BGW-027 and BGW-035, on a standby, where a worker that
// wants a primary does not start: inside of it and beside it. There is one slot
// for it, so that the second is registered only if the first has left it.
func TestModuleUnstarted(t *testing.T) {
	dir := needModules(t)
	parameters := map[string]string{"bgw_rows.statics": "waiter=unblock,unstarted,wait"}
	said := func(log string) (said []string) {
		for line := range strings.Lines(log) {
			if _, text, ok := strings.Cut(line, "waiter: "); ok && !strings.HasPrefix(text, "waits") {
				text, _, _ = strings.Cut(strings.TrimSpace(text), "\"")
				said = append(said, text)
			}
		}
		return said
	}
	const want = "not yet started, stopped, stopped, not yet started, stopped, stopped, through"

	inside := newCluster(t, "max_worker_processes = 2", "max_logical_replication_workers = 0", "shared_preload_libraries = 'bgw_rows'",
		"dynamic_library_path = '"+testModules()+"'", "bgw_rows.statics = '"+parameters["bgw_rows.statics"]+"'")
	inside.standby()
	inside.start()
	(&supervisor{t: t}).poll("it is through", func() bool { return lastLine(inside.base+"/log", "waiter: through") != "" })
	if got := strings.Join(said(readOr(inside.base+"/log", "")), ", "); got != want {
		t.Errorf("inside: %s", got)
	}

	outside := newCluster(t)
	outside.standby()
	outside.start()
	s := beside(t, outside.block("main")+"max_worker_processes = 2\n"+modulesBlock(dir, parameters, "bgw_rows"), "")
	s.says("waiter: through")
	if got := strings.Join(said(s.log.String()), ", "); got != want {
		t.Errorf("beside: %s", got)
	}
	if strings.Contains(s.log.String(), "has started") {
		t.Error("a worker that wants a primary has started")
	}
}

// TestModuleLockHolder: BGW-160. A worker is killed while it holds a lock of the
// modules' memory, and another waits for it: that one starts anew and gets it.
func TestModuleLockHolder(t *testing.T) {
	dir := needModules(t)
	s := beside(t, modulesBlock(dir, map[string]string{"bgw_rows.statics": "never=unblock,lock,say:has it,wait"}, "bgw_rows"), "")
	s.says("never: has it")
	s.file("workers.d/20.hcl", moduleWorker("waiter", "unblock,say:wants it,lock,say:has it,wait", "restart_time", "3600"))
	s.again(true)
	s.says("waiter: wants it")
	if err := syscall.Kill(int(s.attached("never").MainPID), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.says("waiter: has it")
	if w := s.worker("waiter"); w.StartNumber != 2 {
		t.Errorf("it is %+v", w)
	}
	if w := s.worker("never"); w.State != "ended" {
		t.Errorf("the holder is %+v", w)
	}
}
