package dbusapi

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
)

// TestOutbox: what is sent while somebody writes goes out in one piece, each message whole and those of one sender in order.
func TestOutbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turn := make(chan struct{})
		var got bytes.Buffer
		writes := 0
		o := newOutbox(func(b []byte) (int, error) {
			<-turn
			writes++
			return got.Write(b)
		})
		var senders sync.WaitGroup
		for s := range 50 {
			senders.Go(func() {
				for n := range 20 {
					if err := o.put(fmt.Appendf(nil, "%c%c", 'A'+s, 'a'+n)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		synctest.Wait()
		close(turn)
		senders.Wait()
		o.drain()
		last := map[byte]byte{}
		for b := got.Bytes(); len(b) > 1; b = b[2:] {
			if b[1] != max('a', last[b[0]]+1) {
				t.Fatalf("%c%c after %c", b[0], b[1], last[b[0]])
			}
			last[b[0]] = b[1]
		}
		if got.Len() != 2*50*20 || writes > 100 {
			t.Errorf("%d bytes in %d writes", got.Len(), writes)
		}
	})
}

// TestOutboxBlocked: a broker that does not read makes senders wait once maxUnwritten bytes do, and a lost one makes all fail.
func TestOutboxBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := make(chan struct{})
		lost := errors.New("lost")
		o := newOutbox(func([]byte) (int, error) { <-gone; return 0, lost })
		const size = 1 << 10
		returned, failed := 0, 0
		var mu sync.Mutex
		var senders sync.WaitGroup
		for range 4 * maxUnwritten / size {
			senders.Go(func() {
				err := o.put(make([]byte, size))
				mu.Lock()
				defer mu.Unlock()
				if returned++; errors.Is(err, lost) {
					failed++
				}
			})
		}
		synctest.Wait()
		if mu.Lock(); returned > 2*maxUnwritten/size { // in the write, and behind it
			t.Errorf("%d senders did not wait", returned)
		}
		mu.Unlock()
		close(gone)
		senders.Wait()
		o.drain()
		if failed == 0 || !errors.Is(o.put([]byte("x")), lost) {
			t.Errorf("%d failed; later: %v", failed, o.put([]byte("x")))
		}
	})
}

// TestOutboxGather: what is put while it gathers is one write, or one for each maxGathered bytes, at its end or when it is drained.
func TestOutboxGather(t *testing.T) {
	var writes []int
	o := newOutbox(func(b []byte) (int, error) { writes = append(writes, len(b)); return len(b), nil })
	put := func(size int) {
		if err := o.put(make([]byte, size)); err != nil {
			t.Error(err)
		}
	}
	expect := func(want ...int) {
		t.Helper()
		o.drain()
		if !slices.Equal(writes, want) {
			t.Errorf("writes of %v bytes, want %v", writes, want)
		}
		writes = nil
	}
	o.gather(func() {})
	expect()
	o.gather(func() {
		for range 100 {
			put(10)
		}
		if len(writes) > 0 {
			t.Errorf("it has written %v bytes", writes)
		}
	})
	expect(1000)
	o.gather(func() {
		put(7)
		expect(7)
		put(maxGathered - 1)
		put(1)
		put(5)
	})
	expect(maxGathered, 5)
	put(3)
	expect(3)
}
