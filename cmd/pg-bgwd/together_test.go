package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/pg-bgw/pg-bgw/shm"
)

func init() { bareRoles["together"] = func() int { return sharing(meet) } }

const (
	partners = 5
	meetings = 40
	portions = 30
)

// shared is what the partners have in an area: a lock, a condition variable, a
// barrier, and three counts.
type shared struct {
	lock      *shm.Lock
	condition *shm.Condition
	barrier   *shm.Barrier
	counts    []byte // meetings that somebody was elected at, stock, taken
}

func openShared(w *shm.Worker, b board) (*shared, error) {
	lock, condition, barrier := shm.LockSize(4), shm.ConditionSize(2), shm.BarrierSize(partners)
	data, found, err := w.Area("together", lock+condition+barrier+8)
	if err != nil {
		return nil, err
	}
	at := func(from, size int) []byte { return data[from : from+size : from+size] }
	s := &shared{counts: at(lock+condition+barrier, 8)}
	var errs [3]error
	if found {
		b.read("made")
		s.lock, errs[0] = w.OpenLock(at(0, lock))
		s.condition, errs[1] = w.OpenCondition(at(lock, condition))
		s.barrier, errs[2] = w.OpenBarrier(at(lock+condition, barrier))
		return s, errors.Join(errs[:]...)
	}
	s.lock, errs[0] = w.CreateLock(at(0, lock))
	s.condition, errs[1] = w.CreateCondition(at(lock, condition))
	s.barrier, errs[2] = w.CreateBarrier(at(lock+condition, barrier), partners)
	b.write("made", "")
	return s, errors.Join(errs[:]...)
}

// locked does f while it holds the lock.
func (s *shared) locked(ctx context.Context, f func()) error {
	if _, err := s.lock.Acquire(ctx); err != nil {
		return err
	}
	f()
	s.lock.Release()
	return nil
}

// meet is a partner: they all meet many times, and then "w0" puts portions down,
// a signal each, that the others take.
func meet(ctx context.Context, w *shm.Worker, b board) (string, error) {
	s, err := openShared(w, b)
	if err != nil {
		return "", err
	}
	for n := range meetings {
		one, err := s.barrier.ArriveAndWait(ctx)
		if err != nil || s.barrier.Phase() < uint32(n+1) {
			return "", fmt.Errorf("BGW-158: meeting %d, phase %d: %w", n, s.barrier.Phase(), err)
		}
		if one {
			err = s.locked(ctx, func() { s.counts[0]++ })
		}
		if err != nil {
			return "", err
		}
	}
	for range portions * (partners - 1) * btoi(w.Self().Name == "w0") {
		if err := s.locked(ctx, func() { s.counts[1]++ }); err != nil {
			return "", err
		}
		s.condition.Signal()
	}
	for range portions * btoi(w.Self().Name != "w0") {
		err := s.condition.Wait(ctx, func() (took bool) {
			_ = s.locked(ctx, func() {
				if took = s.counts[1] > 0; took {
					s.counts[1]--
					s.counts[2]++
				}
			})
			return took
		})
		if err != nil {
			return "", fmt.Errorf("BGW-157: %w", err)
		}
	}
	if _, err := s.barrier.ArriveAndWait(ctx); err != nil {
		return "", err
	}
	return fmt.Sprint(s.counts[:3]), nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// TestTogether holds BGW-157 and BGW-158 between processes under a supervisor,
// which passes the latches that they wake each other by.
func TestTogether(t *testing.T) {
	b := newBoard(t)
	var files strings.Builder
	for i := range partners {
		files.WriteString(sharer(fmt.Sprintf("w%d", i), "together", b))
	}
	s := start(t, startBus(t), map[string]string{"workers.d/10.hcl": files.String()})
	want := fmt.Sprint([]byte{meetings, 0, portions * (partners - 1)})
	for i := range partners {
		if got := s.content(b.path(fmt.Sprintf("w%d.1", i))); got != want {
			t.Errorf("w%d: %s, want %s", i, got, want)
		}
	}
}
