package supervise

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/pg-bgw/pg-bgw/units"
)

// TestDatabaseAtAnyTime asks for a database amid random events: the promises of
// the sim hold, each interruptible worker of it that is not held is named and
// will end, and of the others those with a process (BGW-130, BGW-131).
func TestDatabaseAtAnyTime(t *testing.T) {
	for seed := range 60 {
		t.Run(strconv.Itoa(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(seed), 2))
			s := newSim(Settings{MaxWorkerProcesses: 8, MaxParallelWorkers: 1, RestartAfterCrash: true, SmartStopGrace: 30 * time.Second})
			for n := 0; n < 400 && !s.table.stopped(); n++ {
				var err error
				switch r.IntN(12) {
				case 0:
					err = databaseStep(t, s)
				case 1, 2:
					w := *kind(r.IntN(len(kinds)), "")
					w.Flags |= units.BackendDatabaseConnection | units.Interruptible
					err = s.step(register{&w, Owner{}, make(chan registered, 1)})
				default:
					tp := make(tape, 40)
					for i := range tp {
						tp[i] = byte(r.Uint32())
					}
					err = s.play(&tp)
				}
				if err != nil {
					t.Fatalf("%v\n%s", err, s.table.dump(s.now))
				}
			}
			if err := s.finish(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// databaseStep asks for the database of all workers of server b.
func databaseStep(t *testing.T, s *sim) error {
	t.Helper()
	of := func(w *units.Worker) bool { return w.Server == "b" }
	want := DatabaseResult{}
	for _, e := range s.table.slots {
		switch {
		case e == nil || !of(e.worker) || e.worker.Flags&units.BackendDatabaseConnection == 0 || e.state == units.Held:
		case e.worker.Flags&units.Interruptible != 0:
			want.Terminated = append(want.Terminated, e.handle)
			delete(s.outage, s.slots[e.handle.Slot])
		case e.state == units.Starting || e.state == units.Running || e.state == units.Stopping:
			want.Remaining = append(want.Remaining, e.handle)
		}
	}
	c := make(chan DatabaseResult, 1)
	err := s.step(forDatabase{of, c})
	for _, e := range s.table.effects {
		if r, ok := e.(reply[DatabaseResult]); ok {
			r.send()
		}
	}
	got := <-c
	if !slices.Equal(got.Terminated, want.Terminated) || !slices.Equal(got.Remaining, want.Remaining) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, h := range got.Terminated {
		if e := s.table.find(h); e != nil && e.goal != goalEnd {
			t.Errorf("%v stays: goal %d", h, e.goal)
		}
	}
	return err
}
