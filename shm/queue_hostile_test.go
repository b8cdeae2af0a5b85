package shm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"testing"
)

// TestQueueModel does what a script of random numbers says at both ends, and
// compares with a list.
func TestQueueModel(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		size := 64 + 8*random.IntN(40)
		if seed%4 == 0 {
			size = 4096 + 8*random.IntN(100)
		}
		most := size * 2
		switch seed % 4 {
		case 1: // one whose sender stages short messages
			size, most = 384+stageRing+8*random.IntN(1000), 2*shortMessage
		case 2: // one whose sender streams long ones
			size, most = 384+4*streamSeen+8*random.IntN(1000), 2*streamSeen
		}
		a, b := testParties(t)
		s, r := testQueueOf(t, a, b, make([]byte, size+cacheLine)[8*random.IntN(8):][:size])
		if runtime.GOARCH == "amd64" && size > stageRing { // whoever made the CPU
			s.copying = newCopying(len(s.data), func() uint64 { return 1 + random.Uint64()>>40 })
			s.copying.unit, s.copying.left = 3*streamMore, 3*streamMore
		}
		var sent [][]byte
		var unfinished []byte
		for range 400 {
			if random.IntN(2) == 0 {
				b := unfinished
				if b == nil {
					b = message(random.IntN(most))
				}
				parts := [][]byte{b}
				if cut := random.IntN(2*len(b) + 1); cut <= len(b) {
					parts = [][]byte{b[:cut], b[cut:]}
				}
				switch err := s.TrySend(FlushMode(random.IntN(2)), parts...); err {
				case nil:
					sent, unfinished = append(sent, b), nil
				case ErrWouldBlock:
					unfinished = b
				default:
					t.Fatalf("seed %d: %v", seed, err)
				}
				continue
			}
			got, err := r.TryReceive()
			switch {
			case err == ErrWouldBlock:
			case err != nil:
				t.Fatalf("seed %d: %v", seed, err)
			case len(sent) == 0 && unfinished != nil && bytes.Equal(got, unfinished):
				t.Fatalf("seed %d: received before it was sent", seed)
			case !bytes.Equal(got, sent[0]):
				t.Fatalf("seed %d: a message differs", seed)
			default:
				sent = sent[1:]
			}
		}
		s.Detach()
		for _, want := range sent {
			if got, err := r.TryReceive(); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("seed %d: after the detach: %v", seed, err)
			}
		}
		if _, err := r.TryReceive(); err != ErrDetached {
			t.Fatalf("seed %d: at the end: %v", seed, err)
		}
	}
}

// TestQueueDamaged: another user of the memory overwrites it.
func TestQueueDamaged(t *testing.T) {
	for name, damage := range map[string]func(*Queue){
		"written far ahead": func(q *Queue) { q.written.Store(1 << 40) },
		"written behind":    func(q *Queue) { q.written.Store(^uint64(7)) },
		"written odd":       func(q *Queue) { q.written.Store(9) },
		"a huge message": func(q *Queue) {
			binary.LittleEndian.PutUint64(q.data, 1<<40)
			q.written.Store(16)
		},
	} {
		_, r := testQueue(t, 128)
		damage(r.Queue)
		for range 2 {
			if _, err := r.Receive(t.Context()); !errors.Is(err, ErrDamaged) {
				t.Errorf("%s: got %v", name, err)
			}
		}
	}
	for _, read := range []uint64{8, 4, 1 << 40, ^uint64(7)} {
		s, _ := testQueue(t, 128)
		s.read.Store(read)
		if err := s.Send(t.Context(), Flush, message(100)); !errors.Is(err, ErrDamaged) {
			t.Errorf("read %d: got %v", read, err)
		}
	}
	a, _ := testParties(t)
	data := make([]byte, 128)
	if _, err := a.openQueue(data); !errors.Is(err, ErrDamaged) {
		t.Errorf("zeros: got %v", err)
	}
	q, err := a.createQueue(data)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.openQueue(data[:120]); !errors.Is(err, ErrDamaged) {
		t.Errorf("another size: got %v", err)
	}
	q.mem.word32(36).Store(1)
	if _, err := a.openQueue(data); !errors.Is(err, ErrDamaged) {
		t.Errorf("another feature: got %v", err)
	}
	q.written.Store(1 << 20)
	if _, err := q.AttachSender(); !errors.Is(err, ErrDamaged) {
		t.Errorf("a sender of damaged counters: got %v", err)
	}
}

// FuzzQueue uses both ends of a queue in hostile memory: errors, never a fault,
// a hang, or more memory than was sent.
func FuzzQueue(f *testing.F) {
	f.Add([]byte{}, uint16(128))
	f.Add(bytes.Repeat([]byte{0xff}, 80), uint16(128))
	f.Add(append(make([]byte, 40), 0x80), uint16(5000))
	f.Add(bytes.Repeat([]byte{0, 1, 2, 40}, 400), uint16(384+stageRing))
	f.Fuzz(func(t *testing.T, script []byte, size uint16) {
		a, b := newFuzzParty(t, 1), newFuzzParty(t, 2)
		s, r := testQueueOf(t, a, b, make([]byte, max(MinQueueSize, size)))
		for len(script) >= 4 {
			at := (int(script[0]) | int(script[1])<<8) % len(s.mem)
			s.mem[at] = script[2]
			s.TrySend(FlushMode(script[3]&1), message(int(script[3])))
			if got, err := r.TryReceive(); err == nil && len(got) > MaxMessage {
				t.Fatal("too long")
			}
			script = script[4:]
		}
		if cap(r.buffer) > 4*len(s.mem)+4096+1024*len(script) {
			t.Fatalf("%d bytes for a queue of %d", cap(r.buffer), len(s.mem))
		}
		s.Detach()
		r.Detach()
	})
}

// newFuzzParty reaches nobody: a hostile word names any slot.
func newFuzzParty(t testing.TB, slot uint32) *testParty {
	p := newTestParty(t, slot)
	p.ask = func(context.Context, uint32) (*bell, error) { return nil, ErrSupervisorDied }
	return p
}
