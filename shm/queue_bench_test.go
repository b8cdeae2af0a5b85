package shm

import (
	"context"
	"fmt"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

var messageSizes = []int{8, 64, 1 << 10, 8 << 10, 64 << 10}

// BenchmarkQueue is the throughput of a queue between two goroutines, which
// copy on both sides: published one by one, and a quarter of the ring at once.
// BenchmarkPipe and BenchmarkSeqpacket are beside it.
func BenchmarkQueue(b *testing.B) {
	for _, ring := range []int{64 << 10, 1 << 20} {
		for mode, how := range []string{"batched", "each"} {
			for _, n := range messageSizes {
				b.Run(fmt.Sprintf("ring=%dKiB/%s/%dB", ring>>10, how, n), func(b *testing.B) {
					benchmarkQueue(b, ring, n, FlushMode(mode))
				})
			}
		}
	}
}

func benchmarkQueue(b *testing.B, ring, n int, mode FlushMode) {
	s, r := mappedQueue(b, ring+384)
	transfer(b, n, func(from []byte) error {
		if from == nil {
			s.Detach()
			return nil
		}
		return s.Send(context.Background(), mode, from)
	}, func(to []byte) error {
		got, err := r.Receive(context.Background())
		copy(to, got)
		return err
	})
}

// mappedQueue is a queue in a segment that is mapped twice.
func mappedQueue(b *testing.B, size int) (*Sender, *Receiver) {
	b.Helper()
	segment := create(b, "main", 8<<20)
	mine, theirs := attached(b, segment), attached(b, segment)
	data, _, err := mine.areas.find("queue", size)
	if err != nil {
		b.Fatal(err)
	}
	same, _, err := theirs.areas.find("queue", size)
	if err != nil {
		b.Fatal(err)
	}
	x, y := testParties(b)
	q, err := x.createQueue(data)
	if err != nil {
		b.Fatal(err)
	}
	other, err := y.openQueue(same)
	if err != nil {
		b.Fatal(err)
	}
	s, err := q.AttachSender()
	if err != nil {
		b.Fatal(err)
	}
	r, err := other.AttachReceiver()
	if err != nil {
		b.Fatal(err)
	}
	return s, r
}

// transfer sends b.N messages of n bytes; send(nil) is the end.
func transfer(b *testing.B, n int, send, receive func([]byte) error) {
	b.SetBytes(int64(n))
	b.ReportAllocs()
	done := make(chan error, 1)
	b.ResetTimer()
	go func() {
		from := make([]byte, n)
		for range b.N {
			if err := send(from); err != nil {
				done <- err
				return
			}
		}
		done <- send(nil)
	}()
	to := make([]byte, n)
	for range b.N {
		if err := receive(to); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

func BenchmarkPipe(b *testing.B) {
	for _, n := range messageSizes {
		b.Run(fmt.Sprintf("%dB", n), func(b *testing.B) {
			r, w, err := os.Pipe()
			if err != nil {
				b.Fatal(err)
			}
			defer r.Close()
			if _, err := unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, 1<<20); err != nil {
				b.Fatal(err)
			}
			transfer(b, n, func(from []byte) error {
				if from == nil {
					return w.Close()
				}
				_, err := w.Write(from)
				return err
			}, func(to []byte) error {
				_, err := io.ReadFull(r, to)
				return err
			})
		})
	}
}

func BenchmarkSeqpacket(b *testing.B) {
	for _, n := range messageSizes {
		b.Run(fmt.Sprintf("%dB", n), func(b *testing.B) {
			pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				b.Fatal(err)
			}
			defer unix.Close(pair[0])
			defer unix.Close(pair[1])
			transfer(b, n, func(from []byte) error {
				if from == nil {
					return nil
				}
				_, err := unix.Write(pair[0], from)
				return err
			}, func(to []byte) error {
				_, err := unix.Read(pair[1], to)
				return err
			})
		})
	}
}

// BenchmarkQueueRoundTrip is a message of 64 bytes to and fro: asleep, and with
// a spin before the sleep.
func BenchmarkQueueRoundTrip(b *testing.B) {
	for _, spins := range []int{0, 2000} {
		b.Run(fmt.Sprintf("spins=%d", spins), func(b *testing.B) {
			s1, r1 := mappedQueue(b, 4096)
			s2, r2 := mappedQueue(b, 4096)
			for _, e := range []*end{&s1.end, &r1.end, &s2.end, &r2.end} {
				e.party.spins = spins
			}
			go func() {
				for {
					m, err := r1.Receive(context.Background())
					if err != nil || s2.Send(context.Background(), Flush, m) != nil {
						return
					}
				}
			}()
			m := message(64)
			b.ReportAllocs()
			for b.Loop() {
				if err := s1.Send(context.Background(), Flush, m); err != nil {
					b.Fatal(err)
				}
				if _, err := r2.Receive(context.Background()); err != nil {
					b.Fatal(err)
				}
			}
			s1.Detach()
		})
	}
}

// BenchmarkSendReceive is what both ends of a message cost one CPU.
func BenchmarkSendReceive(b *testing.B) {
	s, r := mappedQueue(b, 64<<10)
	m := message(64)
	b.ReportAllocs()
	for b.Loop() {
		if s.TrySend(Flush, m) != nil {
			b.Fatal("cannot send")
		}
		if _, err := r.TryReceive(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBatch is what both ends of a message cost one CPU that has the ring
// in its cache, where many are shown at once.
func BenchmarkBatch(b *testing.B) {
	for _, n := range messageSizes[:3] {
		b.Run(fmt.Sprintf("%dB", n), func(b *testing.B) {
			s, r := mappedQueue(b, 64<<10)
			m, to := message(n), make([]byte, n)
			batch := (16 << 10) / (lengthWord + n)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for done := 0; done < b.N; done += batch {
				for range batch {
					if s.TrySend(NoFlush, m) != nil {
						b.Fatal("cannot send")
					}
				}
				if s.Flush() != nil {
					b.Fatal("cannot flush")
				}
				for range batch {
					got, err := r.TryReceive()
					if err != nil {
						b.Fatal(err)
					}
					copy(to, got)
				}
			}
		})
	}
}
