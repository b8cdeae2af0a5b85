package supervise

import (
	"fmt"
	"testing"
	"time"

	"github.com/pg-bgw/pg-bgw/units"
)

// running returns a table of n running workers that restart at once.
func running(b *testing.B, n int) *table {
	t := newTable(1, 1, Settings{MaxWorkerProcesses: MaxSlots, MaxParallelWorkers: 8, RestartAfterCrash: true})
	t.step(epoch0, phase{"", units.PhaseRunning})
	w := (units.Worker{Name: "w", Command: []string{"/bin/w"}}).WithDefaults()
	for range n {
		t.step(epoch0, register{&w, Owner{}, make(chan registered, 1)})
	}
	for _, e := range t.slots {
		t.step(epoch0, started{e.run(), fakeProcess(1), nil})
	}
	if t.live != n {
		b.Fatalf("%d of %d run", t.live, n)
	}
	return t
}

// BenchmarkStep measures one step, or the few of one cycle, in tables of
// several sizes: none may cost more in a large one, but for the depth of a
// heap.
func BenchmarkStep(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("restart/%d", n), func(b *testing.B) {
			t, now, i := running(b, n), epoch0, 0
			b.ReportAllocs()
			for b.Loop() {
				e := t.slots[i%n]
				i++
				now = now.Add(time.Millisecond)
				t.step(now, exited{e.run(), units.Exit{Code: 1, At: now}})
				t.step(now, started{e.run(), fakeProcess(1), nil})
			}
		})
		b.Run(fmt.Sprintf("tick/%d", n), func(b *testing.B) {
			t := running(b, n)
			b.ReportAllocs()
			for b.Loop() {
				t.step(epoch0, tick{})
			}
		})
		b.Run(fmt.Sprintf("register/%d", n), func(b *testing.B) {
			t := running(b, n)
			w := (units.Worker{Name: "w", RestartTime: units.NeverRestart, Command: []string{"/bin/w"}}).WithDefaults()
			reply := make(chan registered, 1)
			b.ReportAllocs()
			for b.Loop() {
				t.step(epoch0, register{&w, Owner{}, reply})
				e := t.slots[n]
				t.step(epoch0, started{e.run(), fakeProcess(1), nil})
				t.step(epoch0, exited{e.run(), units.Exit{At: epoch0}})
			}
		})
		b.Run(fmt.Sprintf("attach/%d", n), func(b *testing.B) {
			t := running(b, n)
			r, reply := t.slots[n-1].run(), make(chan error, 1)
			b.ReportAllocs()
			for b.Loop() {
				t.step(epoch0, attach{r, reply})
				t.step(epoch0, detach{r, reply})
			}
		})
	}
}
