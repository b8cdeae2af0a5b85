package journal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// A gate is a writer that the test opens record by record.
type gate struct {
	pass    chan error // each write waits for one
	written chan string
}

func (g *gate) write(r []byte) (bool, error) {
	err, open := <-g.pass
	if !open {
		return true, nil // stuck for good
	}
	if err == nil {
		g.written <- string(r)
	}
	return false, err
}

func (g *gate) close() error { return nil }

func newGate() (*gate, *queue) {
	g := &gate{pass: make(chan error, 2*queueLength), written: make(chan string, 2*queueLength)}
	return g, newQueue(g, func(n uint64) []byte { return fmt.Appendf(nil, "lost %d", n) })
}

func TestQueueKeepsOrderAndTellsOfDrops(t *testing.T) {
	g, q := newGate()
	const over = 100
	for i := range queueLength + over {
		q.put(fmt.Appendf(nil, "%d", i))
	}
	dropped := q.dropped.Load()
	// One record more than the queue holds may be in the writer's hands.
	if dropped != over && dropped != over-1 {
		t.Fatalf("%d records were dropped, want %d or one less", dropped, over)
	}
	for range queueLength + over + 1 {
		g.pass <- nil
	}
	if err := q.close(context.Background()); err != nil {
		t.Fatal(err)
	}
	next, told := 0, uint64(0)
	for len(g.written) > 0 {
		r := <-g.written
		var n uint64
		if _, err := fmt.Sscanf(r, "lost %d", &n); err == nil {
			told += n
			continue
		}
		if r != fmt.Sprint(next) {
			t.Fatalf("record %q follows %d", r, next-1)
		}
		next++
	}
	if uint64(next)+told != queueLength+over || told != dropped {
		t.Errorf("%d were written and %d told as lost, of %d", next, told, queueLength+over)
	}
}

func TestQueueCountsFailedWrites(t *testing.T) {
	g, q := newGate()
	g.pass <- errors.New("no journal")
	g.pass <- nil // tells of it
	q.put([]byte("a"))
	if got := <-g.written; got != "lost 1" {
		t.Errorf("got %q", got)
	}
	if err := q.close(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestQueueCloseGivesUp(t *testing.T) {
	g, q := newGate()
	q.put([]byte("a"))
	close(g.pass)
	ctx, cancel := context.WithCancelCause(context.Background())
	cause := errors.New("enough")
	cancel(cause)
	if err := q.close(ctx); !errors.Is(err, cause) {
		t.Fatalf("got %v", err)
	}
	<-q.finished
	if err := q.close(context.Background()); err != nil {
		t.Errorf("closing again: %v", err)
	}
	q.put([]byte("late"))
	if q.dropped.Load() != 2 {
		t.Errorf("%d dropped, want 2", q.dropped.Load())
	}
}

func TestQueueManyWritersAndClosers(t *testing.T) {
	g, q := newGate()
	for range 1000 {
		g.pass <- nil
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 50 {
				q.put([]byte(strings.Repeat("x", i)))
			}
			q.close(context.Background())
		})
	}
	wg.Wait()
	if n := uint64(len(g.written)); n+q.dropped.Load() < 400 {
		t.Errorf("%d written and %d dropped of 400", n, q.dropped.Load())
	}
}

// A journal that takes nothing must not hold up whoever logs.
func TestStalledJournalDoesNotBlock(t *testing.T) {
	j := newFakeJournal(t)
	l := j.open(t)
	for range 3 * queueLength {
		l.queue.put(make([]byte, 4096))
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := l.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if l.Dropped() == 0 {
		t.Error("nothing was dropped")
	}
}

func TestNoJournalSocketDropsAndCounts(t *testing.T) {
	j := newFakeJournal(t)
	j.path += "-absent"
	l := j.open(t)
	l.queue.put([]byte("MESSAGE=x\n"))
	if err := l.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if l.Dropped() != 1 {
		t.Errorf("%d dropped, want 1", l.Dropped())
	}
}
