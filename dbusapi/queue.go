package dbusapi

import (
	"context"
	"sync"
)

// queue runs functions one after the other in a goroutine of its own, so that who adds one never waits.
type queue struct {
	limit int
	wake  chan struct{} // holds one token while there may be something to do

	mu    sync.Mutex
	items []func()
}

func newQueue(limit int) *queue { return &queue{limit: limit, wake: make(chan struct{}, 1)} }

// add appends f, or reports false when limit functions wait.
func (q *queue) add(f func()) bool {
	q.mu.Lock()
	full := len(q.items) >= q.limit
	if !full {
		q.items = append(q.items, f)
	}
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return !full
}

// run runs what is added until ctx ends, what has come together by one call of with.
func (q *queue) run(ctx context.Context, with func(batch func())) {
	for {
		q.mu.Lock()
		batch := q.items
		q.items = nil
		q.mu.Unlock()
		if len(batch) > 0 && ctx.Err() == nil {
			with(func() { runAll(ctx, batch) })
			continue
		}
		select {
		case <-q.wake:
		case <-ctx.Done():
			return
		}
	}
}

func runAll(ctx context.Context, batch []func()) {
	for i, f := range batch {
		if ctx.Err() != nil {
			return
		}
		batch[i] = nil
		f()
	}
}
