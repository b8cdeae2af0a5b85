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
