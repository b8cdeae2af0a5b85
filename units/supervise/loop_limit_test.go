package supervise

import (
	"testing"
	"testing/synctest"

	"github.com/pg-bgw/pg-bgw/units"
)

// A kernel that takes its time over a limit delays nobody else.
func TestLoopLimitBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, nil)
		st := Settings{MaxWorkerProcesses: 8, RestartAfterCrash: true}
		define := func(label, max string) *units.Worker {
			w := units.Worker{Label: label, Flags: units.ShmemAccess, Command: []string{"/bin/w"}}
			w.Resources.Cgroup = map[string]string{"memory.max": max}
			w = w.WithDefaults()
			return &w
		}
		reload := func(ws ...*units.Worker) {
			if _, err := f.Reload(ws, st); err != nil {
				t.Fatal(err)
			}
		}
		reload(define("a", "1"))
		a := f.next(t)
		synctest.Wait()
		reload(define("a", "2"), define("b", "1"))
		b := f.next(t) // though nobody has answered a's limit
		reload(define("a", "3"), define("b", "1"))
		if r := <-a.limits; r.Cgroup["memory.max"] != "2" {
			t.Errorf("the first limits are %v", r.Cgroup)
		}
		if r := <-a.limits; r.Cgroup["memory.max"] != "3" {
			t.Errorf("the last limits are %v", r.Cgroup)
		}
		f.end(t, b, a)
	})
}
