package shm

import "testing"

// copied is a machine on which a byte costs so much, streamed and not.
type copied struct {
	now            uint64
	streamed, past uint64 // cost of a byte
	bytes          [2]int // how many went which way
}

func (m *copied) clock() uint64 { return m.now + 1 }

// send sends n bytes in messages of 64 KiB.
func (m *copied) send(c *copying, n int) {
	const size = 64 << 10
	for ; n > 0; n -= size {
		begun := c.begin()
		if c.stream {
			m.now += size * m.streamed
			m.bytes[0] += size
		} else {
			m.now += size * m.past
			m.bytes[1] += size
		}
		c.end(begun)
		c.copied(size)
		m.now += 1 << 30 // the sender does something else
	}
}

// TestCopying: what is faster is kept, also once that changes, and what is not
// is tried seldom, the more so the slower it is.
func TestCopying(t *testing.T) {
	for _, ring := range []int{64 << 10, 1 << 20, 64 << 20} {
		m := &copied{streamed: 10, past: 10}
		c := newCopying(ring, m.clock)
		long := 4 * lastHold * c.unit
		for _, x := range []struct{ streamed, past uint64 }{{10, 10}, {10, 50}, {14, 10}, {10, 50}, {50, 10}, {14, 10}, {100, 95}, {95, 100}} {
			m.streamed, m.past = x.streamed, x.past
			before := c.kept
			m.send(&c, long)
			if clear := max(x.streamed, x.past) > min(x.streamed, x.past)/9*10; clear && c.kept != (x.streamed < x.past) || !clear && c.kept != before {
				t.Errorf("ring of %d: streamed %v, where a byte costs %d, and %d otherwise", ring, c.kept, x.streamed, x.past)
			}
			m.bytes = [2]int{}
			m.send(&c, long)
			other := m.bytes[0]
			if c.kept {
				other = m.bytes[1]
			}
			if other > long/50 {
				t.Errorf("ring of %d: %d of %d bytes go the slower way", ring, other, long)
			}
		}
	}
}

// TestCopyingElsewhere: where nothing is streamed, nothing is tried.
func TestCopyingElsewhere(t *testing.T) {
	c := newCopying(1<<20, nil)
	for range 1000 {
		c.end(c.begin())
		c.copied(1 << 20)
	}
	if c.stream || c.timed {
		t.Error("a trial without a clock")
	}
}
