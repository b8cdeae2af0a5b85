package shm

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/pg-bgw/pg-bgw/shm/control"
)

// NamedDynamic returns the dynamic segment of a name, for all workers of this
// segment the same (GetNamedDSMSegment). Whoever asks first makes it, of size
// bytes, and init fills it, while all others wait: it runs once, however many
// ask (BGW-139). If it fails, or its process ends, the next one begins anew. The
// segment is pinned; asked for again in the same process it is the same
// DynamicSegment. found is false for who has filled it.
//
// name has 1 to MaxDynamicName bytes of UTF-8 without NUL. A RefusedError with
// EINVAL if there is one of another size. init's error is wrapped; nil fills
// nothing. The wait ends with ctx.
func (w *Worker) NamedDynamic(ctx context.Context, name string, size int, init func(data []byte) error) (d *DynamicSegment, found bool, err error) {
	if n := len(name); n == 0 || n > MaxDynamicName || size <= 0 {
		return nil, false, fmt.Errorf("cannot get dynamic segment %q of %d bytes: a name of 1 to %d bytes and at least a byte of memory are needed", name, size, MaxDynamicName)
	}
	if d, found, err = w.namedDynamic(ctx, name, size, init); err != nil {
		return nil, false, fmt.Errorf("cannot get dynamic segment %q: %w", name, err)
	}
	return d, found, nil
}

// namedDynamic has one goroutine of this process at a time ask for a name.
func (w *Worker) namedDynamic(ctx context.Context, name string, size int, init func([]byte) error) (*DynamicSegment, bool, error) {
	t := &w.dynamics
	for {
		if d := t.find(func(d *DynamicSegment) bool { return d.name == name }); d != nil {
			if len(d.data) != size {
				return nil, false, fmt.Errorf("it has %d bytes, not %d: %w", len(d.data), size, syscall.EINVAL)
			}
			return d, true, nil
		}
		t.mu.Lock()
		others := t.naming[name]
		if others == nil {
			if t.naming == nil {
				t.naming = map[string]chan struct{}{}
			}
			t.naming[name] = make(chan struct{})
			t.mu.Unlock()
			break
		}
		t.mu.Unlock()
		select {
		case <-others:
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
	defer func() {
		t.mu.Lock()
		close(t.naming[name])
		delete(t.naming, name)
		t.mu.Unlock()
	}()
	return w.claimDynamic(ctx, name, size, init)
}

// claimDynamic asks until somebody has filled the segment, or this process has
// to.
func (w *Worker) claimDynamic(ctx context.Context, name string, size int, init func([]byte) error) (*DynamicSegment, bool, error) {
	for {
		d, found, err := w.askDynamic(ctx, control.Record{Type: control.DynamicNamed, Size: uint64(size), Text: name})
		switch {
		case errors.Is(err, syscall.EBUSY):
			if ctx.Err() == nil {
				continue // the supervisor waits for 20 s at a time
			}
			return nil, false, ctx.Err()
		case err != nil:
			return nil, false, err
		case !found:
			err = w.fill(ctx, d, init)
		}
		if err != nil {
			return nil, false, err
		}
		t := &w.dynamics
		t.mu.Lock()
		d.name = name // from here on others find it
		t.mu.Unlock()
		return d, found, nil
	}
}

// fill fills a new segment, and tells the supervisor how that went, also if it
// panics.
func (w *Worker) fill(ctx context.Context, d *DynamicSegment, init func([]byte) error) (err error) {
	ctx = context.WithoutCancel(ctx) // others wait for this
	filled := false
	defer func() {
		if filled {
			return
		}
		d.leave()
		if _, e := w.plain(ctx, control.Record{Type: control.DynamicReady, Segment: d.handle}); e != nil {
			err = errors.Join(err, e)
		}
	}()
	if init != nil {
		if err := init(d.data); err != nil {
			return fmt.Errorf("to fill it: %w", err)
		}
	}
	if _, err := w.plain(ctx, control.Record{Type: control.DynamicReady, Segment: d.handle, Done: true}); err != nil {
		return err
	}
	filled = true
	return nil
}
