package libpgbgw

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pg-bgw/pg-bgw/shm"
	"github.com/pg-bgw/pg-bgw/shm/control"
)

// unit runs testdata/unit.c under the sanitizers and returns what it printed.
func unit(t *testing.T, env []string, input []byte, args ...string) string {
	t.Helper()
	c := exec.Command(filepath.Join(built.dir, "asan/unit"), args...)
	c.Env, c.Stdin = env, bytes.NewReader(input)
	var out, fault strings.Builder
	c.Stdout, c.Stderr = &out, &fault
	if err := c.Run(); err != nil {
		t.Fatalf("%v: %v\n%s%s", args, err, out.String(), fault.String())
	}
	return strings.TrimSpace(out.String())
}

// TestRecords reads the vectors of shm/control: each good one is decoded and
// written again byte for byte, each bad one is refused.
func TestRecords(t *testing.T) {
	for path, raw := range vectors(t, "../../shm/control/testdata/*.hex", 15) {
		var r control.Record
		if err := r.Decode(raw); err != nil {
			var unknown *control.UnknownTypeError
			if !errors.As(err, &unknown) {
				t.Fatal(err)
			}
		}
		want := fmt.Sprintf("0 %d %d\n%x", r.Type, r.ID, raw)
		if got := unit(t, nil, raw, "decode"); got != want {
			t.Errorf("%s: got %s\nwant %s", path, got, want)
		}
	}
	for path, raw := range vectors(t, "../../shm/control/testdata/bad/*.hex", 20) {
		if got := unit(t, nil, raw, "decode"); !strings.HasPrefix(got, fmt.Sprintf("-%d ", int(syscall.EBADMSG))) {
			t.Errorf("%s: got %s", path, got)
		}
	}
	head := []byte{16, 0, 0, 0, 2, 0, 2, 0, 7, 0, 0, 0, 0, 0, 0, 0}
	if got, want := unit(t, nil, head, "decode"), fmt.Sprintf("-%d 2 7", int(syscall.EPROTONOSUPPORT)); got != want {
		t.Errorf("another version: got %s, want %s", got, want)
	}
	head[4], head[7] = 1, 0x10
	if got, want := unit(t, nil, head, "decode"), fmt.Sprintf("-%d 4098 7", int(syscall.ENOSYS)); got != want {
		t.Errorf("another type: got %s, want %s", got, want)
	}
}

// TestVectors reads those of shm/testdata: memory that every library has to
// accept or to refuse.
func TestVectors(t *testing.T) {
	paths, err := filepath.Glob("../../shm/testdata/vectors/*.txt")
	if err != nil || len(paths) < 50 {
		t.Fatalf("%d files, %v", len(paths), err)
	}
	out, err := exec.Command(filepath.Join(built.dir, "asan/vectors"), paths...).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != fmt.Sprint(len(paths)) {
		t.Errorf("%v\n%s", err, out)
	}
}

// vectors are the records of files, at least so many.
func vectors(t *testing.T, pattern string, least int) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) < least {
		t.Fatalf("%s: %d files, %v", pattern, len(paths), err)
	}
	all := map[string][]byte{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var digits strings.Builder
		for line := range strings.Lines(string(text)) {
			if !strings.HasPrefix(line, "#") {
				digits.WriteString(strings.Join(strings.Fields(line), ""))
			}
		}
		if all[path], err = hex.DecodeString(digits.String()); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// TestFuzzAttach changes the beginning of a segment and of a slot table at
// random: what is made of it is an error or a segment, never a fault.
func TestFuzzAttach(t *testing.T) {
	h := newHost(t)
	g := h.open(5)
	for _, name := range []string{"a", "b", "from go"} {
		if _, _, err := g.Area(name, 100); err != nil {
			t.Fatal(err)
		}
	}
	for kind, fd := range map[string]int{"segment": h.segment.Fd(), "slots": int(h.table.ReadOnlyFile().Fd())} {
		begin := make([]byte, 16<<10)
		if n, err := unix.Pread(fd, begin, 0); n != len(begin) || err != nil {
			t.Fatal(n, err)
		}
		got := unit(t, nil, begin, "fuzz", kind, "10000")
		var attached, areas int
		if _, err := fmt.Sscan(got, &attached, &areas); err != nil || attached < 1000 || kind == "segment" && areas < 500 {
			t.Errorf("%s: %s: too few got far", kind, got)
		}
	}
}

// TestEnvironment: each mistake in the environment is named.
func TestEnvironment(t *testing.T) {
	fd, err := shm.NewLatchEvent()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	good := []string{"PGBGW_FDS=", "PGBGW_SLOT=3", "PGBGW_GENERATION=17", "PGBGW_NAME=n"}
	for _, c := range []struct {
		env  []string
		want string // "" for success
	}{
		{good, ""},
		{nil, "-6 not started by pg-bgw"},
		{append(good, "PGBGW_TYPE=x", "PGBGW_EXTRA=", "PGBGW_START=3.17.2", "PGBGW_MAIN_ARG=18446744073709551615"), ""},
		{append(good, "PGBGW_FDS=segment"), "PGBGW_FDS: \"segment\""},
		{append(good, "PGBGW_FDS=segment:2"), "PGBGW_FDS: \"segment:2\""},
		{append(good, "PGBGW_FDS=segment:03"), "PGBGW_FDS: \"segment:03\""},
		{append(good, "PGBGW_FDS=segment:99999999999"), "PGBGW_FDS: \"segment:99999999999\""},
		{append(good, "PGBGW_FDS=:7"), "PGBGW_FDS: \":7\""},
		{append(good, "PGBGW_FDS=segment:77,segment:78"), "\"segment\" is there twice"},
		{append(good, "PGBGW_FDS=segment:77,slots:77"), "descriptor 77 is there twice"},
		{append(good, "PGBGW_FDS=segment:77,"), "ends with a comma"},
		{append(good, "PGBGW_FDS=segment:77"), "segment (descriptor 77) is not open"},
		{append(good, "PGBGW_SLOT=16384"), "PGBGW_SLOT"},
		{append(good, "PGBGW_SLOT="), "PGBGW_SLOT is not set"},
		{append(good, "PGBGW_GENERATION=18446744073709551616"), "PGBGW_GENERATION"},
		{append(good, "PGBGW_GENERATION=-1"), "PGBGW_GENERATION"},
		{append(good, "PGBGW_NAME="), "PGBGW_NAME is not set"},
		{append(good, "PGBGW_NAME="+strings.Repeat("x", 96)), "PGBGW_NAME has 96 bytes"},
		{append(good, "PGBGW_EXTRA=a"), "PGBGW_EXTRA"},
		{append(good, "PGBGW_EXTRA=ab=c"), "PGBGW_EXTRA"},
		{append(good, "PGBGW_EXTRA="+strings.Repeat("AAAA", 43)), "PGBGW_EXTRA"},
		{append(good, "PGBGW_START=3.18.2"), "PGBGW_START"},
		{append(good, "PGBGW_START=x"), "PGBGW_START"},
		{append(good, "PGBGW_START=3.17.99999999999999999999"), "PGBGW_START"},
		{append(good, "PGBGW_NOTIFY_PID=2147483648"), "PGBGW_NOTIFY_PID"},
	} {
		got := unit(t, c.env, nil, "environment")
		if c.want == "" && !strings.HasPrefix(got, "0 ") || !strings.Contains(got, c.want) {
			t.Errorf("%q: got %s, want %q", c.env, got, c.want)
		}
	}
}

// TestSupervisorDoesNotRead: to wait until it does is a wait as any other.
func TestSupervisorDoesNotRead(t *testing.T) {
	env := []string{"PGBGW_SLOT=3", "PGBGW_GENERATION=17", "PGBGW_NAME=n"}
	if got, want := unit(t, env, nil, "unread"), fmt.Sprint(-int(syscall.EINTR)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestConninfo: what the supervisor says about the server, quoted for libpq.
func TestConninfo(t *testing.T) {
	env := []string{"PGHOST=/run/x y", "PGPORT=5432", "PGUSER=o'brien", "PGDATABASE=back\\slash", "PGAPPNAME=w", "PGSSLMODE=require", "PGPASSWORD=secret", "PGSSLCERT="}
	if got, want := unit(t, env, nil, "conninfo"),
		`host='/run/x y' port='5432' dbname='back\\slash' user='o\'brien' application_name='w' sslmode='require'`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, want := unit(t, []string{"PGPORT=1", "PGUSER=a"}, nil, "conninfo", "d", "r"), `port='1' dbname='d' user='r'`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := unit(t, nil, nil, "conninfo"), fmt.Sprint(-int(syscall.ENXIO)); got != want {
		t.Errorf("without a server: got %s, want %s", got, want)
	}
}

// TestCopying: of two ways to copy, the faster one is kept, also once that
// changes, and the other is tried seldom.
func TestCopying(t *testing.T) {
	for _, ring := range []string{"65536", "1048576", "67108864"} {
		want := strings.TrimSpace(strings.Repeat("streamed seldom\n", 2) + strings.Repeat("through seldom\nstreamed seldom\n", 2) + strings.Repeat("through seldom\n", 3))
		if got := unit(t, nil, nil, "copying", ring, "10", "10", "10", "50", "14", "10", "10", "50", "50", "10", "10", "14", "14", "10", "95", "100", "100", "95"); got != want {
			t.Errorf("ring of %s: got\n%s\nwant\n%s", ring, got, want)
		}
	}
}
