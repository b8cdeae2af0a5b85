package main

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/pg-bgw/pg-bgw/shm"
	"github.com/pg-bgw/pg-bgw/shm/control"
)

func init() {
	for _, how := range []string{"killed", "exits", "leaves"} {
		bareRoles["holder-"+how] = func() int {
			return sharing(func(ctx context.Context, w *shm.Worker, b board) (string, error) { return holdLock(ctx, w, b, how) })
		}
	}
}

// holdLock is two workers with one lock. In its first life "holder" ends while it
// holds it and "next" waits for it.
func holdLock(ctx context.Context, w *shm.Worker, b board, how string) (string, error) {
	data, found, err := w.Area("lock", shm.LockSize(4))
	if err != nil {
		return "", err
	}
	ready := fmt.Sprintf("made.%d", w.Self().Start)
	var l *shm.Lock
	if !found {
		l, err = w.CreateLock(data)
		b.write(ready, "")
	} else {
		b.read(ready)
		l, err = w.OpenLock(data)
	}
	if err != nil {
		return "", err
	}
	if w.Self().Name == "holder" && w.Self().Start == 1 {
		if _, err := l.Acquire(ctx); err != nil {
			return "", err
		}
		b.write("held", "")
		b.read("waits")
		end(how)
	}
	if w.Self().Start == 1 {
		b.read("held")
		b.write("waits", "")
	}
	died, err := l.Acquire(ctx)
	if err != nil {
		return "", err
	}
	l.Release()
	return fmt.Sprintf("died %v", died), nil
}

// end ends the process in one of the ways that leave a lock held.
func end(how string) {
	switch how {
	case "killed":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "leaves": // a library that says Detach, and forgets its locks
		b, err := (&control.Record{Type: control.Detach, ID: 1 << 40}).Append(nil)
		if err == nil {
			err = control.Send(controlDescriptor(), b, -1)
		}
		if err != nil {
			fmt.Println(err)
		}
	}
	os.Exit(0)
}

func controlDescriptor() int {
	var segment, slots, fd int
	if _, err := fmt.Sscanf(os.Getenv("PGBGW_FDS"), "segment:%d,slots:%d,control:%d", &segment, &slots, &fd); err != nil {
		fmt.Println(os.Getenv("PGBGW_FDS"), err)
	}
	return fd
}

// TestLockOfADeadWorker holds BGW-160: nobody waits for ever for a lock whose
// holder died. One that was attached, however it ended, has crashed the segment,
// and all begin anew; one that had detached is noticed by who waits.
func TestLockOfADeadWorker(t *testing.T) {
	for how, want := range map[string]struct {
		sheet, text string
	}{
		"killed": {"next.2", "died false"},
		"exits":  {"next.2", "died false"},
		"leaves": {"next.1", "died true"},
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			b := newBoard(t)
			s := start(t, startBus(t), map[string]string{
				"workers.d/10.hcl": sharer("holder", "holder-"+how, b) + sharer("next", "holder-"+how, b),
			})
			if got := s.content(b.path(want.sheet)); got != want.text {
				t.Errorf("BGW-160: %s", got)
			}
		})
	}
}
