package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// phases are the start times of the two workers, which are records 0 and 1 of
// the ledger.
var phases = []string{"consistent_state", "recovery_finished"}

const (
	reader = iota
	writer
)

const ourFollower = `
worker "%s" {
  command      = ["%s", "%s:%d"]
  flags        = ["shmem_access"]
  start_time   = "%s"
  restart_time = 3600
}
`

// Metrics of bench server: from what happens to the server to what a worker
// notices of it.
const (
	toStandby  = "standby takes sessions, to consistent_state's first instruction"
	toPromoted = "promoted, to recovery_finished's first instruction"
	toCrashed  = "a backend is killed, to SIGTERM"
	toRestored = "takes sessions after that, to recovery_finished's first instruction"
	toFast     = "fast stop, to SIGTERM"
	toReady    = "primary takes sessions, to recovery_finished's first instruction"
	toSmart    = "smart stop without a client, to SIGTERM"
	toKilled   = "postmaster is killed, to SIGTERM"
)

var serverMetrics = []string{toReady, toStandby, toPromoted, toCrashed, toRestored, toFast, toSmart, toKilled}

// A cycle takes a server once through everything.
type cycle struct {
	*followed
	book     *ledger
	settings []string // of the server
	foreign  bool     // the workers are no children of the server
	brief    bool     // without a smart stop, which takes long to be noticed over a network
	add      func(metric string, ns int64)
}

// run begins and ends with a server that is down.
func (y *cycle) run(ctx context.Context) error {
	for _, step := range []func(context.Context) error{y.standby, y.crashes, y.fast, y.primary, y.smart, y.killed} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// downFor is how long the server is down before it starts.
const downFor = 500 * time.Millisecond

// begin starts the server and returns a session and when that was to be had.
func (y *cycle) begin(ctx context.Context) (*pgconn.PgConn, int64, error) {
	if err := pause(ctx, downFor); err != nil {
		return nil, 0, err
	}
	if err := y.start(ctx, y.settings); err != nil {
		return nil, 0, err
	}
	return y.accepts(ctx)
}

// started waits for the next start of a worker that comes of what was at since.
func (y *cycle) started(ctx context.Context, metric string, since int64, before mark) error {
	if err := y.book.await(ctx, before); err != nil {
		return fmt.Errorf("%s: %w", metric, err)
	}
	y.add(metric, y.book.at(before.first).first-since)
	return nil
}

// ended waits for the SIGTERM that comes of what was at since.
func (y *cycle) ended(ctx context.Context, metric string, since int64) error {
	err := until(ctx, patience, metric, func() bool { return y.book.at(writer).left > since })
	if err == nil {
		y.add(metric, y.book.at(writer).left-since)
	}
	return err
}

// standby has the server come up as one, and promotes it.
func (y *cycle) standby(ctx context.Context) error {
	if err := y.write("standby.signal", ""); err != nil {
		return err
	}
	reads, writes := y.book.mark(reader, 1), y.book.mark(writer, 1)
	conn, at, err := y.begin(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if err := y.started(ctx, toStandby, at, reads); err != nil {
		return err
	}
	if at, err = y.promote(ctx, conn); err != nil {
		return err
	}
	return y.started(ctx, toPromoted, at, writes)
}

// crashes kills a backend.
func (y *cycle) crashes(ctx context.Context) error {
	conn, _, err := y.accepts(ctx)
	if err != nil {
		return err
	}
	if err := pause(ctx, cool); err != nil {
		return err
	}
	writes := y.book.mark(writer, 1)
	at, err := y.crash(conn)
	if err != nil {
		return err
	}
	conn.Close(ctx)
	restored, at2, err := y.acceptsAgain(ctx)
	if err != nil {
		return err
	}
	defer restored.Close(ctx)
	if y.foreign {
		if err := y.ended(ctx, toCrashed, at); err != nil {
			return err
		}
	}
	return y.started(ctx, toRestored, at2, writes)
}

// acceptsAgain is accepts after a crash, which the server may not have noticed
// yet: a session that it then ends does not count.
func (y *cycle) acceptsAgain(ctx context.Context) (*pgconn.PgConn, int64, error) {
	for {
		conn, at, err := y.accepts(ctx)
		if err != nil {
			return nil, 0, err
		}
		brief, done := context.WithTimeout(ctx, 20*time.Millisecond)
		err = conn.WaitForNotification(brief)
		done()
		if errors.Is(err, context.DeadlineExceeded) {
			return conn, at, nil
		}
		conn.Close(ctx)
	}
}

// fast stops the server with SIGINT.
func (y *cycle) fast(ctx context.Context) error { return y.stops(ctx, syscall.SIGINT, toFast) }

// smart stops it with SIGTERM.
func (y *cycle) smart(ctx context.Context) error {
	if y.brief {
		return y.fast(ctx)
	}
	return y.stops(ctx, syscall.SIGTERM, toSmart)
}

// killed starts it once more and kills the postmaster.
func (y *cycle) killed(ctx context.Context) error {
	if err := y.primaryOf(ctx, func(string, int64) {}); err != nil {
		return err
	}
	if y.foreign {
		return y.stops(ctx, syscall.SIGKILL, toKilled)
	}
	if _, err := y.signal(syscall.SIGINT); err != nil {
		return err
	}
	return y.gone(ctx)
}

func (y *cycle) stops(ctx context.Context, sig syscall.Signal, metric string) error {
	if err := pause(ctx, 10*cool); err != nil { // sessions of ours are gone by then
		return err
	}
	at, err := y.signal(sig)
	if err != nil {
		return err
	}
	if err := y.ended(ctx, metric, at); err != nil {
		return err
	}
	return y.gone(ctx)
}

// primary has the server come up as one.
func (y *cycle) primary(ctx context.Context) error { return y.primaryOf(ctx, y.add) }

func (y *cycle) primaryOf(ctx context.Context, add func(string, int64)) error {
	counted := *y
	counted.add = add
	writes := y.book.mark(writer, 1)
	conn, at, err := counted.begin(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return counted.started(ctx, toReady, at, writes)
}
