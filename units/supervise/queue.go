package supervise

import "sync"

// A queue hands values from the loop to one goroutine, in order, and never
// makes the loop wait: it grows instead. What bounds starts and signals is the
// number of registrations; what bounds publications is that the Sink is faster
// than workers can start and end.
type queue[T any] struct {
	mu     *sync.Mutex
	items  *[]T
	wake   chan struct{} // has room for one
	closed chan struct{}
}

func newQueue[T any]() queue[T] {
	return queue[T]{mu: new(sync.Mutex), items: new([]T), wake: make(chan struct{}, 1), closed: make(chan struct{})}
}

func (q queue[T]) put(v T) {
	q.mu.Lock()
	*q.items = append(*q.items, v)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// close says that nothing more will be put.
func (q queue[T]) close() { close(q.closed) }

// serve calls f for each value until stop is closed; what is left then is
// dropped.
func (q queue[T]) serve(stop <-chan struct{}, f func(T)) {
	for {
		select {
		case <-stop:
			return
		case <-q.wake:
			q.flush(f)
		}
	}
}

// drain calls f for each value until the queue is closed and empty.
func (q queue[T]) drain(f func(T)) {
	for {
		select {
		case <-q.closed:
			q.flush(f)
			return
		case <-q.wake:
			q.flush(f)
		}
	}
}

func (q queue[T]) flush(f func(T)) {
	for {
		q.mu.Lock()
		batch := *q.items
		*q.items = nil
		q.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		for _, v := range batch {
			f(v)
		}
	}
}
