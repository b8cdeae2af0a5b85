package supervise

import "sync"

// A queue hands values from the loop to one goroutine, in order, and never
// makes the loop wait: it grows instead. The number of registrations bounds it.
type queue[T any] struct {
	mu    sync.Mutex
	items []T
	spare []T           // empty, to be items next
	wake  chan struct{} // has room for one
}

func newQueue[T any]() *queue[T] { return &queue[T]{wake: make(chan struct{}, 1)} }

func (q *queue[T]) put(v T) {
	q.mu.Lock()
	q.items = append(q.items, v)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// serve calls f for each value until stop is closed; what is left then is
// dropped.
func (q *queue[T]) serve(stop <-chan struct{}, f func(T)) {
	for {
		select {
		case <-stop:
			return
		case <-q.wake:
			q.flush(f)
		}
	}
}

func (q *queue[T]) flush(f func(T)) {
	for {
		q.mu.Lock()
		batch := q.items
		q.items = q.spare
		q.mu.Unlock()
		for _, v := range batch {
			f(v)
		}
		clear(batch)
		q.mu.Lock()
		q.spare = batch[:0]
		q.mu.Unlock()
		if len(batch) == 0 {
			return
		}
	}
}
