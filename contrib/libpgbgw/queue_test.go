package libpgbgw

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"testing"

	"github.com/pg-bgw/pg-bgw/shm"
)

// makeQueue makes a queue in an area of its own, in Go.
func makeQueue(t testing.TB, g *shm.Worker, area string, size int) {
	t.Helper()
	data, _, err := g.Area(area, size)
	if err == nil {
		_, err = g.CreateQueue(data)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// numbered is message i: of varied length, some larger than a small ring.
func numbered(i int) []byte {
	b := make([]byte, 8+i*37%1500)
	binary.LittleEndian.PutUint64(b, uint64(i))
	b[len(b)-1] ^= byte(i)
	return b
}

// sender is the role of that name in testdata/role_queue.c, in Go; it returns how many
// messages it sent before the other end was gone.
func sender(g *shm.Worker, area string, size, count int, peer uint32) (int, error) {
	s, err := end(g, area, size, (*shm.Queue).AttachSender)
	if err != nil {
		return 0, err
	}
	defer s.Detach()
	s.Expect(shm.Handle{Slot: peer, Generation: 17})
	for i := range count {
		m := numbered(i)
		err := s.Send(context.Background(), shm.FlushMode(i%2), m[:3], nil, m[3:])
		if errors.Is(err, shm.ErrDetached) {
			return i, nil
		}
		if err != nil {
			return i, err
		}
	}
	return count, nil
}

// receiver is the other role.
func receiver(g *shm.Worker, area string, size, count int, peer uint32) (int, error) {
	r, err := end(g, area, size, (*shm.Queue).AttachReceiver)
	if err != nil {
		return 0, err
	}
	defer r.Detach()
	r.Expect(shm.Handle{Slot: peer, Generation: 17})
	for i := range count {
		m, err := r.Receive(context.Background())
		if errors.Is(err, shm.ErrDetached) {
			return i, nil
		}
		if err != nil {
			return i, err
		}
		if string(m) != string(numbered(i)) {
			return i, fmt.Errorf("message %d has %d bytes and is not what was sent", i, len(m))
		}
	}
	return count, nil
}

func end[E any](g *shm.Worker, area string, size int, attach func(*shm.Queue) (E, error)) (e E, err error) {
	data, _, err := g.Area(area, size)
	if err != nil {
		return e, err
	}
	q, err := g.OpenQueue(data)
	if err != nil {
		return e, err
	}
	return attach(q)
}

// TestQueue sends from C to C, from C to Go and from Go to C, through rings of
// all kinds: messages wrap, are larger than the ring, and come in every way
// (BGW-142 to BGW-149, BGW-152).
func TestQueue(t *testing.T) {
	newHost(t).start(3, nil, built.asan, "repeats").succeed()
	for size, count := range map[int]int{64: 30, 72: 30, 1000: 300, 4096: 1000, 65536: 1000} {
		for _, way := range []string{"plain", "parts", "nowait"} {
			t.Run(fmt.Sprintf("%d %s", size, way), func(t *testing.T) {
				h := newHost(t)
				g := h.open(5)
				s, n := strconv.Itoa(size), strconv.Itoa(count)
				for _, area := range []string{"cc", "cg", "gc"} {
					h.start(3, nil, built.role, "make", "queue", area, s).succeed()
				}
				cc := h.start(6, nil, built.asan, "sender", "cc", s, n, way, "7")
				cc2 := h.start(7, nil, built.asan, "receiver", "cc", s, n+"0", way, "6")
				cg := h.start(8, nil, built.asan, "sender", "cg", s, n, way)
				gc := h.start(9, nil, built.asan, "receiver", "gc", s, n+"0", way)
				sent := make(chan error, 1)
				go func() {
					m, err := sender(g, "gc", size, count, 9)
					if m != count {
						err = fmt.Errorf("sent %d: %w", m, err)
					}
					sent <- err
				}()
				if m, err := receiver(g, "cg", size, count+1, 8); m != count || err != nil {
					t.Errorf("Go received %d of %d: %v", m, count, err)
				}
				if err := <-sent; err != nil {
					t.Error(err)
				}
				for _, w := range []*worker{cc, cc2, cg, gc} {
					if got := w.succeed(); got != n {
						t.Errorf("%v: %s messages, want %s", w.cmd.Args[1:], got, n)
					}
				}
			})
		}
	}
}

// TestReceiverDetaches: the sender learns of it (BGW-149).
func TestReceiverDetaches(t *testing.T) {
	h := newHost(t)
	g := h.open(5)
	makeQueue(t, g, "cg", 256)
	makeQueue(t, g, "gc", 256)
	w := h.start(3, nil, built.asan, "sender", "cg", "256", "1000", "plain")
	if n, err := receiver(g, "cg", 256, 10, 3); n != 10 || err != nil {
		t.Error(n, err)
	}
	if n, _ := strconv.Atoi(w.succeed()); n < 10 || n > 50 {
		t.Errorf("BGW-149: C sent %d messages", n)
	}
	w = h.start(3, nil, built.asan, "receiver", "gc", "256", "10", "plain")
	if n, err := sender(g, "gc", 256, 1000, 3); n < 10 || n > 50 || err != nil {
		t.Errorf("BGW-149: Go sent %d messages: %v", n, err)
	}
	w.succeed()
}

// TestPeerNeverAttaches: an expected worker that stops before is a detached
// queue (BGW-150).
func TestPeerNeverAttaches(t *testing.T) {
	h := newHost(t)
	g := h.open(5)
	_ = h.start(3, nil, built.role, "no such role").wait()
	for _, role := range []string{"sender", "receiver"} {
		makeQueue(t, g, role, 256)
		if got := h.start(6, nil, built.asan, role, role, "256", "100", "plain", "3").succeed(); role == "receiver" && got != "0" {
			t.Errorf("BGW-150: %s: %s", role, got)
		}
	}
}

// TestToc: tables of contents across the languages (BGW-140, BGW-141).
func TestToc(t *testing.T) {
	h := newHost(t)
	g := h.open(5)
	h.start(3, nil, built.asan, "make", "toc", "c", "1000").succeed()
	keys := h.start(3, nil, built.asan, "look", "c", "1000").succeed()
	data, _, err := g.Area("c", 1000)
	if err != nil {
		t.Fatal(err)
	}
	toc, err := shm.OpenTOC(4711, data)
	if err != nil {
		t.Fatal(err)
	}
	n := uint64(0)
	for ; ; n++ {
		chunk, found, err := toc.Lookup(n)
		if err != nil {
			t.Fatal(err)
		}
		if !found {
			break
		}
		if string(chunk) != string(bytesOf(byte('a'+n), 9)) {
			t.Errorf("chunk %d is %q", n, chunk)
		}
	}
	if keys != strconv.FormatUint(n, 10) || n < 10 {
		t.Errorf("C finds %s keys, Go %d", keys, n)
	}
	if data, _, err = g.Area("go", 1000); err != nil {
		t.Fatal(err)
	}
	if toc, err = shm.CreateTOC(4711, data); err != nil {
		t.Fatal(err)
	}
	for key := uint64(0); toc.Free() >= 64; key++ {
		c, err := toc.Allocate(9)
		if err != nil {
			t.Fatal(err)
		}
		copy(c.Data, bytesOf(byte('a'+key), 9))
		if err := toc.Insert(key, c); err != nil {
			t.Fatal(err)
		}
	}
	if got := h.start(3, nil, built.asan, "look", "go", "1000").succeed(); got != keys {
		t.Errorf("C finds %s keys in Go's table, and %s in its own", got, keys)
	}
}

func bytesOf(b byte, n int) []byte {
	s := make([]byte, n)
	for i := range s {
		s[i] = b
	}
	return s
}
