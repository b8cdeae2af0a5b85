package shm

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestPartyWord: an ended process is known by its slot, generation and start
// number, over the wrap of the low bits; one that the table does not know yet
// is not taken for ended.
func TestPartyWord(t *testing.T) {
	table, slots := tables(t)
	self := func(generation, start uint64) uint64 {
		return partyWord(&BackgroundWorker{Handle: Handle{Slot: 7, Generation: generation}, Start: start})
	}
	if partySlot(self(1, 1)) != 7 || partySlot(0) != 1<<32-1 {
		t.Error("the slot is not what it was")
	}
	if slots.dead(self(5, 1)) || slots.stopped(Handle{Slot: 7, Generation: 5}) {
		t.Error("a slot that was never used has no dead process")
	}
	const epoch = 9 << 32
	for _, c := range []struct {
		generation, start uint64
		state             State
		status            Status
		dead, stopped     bool // of generation epoch + 5, start 3
	}{
		{epoch + 4, 9, StateRunning, StatusStarted, false, false},
		{epoch + 5, 2, StateRestarting, StatusStopped, false, true},
		{epoch + 5, 3, StateStarting, StatusNotYetStarted, false, false},
		{epoch + 5, 3, StateStarting, StatusStopped, false, false},
		{epoch + 5, 3, StateRunning, StatusStarted, false, false},
		{epoch + 5, 3, StateStopping, StatusStarted, false, false},
		{epoch + 5, 3, StateRestarting, StatusStopped, true, true},
		{epoch + 5, 3, StateHeld, StatusStopped, true, true},
		{epoch + 5, 3, StateEnded, StatusStopped, true, true},
		{epoch + 5, 4, StateRunning, StatusStarted, true, false},
		{epoch + 6, 1, StateRunning, StatusStarted, true, true},
		{epoch + 5 + 1<<23, 1, StateRunning, StatusStarted, false, true}, // too far to tell
	} {
		table.Set(7, Entry{Generation: c.generation, Start: c.start, State: c.state, Status: c.status})
		name := fmt.Sprintf("generation %d, start %d, %v", c.generation-epoch, c.start, c.state)
		if got := slots.dead(self(epoch+5, 3)); got != c.dead {
			t.Errorf("%s: dead is %v", name, got)
		}
		if got := slots.stopped(Handle{Slot: 7, Generation: epoch + 5}); got != c.stopped {
			t.Errorf("%s: stopped is %v", name, got)
		}
	}
	table.Set(7, Entry{Generation: 1 << 24, Start: 1 << 24, State: StateRunning})
	if !slots.dead(self(1<<24-1, 1)) || !slots.dead(self(1<<24, 1<<24-1)) {
		t.Error("the wrap of the low bits hides an end")
	}
	if slots.dead(self(1<<24, 0)) {
		t.Error("a start number that is not known counts")
	}
}

// TestQueuePeerDies: a peer that ends without a word is noticed on a patrol,
// after what it sent.
func TestQueuePeerDies(t *testing.T) {
	a, b := testParties(t)
	b.latch.sleepers.every = time.Millisecond
	s, r := testQueueOf(t, a, b, make([]byte, 256))
	if err := s.TrySend(Flush, message(9)); err != nil {
		t.Fatal(err)
	}
	done := make(chan string, 1)
	go func() {
		var got []string
		for {
			m, err := r.Receive(t.Context())
			if err != nil {
				done <- strings.Join(append(got, err.Error()), ", ")
				return
			}
			got = append(got, fmt.Sprint(len(m)))
		}
	}()
	untilFlag(r.Queue, queueReceiverWaits)
	b.gone.Store(true)
	if got := <-done; got != "9, "+ErrDetached.Error() {
		t.Errorf("got %s", got)
	}
}

// testPeers are n processes that can wake each other, in slots from 1 on; dead
// is the party word of one who has ended, as the slot table says, or 0.
func testPeers(t testing.TB, n int) (parties []*testParty, dead *atomic.Uint64) {
	t.Helper()
	dead = new(atomic.Uint64)
	bells := map[uint32]*bell{}
	for i := range n {
		p := newTestParty(t, uint32(i+1))
		p.party.dead = func(word uint64) bool { return word == dead.Load() && word != 0 }
		p.ask = func(_ context.Context, slot uint32) (*bell, error) {
			if b := bells[slot]; b != nil {
				return b, nil
			}
			return nil, ErrSupervisorDied
		}
		bells[uint32(i+1)] = p.latch.bell
		parties = append(parties, p)
	}
	return parties, dead
}
