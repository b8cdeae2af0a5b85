package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// errNotOffered is a peer's answer to a question that it has no means for.
var errNotOffered = errors.New("not offered")

// A peer is one supervisor under measurement. Workers are numbers: worker i
// writes record i of the ledger, under whatever name the peer gives it. All
// methods are called from the main goroutine, one peer at a time.
type peer interface {
	// name is the peer's column in the tables.
	name() string
	// ledger is where its workers write; no other peer's do.
	ledger() *ledger
	// missing is "" if the peer can be measured on this machine, else why not.
	missing() string
	// traits are what the runner must respect; they do not change.
	traits() traits
	// open brings the supervisor up without any worker.
	open(ctx context.Context) error
	// prepare makes ready for n workers of the named program of the lab, or of
	// the only kind that the peer has, none of them running: whatever an administrator does before the start that is
	// measured. n = 0 gives everything back. No worker runs when it is called.
	prepare(ctx context.Context, n int, program string) error
	// start asks for workers first..first+n-1, as fast as the peer takes it,
	// and returns the time just before the first request. It need not wait for
	// the workers; the ledger says when they are there.
	start(ctx context.Context, first, n int) (int64, error)
	// stop ends them for good and returns when they are gone.
	stop(ctx context.Context, first, n int) error
	// terminate ends worker i and is the time from the request until the one
	// who asked is told that it is gone; errNotOffered if nobody is told.
	terminate(ctx context.Context, i int) (time.Duration, error)
	// processes are the supervisor's own, whose memory and wake-ups count.
	processes() []int
	// close ends the supervisor and all of its workers. It is called once,
	// also after a failed open.
	close() error
}

// traits are the properties of a peer that a fair measurement must know.
type traits struct {
	// note is said below the tables.
	note string
	// minLife is how old a worker must be for the peer to start it again at
	// once: younger ones wait, by the peer's rule against loops.
	minLife time.Duration
	// perWorker is the number of processes for each worker, itself included.
	perWorker int
	// killResets: kill -9 of one worker restarts all of them.
	killResets bool
	// only are the scenarios in which the peer is measured; nil: all.
	only []string
}

// A seat is what every peer holds: the lab, and a ledger of its own.
type seat struct {
	lab  *lab
	book *ledger
}

func (s seat) ledger() *ledger { return s.book }

// A hider has workers in a pid namespace of their own.
type hider interface {
	// hostPIDs translates what its workers call themselves.
	hostPIDs(pids []int) ([]int, error)
}

// A resetter loses its connection when a worker is killed.
type resetter interface {
	// reset is called after such a kill, when the workers are back.
	reset(ctx context.Context) error
}

// pidsOf are the processes of workers first..first+n-1, as this process and
// kill(2) know them.
func pidsOf(p peer, first, n int) ([]int, error) {
	pids := make([]int, n)
	for i := range pids {
		s := p.ledger().at(first + i)
		if s.pid <= 1 {
			return nil, fmt.Errorf("worker %d of %s has no process", first+i, p.name())
		}
		pids[i] = s.pid
	}
	if h, ok := p.(hider); ok {
		return h.hostPIDs(pids)
	}
	return pids, nil
}

// awaitStopped runs ask and returns when the present processes of the workers
// are gone.
func awaitStopped(ctx context.Context, p peer, first, n int, ask func() error) error {
	pids, err := pidsOf(p, first, n)
	if err != nil {
		return err
	}
	fds, err := openPidfds(pids)
	if err != nil {
		return err
	}
	if err := ask(); err != nil {
		closeAll(fds)
		return err
	}
	return awaitGone(ctx, fds)
}
