package journal

import (
	"context"
	"sync"
	"sync/atomic"
)

// A writer takes one record at a time. again means that the record was not
// taken for now and may be tried again at once: write has waited already.
type writer interface {
	write(record []byte) (again bool, err error)
	close() error
}

// A queue keeps records in order between those who log and one goroutine that
// writes.
type queue struct {
	records chan []byte
	dropped atomic.Uint64
	lost    func(n uint64) []byte // renders the record that tells of drops

	closing     chan struct{} // closed by the first close
	abandon     chan struct{} // closed when close gave up waiting
	finished    chan struct{} // closed by run
	closeOnce   sync.Once
	abandonOnce sync.Once
}

func newQueue(w writer, lost func(uint64) []byte) *queue {
	q := &queue{
		records:  make(chan []byte, queueLength),
		lost:     lost,
		closing:  make(chan struct{}),
		abandon:  make(chan struct{}),
		finished: make(chan struct{}),
	}
	go q.run(w)
	return q
}

// put takes over record. It never blocks.
func (q *queue) put(record []byte) {
	select {
	case <-q.closing:
		q.dropped.Add(1)
		return
	default:
	}
	select {
	case q.records <- record:
	default:
		q.dropped.Add(1)
	}
}

func (q *queue) close(ctx context.Context) error {
	q.closeOnce.Do(func() { close(q.closing) })
	select {
	case <-q.finished:
		return nil
	default:
	}
	select {
	case <-q.finished:
		return nil
	case <-ctx.Done():
		q.abandonOnce.Do(func() { close(q.abandon) })
		return context.Cause(ctx)
	}
}

func (q *queue) run(w writer) {
	defer close(q.finished)
	defer w.close()
	var told uint64
	for {
		select {
		case r := <-q.records:
			q.deliver(w, r)
		case <-q.closing:
			q.drain(w)
			q.tell(w, &told)
			return
		}
		q.tell(w, &told)
	}
}

func (q *queue) drain(w writer) {
	for {
		select {
		case r := <-q.records:
			q.deliver(w, r)
		default:
			return
		}
	}
}

// deliver writes record however long that takes, unless close has given up.
func (q *queue) deliver(w writer, record []byte) {
	for {
		again, err := w.write(record)
		if err == nil && !again {
			return
		}
		if err != nil {
			q.dropped.Add(1)
			return
		}
		select {
		case <-q.abandon:
			q.dropped.Add(1)
			return
		default:
		}
	}
}

// tell writes how many records were dropped since it was last told. A count
// that cannot be written is told with the next one.
func (q *queue) tell(w writer, told *uint64) {
	n := q.dropped.Load()
	if n == *told {
		return
	}
	if again, err := w.write(q.lost(n - *told)); !again && err == nil {
		*told = n
	}
}
