package journal

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestOpenStream(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stdout")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	f, err := openStream(path, "cron", 5, true)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := f.WriteString("<3>bad\nno line end"); err != nil {
		t.Fatal(err)
	}
	flags, err := fcntlGetfl(f)
	if err != nil {
		t.Fatal(err)
	}
	if flags&syscall.O_NONBLOCK != 0 {
		t.Error("the stream would give a worker EAGAIN")
	}
	id, err := StreamID(f)
	if err != nil || strings.Count(id, ":") != 1 {
		t.Errorf("StreamID gives %q, %v", id, err)
	}
	f.Close()
	got, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	if want := "cron\n\n5\n1\n0\n0\n0\n<3>bad\nno line end"; string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOpenStreamRefusesWhatWouldChangeTheHeader(t *testing.T) {
	for _, c := range []struct {
		identifier string
		priority   int
	}{{"a\nb.service", 6}, {"a\x00", 6}, {"a", 8}, {"a", -1}} {
		if f, err := openStream("/nowhere", c.identifier, c.priority, true); err == nil || errors.Is(err, os.ErrNotExist) {
			t.Errorf("%+v: %v, %v", c, f, err)
		}
	}
}

func TestOpenStreamFailures(t *testing.T) {
	if _, err := openStream(filepath.Join(t.TempDir(), "absent"), "a", 6, true); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no journald: %v", err)
	}
	path := filepath.Join(t.TempDir(), "stdout")
	busyJournal(t, path)
	// The queue of connections is short; a blocking connect would hang here.
	for range 10 {
		f, err := openStream(path, "a", 6, true)
		if errors.Is(err, syscall.EAGAIN) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
	}
	t.Error("a journald that accepts nothing took ten streams")
}

func fcntlGetfl(f *os.File) (int, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	var flags uintptr
	var errno syscall.Errno
	err = raw.Control(func(fd uintptr) {
		flags, _, errno = syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_GETFL, 0)
	})
	if errno != 0 {
		return 0, errno
	}
	return int(flags), err
}

// busyJournal listens at path with a queue of one and never accepts.
func busyJournal(t *testing.T, path string) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
}
