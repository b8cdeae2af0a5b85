package shm_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"log"

	"github.com/pg-bgw/pg-bgw/shm"
)

// One worker waits until another one has made something, which a lock protects.
func ExampleCondition() {
	ctx := context.Background()
	wait := func(c *shm.Condition, l *shm.Lock, stock []byte) error {
		return c.Wait(ctx, func() bool {
			if _, err := l.Acquire(ctx); err != nil {
				return false
			}
			defer l.Release()
			if stock[0] == 0 {
				return false
			}
			stock[0]--
			return true
		})
	}
	put := func(c *shm.Condition, l *shm.Lock, stock []byte) error {
		if _, err := l.Acquire(ctx); err != nil {
			return err
		}
		stock[0]++
		l.Release()
		c.Signal()
		return nil
	}
	_, _ = wait, put
}

// Workers that come and go build a table together: one of them makes it, and
// then all fill it. Who comes late begins where the others are.
func ExampleBarrier() {
	const (
		elect = iota
		makeIt
		fill
	)
	build := func(ctx context.Context, b *shm.Barrier, work func(phase uint32)) error {
		phase, err := b.Attach()
		if err == nil && phase == elect {
			var one bool
			if one, err = b.ArriveAndWait(ctx); one {
				work(makeIt)
			}
			phase++
		}
		if err == nil && phase == makeIt {
			_, err = b.ArriveAndWait(ctx) // until it is made
			phase++
		}
		if err == nil && phase == fill {
			work(fill)
		}
		if err != nil {
			return err
		}
		_, err = b.ArriveAndDetach()
		return err
	}
	_ = build
}

// All workers of a segment have one table, which the first of them fills.
func ExampleWorker_NamedDynamic() {
	load := func(ctx context.Context, w *shm.Worker) ([]byte, error) {
		d, _, err := w.NamedDynamic(ctx, "primes", 4096, func(data []byte) error {
			binary.LittleEndian.PutUint32(data, 2)
			return nil
		})
		if err != nil {
			return nil, err
		}
		return d.Data(), nil
	}
	_ = load
}

// What lies in a segment, without being one of its workers.
func ExampleInspect() {
	segment, err := shm.Create("main", shm.MinSize)
	if err != nil {
		log.Fatal(err)
	}
	defer segment.Close()
	report, err := shm.Inspect(segment.Fd())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.Name, report.Size, len(report.Areas), report.Free == report.Room)
	// Output: main 2097152 0 true
}
