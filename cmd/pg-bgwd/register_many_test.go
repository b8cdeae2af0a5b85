package main

import (
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/pg-bgw/pg-bgw/dbusapi"
)

// TestRegisterMany: one call registers what can be registered, and says of
// everything else why not: a mistake, no slot any more (BGW-024, BGW-025). All
// run, and their owner is told of each (BGW-046).
func TestRegisterMany(t *testing.T) {
	s := prepare(t, startBus(t), map[string]string{"pg-bgw.hcl": "max_worker_processes = 40\n"})
	s.run()
	s.until("READY=1")
	s.connect()
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGUSR1)
	defer signal.Stop(told)
	sleeper := definition("sleeper", 0, "/bin/sleep", "1000")
	mistake := definition("mistake", 0, "sleep", "1000")
	unsignalled := sleeper
	unsignalled.Set |= dbusapi.KeyNotifyPid // 0: nobody to signal
	var defs []dbusapi.Definition
	for range 39 {
		defs = append(defs, sleeper)
	}
	defs = append(defs[:20], append([]dbusapi.Definition{mistake, unsignalled}, defs[20:]...)...)
	defs = append(defs, sleeper, sleeper)
	answers, err := s.client.RegisterDynamicBackgroundWorkers(s.ctx(), defs, dbusapi.RegisterSignalCaller)
	if err != nil || len(answers) != 43 {
		t.Fatalf("%d answers, %v", len(answers), err)
	}
	waiting := map[dbusapi.Handle]bool{}
	for i, a := range answers {
		want := map[int]string{20: "command", 21: "NotifyPid does not name the caller", 42: "no free slot"}[i]
		switch {
		case want == "" && a.Err == nil:
			waiting[a.Handle] = true
		case want == "" || a.Err == nil || !strings.Contains(strings.ToLower(a.Err.Error()), strings.ToLower(want)):
			t.Errorf("answer %d: %v, %v, want %q", i, a.Handle, a.Err, want)
		}
	}
	if !dbusapi.IsError(answers[42].Err, dbusapi.ErrorNoFreeSlot) {
		t.Errorf("the one too many: %v", answers[42].Err)
	}
	<-told
	for h := range waiting {
		s.running(h)
	}
}
