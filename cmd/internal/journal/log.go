package journal

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"
)

// queueLength is how many records may wait. With records of a few hundred
// bytes that is about a megabyte, and several seconds of a crash of everything.
const queueLength = 4096

// nativeSocket is where journald listens for its native protocol.
const nativeSocket = "/run/systemd/journal/socket"

// Options say where a log goes.
type Options struct {
	// Stderr takes the text, and decides whether there is a journal.
	// It is duplicated; the caller keeps it.
	Stderr *os.File
	// Stream is the value of JOURNAL_STREAM, "" for none. The log is native
	// when it names Stderr, as sd_journal_stream_fd's users do it.
	Stream string
	// Identifier is SYSLOG_IDENTIFIER.
	Identifier string
	// Level is the lowest level that is logged.
	Level slog.Leveler
}

// A Log is an open way to the journal or to standard error.
type Log struct {
	queue   *queue
	handler slog.Handler
	native  bool
}

// Open opens the log. It fails only when the kernel refuses a socket or a
// descriptor. Close ends it.
func Open(o Options) (*Log, error) { return open(o, nativeSocket) }

func open(o Options, socket string) (*Log, error) {
	if o.Level == nil {
		o.Level = slog.LevelInfo
	}
	if id, err := StreamID(o.Stderr); err == nil && o.Stream != "" && id == o.Stream {
		return openNative(o, socket)
	}
	return openText(o)
}

func openNative(o Options, socket string) (*Log, error) {
	conn, err := dialNative(socket)
	if err != nil {
		return nil, fmt.Errorf("cannot log to the journal: %w", err)
	}
	q := newQueue(conn, func(n uint64) []byte {
		e := newEntry(nil)
		e.add("MESSAGE", lostMessage(n))
		e.add("PRIORITY", "4")
		e.add("SYSLOG_IDENTIFIER", o.Identifier)
		e.add("PGBGW_LOST", strconv.FormatUint(n, 10))
		return e.bytes()
	})
	return &Log{queue: q, native: true, handler: &nativeHandler{queue: q, level: o.Level, identifier: o.Identifier}}, nil
}

func openText(o Options) (*Log, error) {
	out, err := duplicate(o.Stderr)
	if err != nil {
		return nil, fmt.Errorf("cannot log to standard error: %w", err)
	}
	q := newQueue(textWriter{out}, func(n uint64) []byte {
		return fmt.Appendf(nil, "level=%s msg=%q lost=%d\n", levelName(slog.LevelWarn), lostMessage(n), n)
	})
	return &Log{queue: q, handler: newTextHandler(q, o.Level)}, nil
}

func lostMessage(n uint64) string {
	return fmt.Sprintf("%d log records were dropped because the log could not be written fast enough", n)
}

// Handler is what slog.New takes. It is valid until Close.
func (l *Log) Handler() slog.Handler { return l.handler }

// Native says that records go to journald, and so that OpenStream has somebody
// to connect to.
func (l *Log) Native() bool { return l.native }

// Dropped counts the records that did not fit or could not be written.
func (l *Log) Dropped() uint64 { return l.queue.dropped.Load() }

// Close writes what is queued and releases everything. When ctx ends first the
// rest is dropped and the error is ctx's. Records logged later are dropped.
func (l *Log) Close(ctx context.Context) error { return l.queue.close(ctx) }
