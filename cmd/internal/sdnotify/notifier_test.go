package sdnotify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func environment(pairs ...string) func(string) (string, bool) {
	return func(key string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == key {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

// manager listens as a service manager does and returns a Notifier to it.
func manager(t *testing.T, address string) (*net.UnixConn, *Notifier) {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	n, err := New(environment("NOTIFY_SOCKET", address))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); n.Close() })
	return conn, n
}

func read(t *testing.T, conn *net.UnixConn) string {
	t.Helper()
	buf := make([]byte, 8192)
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

func TestMessages(t *testing.T) {
	addresses := map[string]string{
		"path":     filepath.Join(t.TempDir(), "notify"),
		"abstract": fmt.Sprintf("@pg-bgw-test-%d", os.Getpid()),
	}
	for name, address := range addresses {
		t.Run(name, func(t *testing.T) {
			conn, n := manager(t, address)
			for _, c := range []struct {
				call func() error
				want string
			}{
				{n.Ready, "READY=1"},
				{n.Stopping, "STOPPING=1"},
				{n.Watchdog, "WATCHDOG=1"},
				{func() error { return n.Status("12 workers running") }, "STATUS=12 workers running"},
				{func() error { return n.Errno(syscall.EADDRINUSE) }, "ERRNO=98"},
				{n.Healthy, "RESTART_RESET=1"},
				{func() error { return n.ExtendTimeout(1500 * time.Millisecond) }, "EXTEND_TIMEOUT_USEC=1500000"},
			} {
				if err := c.call(); err != nil {
					t.Fatal(err)
				}
				if got := read(t, conn); got != c.want {
					t.Errorf("got %q, want %q", got, c.want)
				}
			}
		})
	}
}

func TestReloadingCarriesTheMonotonicTime(t *testing.T) {
	conn, n := manager(t, filepath.Join(t.TempDir(), "notify"))
	before, _ := monotonic()
	if err := n.Reloading(); err != nil {
		t.Fatal(err)
	}
	after, _ := monotonic()
	usec, ok := strings.CutPrefix(read(t, conn), "RELOADING=1\nMONOTONIC_USEC=")
	got, err := strconv.ParseInt(usec, 10, 64)
	if !ok || err != nil || got < before.Microseconds() || got > after.Microseconds() {
		t.Errorf("got %q, want a time from %d to %d", usec, before.Microseconds(), after.Microseconds())
	}
}

// A worker's name reaches the status; it must not become an assignment.
func TestHostileStatus(t *testing.T) {
	conn, n := manager(t, filepath.Join(t.TempDir(), "notify"))
	for text, want := range map[string]string{
		"a\nMAINPID=1\nb\r\x00\x7f":     "STATUS=a MAINPID=1 b   ",
		"bad \xff utf":                  "STATUS=bad \uFFFD utf",
		strings.Repeat("é", 2000):       "STATUS=" + strings.Repeat("é", maxStatus/2),
		"x" + strings.Repeat("é", 2000): "STATUS=x" + strings.Repeat("é", maxStatus/2-1),
	} {
		if err := n.Status(text); err != nil {
			t.Fatal(err)
		}
		if got := read(t, conn); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestBarrier(t *testing.T) {
	conn, n := manager(t, filepath.Join(t.TempDir(), "notify"))
	answered := make(chan error, 1)
	go func() {
		buf, oob := make([]byte, 64), make([]byte, 64)
		nb, noob, _, _, err := conn.ReadMsgUnix(buf, oob)
		if err == nil && string(buf[:nb]) != "BARRIER=1" {
			err = fmt.Errorf("got %q", buf[:nb])
		}
		if err == nil {
			err = closeRights(oob[:noob])
		}
		answered <- err
	}()
	if err := n.Barrier(context.Background()); err != nil {
		t.Error(err)
	}
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

// closeRights closes the one descriptor of a message.
func closeRights(oob []byte) error {
	messages, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return err
	}
	if len(messages) != 1 {
		return fmt.Errorf("%d control messages, want 1", len(messages))
	}
	fds, err := syscall.ParseUnixRights(&messages[0])
	if err != nil {
		return err
	}
	if len(fds) != 1 {
		return fmt.Errorf("%d descriptors, want 1", len(fds))
	}
	return syscall.Close(fds[0])
}

func TestBarrierEndsWithItsContext(t *testing.T) {
	_, n := manager(t, filepath.Join(t.TempDir(), "notify"))
	ctx, cancel := context.WithCancelCause(context.Background())
	cause := errors.New("no more time")
	cancel(cause)
	if err := n.Barrier(ctx); !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
}

func TestNobodyListens(t *testing.T) {
	n, err := New(environment())
	if n != nil || err != nil {
		t.Fatalf("New gives %v, %v", n, err)
	}
	for _, err := range []error{
		n.Ready(), n.Status("x"), n.Reloading(), n.Stopping(), n.Errno(1), n.Watchdog(),
		n.ExtendTimeout(time.Second), n.Barrier(context.Background()), n.Close(),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	if d := n.WatchdogInterval(); d != 0 {
		t.Errorf("a watchdog of %v", d)
	}
}

func TestManagerGoneIsAnError(t *testing.T) {
	n, err := New(environment("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "absent")))
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Ready(); !errors.Is(err, os.ErrNotExist) || ErrnoOf(err) != syscall.ENOENT {
		t.Errorf("got %v", err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	if err := n.Ready(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// A manager that reads nothing must not hold the daemon for ever.
func TestManagerStalled(t *testing.T) {
	_, n := manager(t, filepath.Join(t.TempDir(), "notify"))
	for range 1 << 16 {
		if err := n.Watchdog(); err != nil {
			if ErrnoOf(err) != syscall.EAGAIN {
				t.Errorf("got %v", err)
			}
			return
		}
	}
	t.Error("65,536 messages fit into a socket that nobody reads")
}

func TestWatchdogInterval(t *testing.T) {
	self, other := strconv.Itoa(os.Getpid()), strconv.Itoa(os.Getppid())
	for _, c := range []struct {
		usec, pid string
		want      time.Duration
		bad       bool
	}{
		{"", "", 0, false},
		{"30000000", "", 15 * time.Second, false},
		{"30000000", self, 15 * time.Second, false},
		{"30000000", other, 0, false},
		{"0", "", 0, true},
		{"-1", "", 0, true},
		{"soon", "", 0, true},
		{"18446744073709551615", "", 0, true},
		{"9223372036854775807", "", 0, true},
		{"30000000", "me", 0, true},
	} {
		n, err := New(environment("NOTIFY_SOCKET", "@x", "WATCHDOG_USEC", c.usec, "WATCHDOG_PID", c.pid))
		if (err != nil) != c.bad {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		if err != nil && !strings.Contains(err.Error(), "WATCHDOG_") {
			t.Errorf("%+v: the error names no variable: %v", c, err)
		}
		if d := n.WatchdogInterval(); d != c.want {
			t.Errorf("%+v: got %v", c, d)
		}
		n.Close()
	}
}

func TestBadAddress(t *testing.T) {
	for _, address := range []string{"relative", "@", "/", "vsock:2:1234", "/" + strings.Repeat("x", 107)} {
		if _, err := New(environment("NOTIFY_SOCKET", address)); err == nil || !strings.Contains(err.Error(), "NOTIFY_SOCKET") {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func TestScrub(t *testing.T) {
	for _, key := range own {
		t.Setenv(key, "value of "+key)
	}
	t.Setenv("FDSTORE", "")
	t.Setenv("INVOCATION_ID", "kept")
	removed := Scrub()
	if len(removed) != len(own) {
		t.Errorf("removed %d, want %d", len(removed), len(own))
	}
	if diff := cmp.Diff("NOTIFY_SOCKET=value of NOTIFY_SOCKET", removed[0]); diff != "" {
		t.Error(diff)
	}
	for _, key := range own {
		if _, ok := os.LookupEnv(key); ok {
			t.Errorf("%s is still there", key)
		}
	}
	if os.Getenv("INVOCATION_ID") != "kept" {
		t.Error("INVOCATION_ID is gone")
	}
	if again := Scrub(); len(again) != 0 {
		t.Errorf("a second Scrub removes %q", again)
	}
}
