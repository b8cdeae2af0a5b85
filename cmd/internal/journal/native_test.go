package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// parse reads a record in journald's native protocol, independently of entry.
func parse(t *testing.T, data []byte) map[string][]string {
	t.Helper()
	fields := map[string][]string{}
	for len(data) > 0 {
		line, rest, ok := bytes.Cut(data, []byte("\n"))
		if !ok {
			t.Fatalf("a field without a line feed: %q", data)
		}
		if key, value, ok := bytes.Cut(line, []byte("=")); ok {
			fields[string(key)] = append(fields[string(key)], string(value))
			data = rest
			continue
		}
		n := binary.LittleEndian.Uint64(rest)
		if uint64(len(rest)) < 8+n+1 || rest[8+n] != '\n' {
			t.Fatalf("field %s has a wrong length %d", line, n)
		}
		fields[string(line)] = append(fields[string(line)], string(rest[8:8+n]))
		data = rest[8+n+1:]
	}
	return fields
}

// A fakeJournal is a datagram socket, and a stderr that claims to be a stream of it.
type fakeJournal struct {
	conn   *net.UnixConn
	path   string
	stderr *os.File
	stream string
}

func newFakeJournal(t *testing.T) *fakeJournal {
	t.Helper()
	path := filepath.Join(t.TempDir(), "socket")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := os.CreateTemp(t.TempDir(), "stderr")
	if err != nil {
		t.Fatal(err)
	}
	id, err := StreamID(stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); stderr.Close() })
	return &fakeJournal{conn: conn, path: path, stderr: stderr, stream: id}
}

func (j *fakeJournal) open(t *testing.T) *Log {
	t.Helper()
	l, err := open(Options{Stderr: j.stderr, Stream: j.stream, Identifier: "pg-bgwd", Level: slog.LevelDebug}, j.path)
	if err != nil {
		t.Fatal(err)
	}
	if !l.Native() {
		t.Fatal("stderr is the journal's stream and the log is not native")
	}
	return l
}

func (j *fakeJournal) next(t *testing.T) map[string][]string {
	t.Helper()
	buf := make([]byte, 1<<20)
	n, err := j.conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, buf[:n])
}

func TestNativeRecord(t *testing.T) {
	j := newFakeJournal(t)
	l := j.open(t)
	defer l.Close(context.Background())
	log := slog.New(l.Handler()).With(Worker("cron"), Slot(3), Generation(1<<32+7))
	log.LogAttrs(context.Background(), LevelNotice, "worker started",
		Event(WorkerStarted), PID(4711), StartNumber(2), State("running"), Type("cron"))
	got := j.next(t)
	for key := range got {
		if strings.HasPrefix(key, "CODE_") {
			delete(got, key)
		}
	}
	want := map[string][]string{
		"MESSAGE": {"worker started"}, "PRIORITY": {"5"}, "SYSLOG_IDENTIFIER": {"pg-bgwd"},
		"MESSAGE_ID": {string(WorkerStarted)}, "OBJECT_PID": {"4711"}, "PGBGW_WORKER": {"cron"}, "PGBGW_SLOT": {"3"},
		"PGBGW_GENERATION": {"4294967303"}, "PGBGW_START_NUMBER": {"2"}, "PGBGW_STATE": {"running"}, "PGBGW_TYPE": {"cron"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestNativeSource(t *testing.T) {
	j := newFakeJournal(t)
	l := j.open(t)
	defer l.Close(context.Background())
	slog.New(l.Handler()).Info("here")
	got := j.next(t)
	if len(got["CODE_FILE"]) != 1 || !strings.HasSuffix(got["CODE_FILE"][0], "native_test.go") {
		t.Errorf("CODE_FILE is %q", got["CODE_FILE"])
	}
	if len(got["CODE_FUNC"]) != 1 || !strings.HasSuffix(got["CODE_FUNC"][0], "TestNativeSource") {
		t.Errorf("CODE_FUNC is %q", got["CODE_FUNC"])
	}
}

// What a worker's name or an error says must not become a field of its own.
func TestNativeHostileValues(t *testing.T) {
	j := newFakeJournal(t)
	l := j.open(t)
	defer l.Close(context.Background())
	err := fmt.Errorf("open: %w", syscall.ENOENT)
	slog.New(l.Handler()).WithGroup("G").Error("two\nPRIORITY=0\n",
		slog.String("a=b\nMESSAGE", "x\n_UID=0"), slog.String("", "no key"),
		slog.Group("in", slog.Int("n", 1)), slog.String(strings.Repeat("k", 100), "long key"))
	slog.New(l.Handler()).Error("failed", Error(err), slog.Any("nothing", nil))
	got := j.next(t)
	if diff := cmp.Diff([]string{"two\nPRIORITY=0\n"}, got["MESSAGE"]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"3"}, got["PRIORITY"]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"x\n_UID=0"}, got["PGBGW_G_A_B_MESSAGE"]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"1"}, got["PGBGW_G_IN_N"]); diff != "" {
		t.Error(diff)
	}
	for key := range got {
		if len(key) > maxName || strings.Trim(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" || key[0] == '_' {
			t.Errorf("journald refuses the field name %q", key)
		}
	}
	got = j.next(t)
	if diff := cmp.Diff([]string{"2"}, got["ERRNO"]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{err.Error()}, got["PGBGW_ERROR"]); diff != "" {
		t.Error(diff)
	}
}

func TestNativeHugeRecordIsCutAndArrives(t *testing.T) {
	j := newFakeJournal(t)
	if err := j.conn.SetReadBuffer(4 << 20); err != nil {
		t.Fatal(err)
	}
	l := j.open(t)
	defer l.Close(context.Background())
	attrs := make([]any, 0, 200)
	value := strings.Repeat("y\n", 1<<16)
	for i := range 200 {
		attrs = append(attrs, slog.String(fmt.Sprint("k", i), value))
	}
	slog.New(l.Handler()).Info("huge", attrs...)
	got := j.next(t)
	if len(got["PGBGW_K0"]) != 1 || len(got["PGBGW_K0"][0]) != maxField {
		t.Errorf("the first field was not cut to %d bytes", maxField)
	}
	if diff := cmp.Diff([]string{"huge"}, got["MESSAGE"]); diff != "" {
		t.Error(diff)
	}
}

func TestWithAttrsDoesNotShareItsBuffer(t *testing.T) {
	j := newFakeJournal(t)
	l := j.open(t)
	defer l.Close(context.Background())
	base := slog.New(l.Handler()).With("base", 1)
	one, two := base.With("branch", "one"), base.With("branch", "two")
	one.Info("")
	two.Info("")
	for _, want := range []string{"one", "two"} {
		if diff := cmp.Diff([]string{want}, j.next(t)["PGBGW_BRANCH"]); diff != "" {
			t.Error(diff)
		}
	}
}

func TestTextWhenStderrIsNotTheJournal(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	l, err := Open(Options{Stderr: w, Stream: "1:2", Identifier: "pg-bgwd"})
	if err != nil {
		t.Fatal(err)
	}
	if l.Native() {
		t.Error("JOURNAL_STREAM names something else and the log is native")
	}
	slog.New(l.Handler()).Log(context.Background(), LevelNotice, "up", Event(DaemonStarted), Worker("a"))
	if err := l.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	w.Close()
	buf := make([]byte, 4096)
	n, _ := r.Read(buf)
	if line := string(buf[:n]); !strings.HasSuffix(line, " level=NOTICE msg=up worker=a\n") {
		t.Errorf("got %q", line)
	}
}

func TestStreamIDOfNothing(t *testing.T) {
	if _, err := StreamID(nil); !errors.Is(err, os.ErrInvalid) {
		t.Errorf("got %v", err)
	}
}
