package shm

import (
	"context"
	"fmt"
	"sync"
	"testing"
)

func BenchmarkCreate64MiB(b *testing.B) {
	for b.Loop() {
		s, err := Create("main", DefaultSize)
		if err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}

// BenchmarkAttach is the mapping and all checks; the round trip to the
// supervisor is BenchmarkRequest.
func BenchmarkAttach(b *testing.B) {
	s := create(b, "main", DefaultSize)
	b.ReportAllocs()
	for b.Loop() {
		a, err := attach(s.Fd())
		if err != nil {
			b.Fatal(err)
		}
		a.mem.unmap()
	}
}

func BenchmarkRequest(b *testing.B) {
	w := newSupervisor(b).open()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := w.Pid(context.Background(), Handle{Slot: 1, Generation: 1}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkArea(b *testing.B) {
	for _, n := range []int{1, 20, MaxAreas} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			a := attached(b, create(b, "main", MinSize))
			for i := range n {
				if _, _, err := a.areas.find(fmt.Sprint("area ", i), 100); err != nil {
					b.Fatal(err)
				}
			}
			last := fmt.Sprint("area ", n-1)
			b.ReportAllocs()
			for b.Loop() {
				if _, found, err := a.areas.find(last, 100); err != nil || !found {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkLatchSetWaitReset(b *testing.B) {
	l, _ := testLatch(b)
	b.ReportAllocs()
	for b.Loop() {
		l.Set()
		l.Wait(context.Background(), -1)
		l.Reset()
	}
}

// BenchmarkLatchPingPong is a round trip between two that sleep: two wake-ups.
func BenchmarkLatchPingPong(b *testing.B) {
	ping, _ := testLatch(b)
	pong, _ := testLatch(b)
	ctx, cancel := context.WithCancel(context.Background())
	var other sync.WaitGroup
	other.Go(func() {
		for {
			if _, err := ping.Wait(ctx, -1); err != nil {
				return
			}
			ping.Reset()
			pong.Set()
		}
	})
	b.ReportAllocs()
	for b.Loop() {
		ping.Set()
		pong.Wait(context.Background(), -1)
		pong.Reset()
	}
	cancel()
	other.Wait()
}

func BenchmarkSlotSet(b *testing.B) {
	table, _ := tables(b)
	e := testEntry()
	b.ReportAllocs()
	for b.Loop() {
		table.Set(3, e)
	}
}

func BenchmarkSlotEntry(b *testing.B) {
	table, slots := tables(b)
	table.Set(3, testEntry())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := slots.Entry(3); err != nil {
			b.Fatal(err)
		}
	}
}
