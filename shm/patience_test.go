package shm

import "testing"

// TestPatience: an end that finds something looks long before it sleeps; one
// that never does spends next to nothing on it, and still tries now and then.
func TestPatience(t *testing.T) {
	var p patience
	const spins = 500
	long := p.looks(spins)
	if long != longSpin*spins {
		t.Errorf("at first it looks %d times, want %d", long, longSpin*spins)
	}
	const waits = 10 * lastTry
	total, since := 0, 0
	for n := range waits {
		looks := p.looks(spins)
		if total += looks; looks == long {
			since = 0
		} else if since++; since >= lastTry {
			t.Fatalf("no long spin among %d up to the %d.", since, n)
		} else if looks == 0 {
			t.Fatalf("the %d. spin has no look", n)
		}
		p.foundNothing()
	}
	if most := waits * spins / 8; total > most {
		t.Errorf("%d looks in %d spins in vain, want at most %d", total, waits, most)
	}
	if p.found(); p.looks(spins) != long {
		t.Errorf("after one that found something it looks %d times, want %d", p.looks(spins), long)
	}
	for range 2 * lastTry {
		if n := p.looks(0); n != 0 {
			t.Fatalf("%d looks where there is one CPU", n)
		}
		p.foundNothing()
	}
}

// TestSpinsAreRemembered: both ends learn from what a spin found.
func TestSpinsAreRemembered(t *testing.T) {
	s, r := testQueue(t, 120)
	s.party.spins, r.party.spins = 4, 4
	r.want = lengthWord
	for range 2 {
		if r.spin() {
			t.Fatal("the receiver found something in an empty ring")
		}
	}
	if r.patience.vain != 2 {
		t.Errorf("the receiver remembers %d spins in vain, want 2", r.patience.vain)
	}
	if s.spin() || s.patience.vain != 1 {
		t.Errorf("the sender remembers %d spins in vain, want 1", s.patience.vain)
	}
	if err := s.TrySend(Flush, message(40)); err != nil {
		t.Fatal(err)
	}
	if !r.spin() || r.patience.vain != 0 {
		t.Errorf("the receiver has found a message, and remembers %d spins in vain", r.patience.vain)
	}
	if _, err := r.TryReceive(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.TryReceive(); err != ErrWouldBlock {
		t.Fatal(err)
	}
	if !s.spin() || s.patience.vain != 0 {
		t.Errorf("the sender has found room, and remembers %d spins in vain", s.patience.vain)
	}
}

// TestGathering: who gets several messages after a rest rests each time; who
// gets one does not rest for ever more waits, and still tries now and then.
func TestGathering(t *testing.T) {
	var g gathering
	for n := range 100 {
		if !g.rest() {
			t.Fatalf("no rest before the %d. wait, though all before it brought several messages", n)
		}
		g.brought(true)
	}
	const waits = 10 * lastSkip
	rests, since := 0, 0
	for n := range waits {
		if g.rest() {
			rests, since = rests+1, 0
		} else if since++; since > lastSkip {
			t.Fatalf("no rest among the %d waits up to the %d.", since, n)
		}
		g.brought(false)
	}
	if rests > 20 {
		t.Errorf("%d rests in %d waits for one message each, want at most 20", rests, waits)
	}
	for !g.rest() {
		g.brought(false)
	}
	if g.brought(true); !g.rest() {
		t.Error("no rest after one that brought several messages")
	}
}

// TestGatheringIsRemembered: a receiver learns from what was behind a message
// that it waited for.
func TestGatheringIsRemembered(t *testing.T) {
	for _, test := range []struct {
		messages int
		skip     int
	}{{1, firstSkip}, {2, 0}} {
		s, r := testQueue(t, 4096)
		r.party.spins = 4 * lastRest
		r.want = lengthWord
		if r.spin() {
			t.Fatal("the receiver found something in an empty ring")
		}
		for range test.messages {
			if err := s.TrySend(Flush, message(8)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := r.TryReceive(); err != nil {
			t.Fatal(err)
		}
		if r.gather.skip != test.skip {
			t.Errorf("after %d messages it rests again after %d waits, want %d", test.messages, r.gather.skip, test.skip)
		}
	}
}
