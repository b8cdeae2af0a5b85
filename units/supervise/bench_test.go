package supervise

import (
	"fmt"
	"testing"
	"time"

	"github.com/pg-bgw/pg-bgw/units"
)

// running returns a table of n running workers that restart at once.
func running(b *testing.B, n int) *table { return runningOf(b, n, "") }

func runningOf(b *testing.B, n int, server string) *table {
	t := newTable(1, 1, Settings{MaxWorkerProcesses: MaxSlots, MaxParallelWorkers: 8, RestartAfterCrash: true})
	t.step(epoch0, phase{server, units.PhaseRunning})
	w := (units.Worker{Name: "w", Server: server, Flags: units.BackendDatabaseConnection, Command: []string{"/bin/w"}}).WithDefaults()
	for range n {
		t.step(epoch0, register{&w, Owner{}, make(chan registered, 1)})
	}
	for range n/maxStarting + 1 { // all but so many wait for room
		for _, e := range t.slots {
			if e.state == units.Starting {
				t.step(epoch0, started{e.run(), fakeProcess(1), nil})
			}
		}
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

// BenchmarkPhase measures the only step that walks all workers: a change of
// their server's phase, here one that wants nothing of them.
func BenchmarkPhase(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			t := runningOf(b, n, "a")
			b.ReportAllocs()
			for b.Loop() {
				t.step(epoch0, phase{"a", units.PhaseUnknown})
				t.step(epoch0, phase{"a", units.PhaseRunning})
			}
		})
	}
}

// BenchmarkOutage measures a whole outage, from the phase to the answer of the
// last start, for each worker.
func BenchmarkOutage(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			t := runningOf(b, n, "a")
			b.ReportAllocs()
			for b.Loop() {
				t.step(epoch0, phase{"a", units.PhaseDown})
				for _, e := range t.slots {
					t.step(epoch0, exited{e.run(), units.Exit{Code: 2, At: epoch0}})
				}
				t.step(epoch0, phase{"a", units.PhaseRunning})
				for i := n - 1; i >= 0; i-- { // the newest first, as they start
					t.step(epoch0, started{t.slots[i].run(), fakeProcess(1), nil})
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/worker")
		})
	}
}
