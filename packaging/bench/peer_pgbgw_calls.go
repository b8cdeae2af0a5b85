package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pg-bgw/pg-bgw/dbusapi"
)

// outstanding is how many calls are made at once. The supervisor serves 64 of a
// connection, and lookAgain makes one beside them.
const outstanding = 63

// pipelined makes n calls, never more than outstanding at a time.
func pipelined(ctx context.Context, n int, call func(ctx context.Context, k int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var callers sync.WaitGroup
	for range min(n, outstanding) {
		callers.Go(func() {
			for k := int(next.Add(1)) - 1; k < n && ctx.Err() == nil; k = int(next.Add(1)) - 1 {
				if err := call(ctx, k); err != nil {
					cancel(err)
				}
			}
		})
	}
	callers.Wait()
	return context.Cause(ctx)
}

func (p *pgbgw) start(ctx context.Context, first, n int) (int64, error) {
	if p.inside != nil {
		o := order{Op: orderStart, First: first, N: n, Program: p.lab.path(p.program), Ledger: p.book.path}
		if p.major != 0 {
			o.Program, o.Library = "", p.library()
		}
		r, err := p.inside.ask(ctx, o)
		return r.Asked, err
	}
	if p.registrar != nil {
		err := p.registrar.ask(ctx, "start", first, n, p.library())
		return p.book.at(first).asked, err
	}
	p.drain()
	if p.way == byList {
		t := monotonic()
		return t, p.registerList(ctx, first, n)
	}
	handles := make([]dbusapi.Handle, n)
	t := monotonic()
	err := pipelined(ctx, n, func(ctx context.Context, k int) (err error) {
		handles[k], err = p.register(ctx, first+k)
		return err
	})
	for k, h := range handles {
		p.handles[first+k] = h
	}
	return t, err
}

// drain forgets what was told so far.
func (p *pgbgw) drain() {
	for {
		select {
		case <-p.events:
		default:
			return
		}
	}
}

// stop terminates workers and is told of each that it is gone, so that its
// slot is free.
func (p *pgbgw) stop(ctx context.Context, first, n int) error {
	if p.inside != nil {
		_, err := p.inside.ask(ctx, order{Op: orderStop, First: first, N: n})
		return err
	}
	if p.registrar != nil {
		return p.registrar.ask(ctx, "stop", first, n, p.library())
	}
	p.drain()
	gone := map[dbusapi.Handle]bool{}
	for i := first; i < first+n; i++ {
		gone[p.handles[i]] = true
	}
	asked := make(chan error, 1)
	go func() {
		asked <- pipelined(ctx, n, func(ctx context.Context, k int) error {
			return p.client.TerminateBackgroundWorker(ctx, p.handles[first+k])
		})
	}()
	told := p.told(ctx, gone)
	return errors.Join(<-asked, told)
}

// told waits for the owner's notice that each of these has stopped.
func (p *pgbgw) told(ctx context.Context, handles map[dbusapi.Handle]bool) error {
	for len(handles) > 0 {
		select {
		case e, ok := <-p.events:
			switch {
			case !ok:
				return errors.New("the bus is gone")
			case e.Kind == dbusapi.EventMissed: // nobody read during the restarts before
				if err := p.lookAgain(ctx, handles); err != nil {
					return err
				}
			case e.Kind == dbusapi.EventStateChanged && e.Change.Status == dbusapi.StatusStopped:
				delete(handles, e.Handle)
			}
		case <-ctx.Done():
			return fmt.Errorf("not told that %d workers stopped: %w", len(handles), context.Cause(ctx))
		}
	}
	return nil
}

// lookAgain takes out those that have stopped, as a client does that was too
// slow for its notices.
func (p *pgbgw) lookAgain(ctx context.Context, handles map[dbusapi.Handle]bool) error {
	workers, err := p.client.Workers(ctx)
	if err != nil {
		return err
	}
	there := map[dbusapi.Handle]bool{}
	for _, w := range workers {
		there[w.Handle] = w.Status != dbusapi.StatusStopped
	}
	for h := range handles {
		if !there[h] {
			delete(handles, h)
		}
	}
	return nil
}

func (p *pgbgw) terminate(ctx context.Context, i int) (time.Duration, error) {
	if p.inside != nil {
		r, err := p.inside.ask(ctx, order{Op: orderStop, First: i, N: 1})
		return time.Duration(r.Took), err
	}
	p.drain()
	asked := make(chan error, 1)
	t := monotonic()
	go func() { asked <- p.client.TerminateBackgroundWorker(ctx, p.handles[i]) }()
	if err := p.told(ctx, map[dbusapi.Handle]bool{p.handles[i]: true}); err != nil {
		return 0, err
	}
	took := time.Duration(monotonic() - t)
	return took, <-asked
}
