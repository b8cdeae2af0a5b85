package main

import (
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/pg-bgw/pg-bgw/dbusapi"
	"github.com/pg-bgw/pg-bgw/shm/control"
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

func init() { bareRoles["crowd"] = crowd }

// crowd asks for 39 workers before it reads an answer, and for something else
// among them. One has no command.
func crowd() int {
	blocking()
	const all, other, wrong = 40, 20, 7
	for id := uint64(1); id <= all; id++ {
		r := control.Record{Type: control.Register, ID: id, Pairs: []control.Pair{
			{Key: control.KeyName, Value: "sleeper"}, {Key: control.KeyFlags, Value: []string{"shmem_access"}},
			{Key: control.KeyRestartTime, Value: int64(-1)}, {Key: control.KeyCommand, Value: []string{"/bin/sleep", "1000"}},
		}}
		switch id {
		case wrong:
			r.Pairs = r.Pairs[:3]
		case other:
			r = control.Record{Type: control.Hello, ID: id, Text: "crowd"}
		}
		if err := send(r); err != nil {
			fmt.Println("send:", err)
			return 3
		}
	}
	var answers [all + 1]string
	for left := all; left > 0; {
		r, err := receive()
		if err != nil {
			fmt.Println("receive:", err)
			return 3
		}
		if r.ID != 0 {
			left--
			answers[r.ID] = fmt.Sprint(r.Type, r.Errno == 0, r.Errno == syscall.EINVAL, r.Errno == syscall.EAGAIN)
		}
	}
	for from := 1; from <= all; {
		to := from
		for to < all && answers[to+1] == answers[from] {
			to++
		}
		fmt.Printf("answers %d to %d: %s\n", from, to, answers[from])
		from = to + 1
	}
	select {}
}

// TestRegisterCrowd: of what a worker asks for without waiting, each is answered
// for itself and in its order: a mistake, something else, and no slot any more
// (BGW-024) take nothing from the others.
func TestRegisterCrowd(t *testing.T) {
	s := start(t, startBus(t), map[string]string{"pg-bgw.hcl": "max_worker_processes = 30\n", "workers.d/10.hcl": bare("crowd", "crowd")})
	registered := fmt.Sprint(control.Register.Answer(), true, false, false)
	refused := fmt.Sprint(control.Register.Answer(), false, true, false)
	full := fmt.Sprint(control.Register.Answer(), false, false, true)
	hello := fmt.Sprint(control.Hello.Answer(), true, false, false)
	for _, line := range []string{"1 to 6: " + registered, "7 to 7: " + refused, "8 to 19: " + registered, "20 to 20: " + hello, "21 to 31: " + registered, "32 to 40: " + full} {
		s.says("answers " + line)
	}
}
