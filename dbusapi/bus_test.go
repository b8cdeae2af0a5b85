package dbusapi

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// deadline bounds what should take microseconds; reaching it is a failure, never a measurement.
const deadline = 2 * time.Minute

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	t.Cleanup(cancel)
	return ctx
}

// need skips the test when a program is missing, and fails it where CI promises everything.
func need(t testing.TB, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("needs %s: %v", program, err)
		}
		t.Skipf("needs %s: %v", program, err)
	}
}

// bus is a private dbus-daemon of type system.
type bus struct {
	t       testing.TB
	dir     string
	address string
	daemon  *exec.Cmd
}

const busConfig = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
 <type>system</type>
 <listen>%s</listen>
 <auth>EXTERNAL</auth>
 <policy context="default">
  <allow user="*"/><allow own="*"/><allow send_destination="*" eavesdrop="true"/><allow receive_sender="*"/>
  <allow send_type="method_call"/><allow receive_type="method_call"/>
 </policy>
 <limit name="max_connections_per_user">2000</limit>
 <limit name="max_completed_connections">2500</limit>
 <limit name="max_replies_per_connection">%d</limit>
</busconfig>
`

// newBus starts a broker. pending is how many unanswered calls it allows a connection; 0 is a system bus's 128.
func newBus(t testing.TB, pending int) *bus {
	t.Helper()
	need(t, "dbus-daemon")
	if pending == 0 {
		pending = 128
	}
	b := &bus{t: t, dir: t.TempDir()}
	socket := filepath.Join(b.dir, "bus")
	b.address = "unix:path=" + dbus.EscapeBusAddressValue(socket)
	config := fmt.Sprintf(busConfig, b.address, pending)
	if err := os.WriteFile(filepath.Join(b.dir, "bus.conf"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	b.start()
	t.Cleanup(b.stop)
	return b
}

func (b *bus) start() {
	b.t.Helper()
	b.daemon = exec.Command("dbus-daemon", "--config-file="+filepath.Join(b.dir, "bus.conf"), "--nofork", "--nopidfile", "--print-address=1")
	b.daemon.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	b.daemon.Stderr = b.t.Output()
	out, err := b.daemon.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.daemon.Start(); err != nil {
		b.t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		b.t.Fatalf("dbus-daemon did not start: %v", err)
	}
}

func (b *bus) stop() {
	_ = b.daemon.Process.Kill()
	_ = b.daemon.Wait()
}

// serve starts a Server with a fake Backend on b.
func (b *bus) serve(o Options) (*Server, *fake) {
	b.t.Helper()
	f := newFake()
	o.Address = b.address
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(b.t.Output(), nil))
	}
	s := NewServer(f, o)
	if err := s.Start(testContext(b.t)); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), deadline)
		defer cancel()
		_ = s.Close(ctx)
	})
	return s, f
}

func (b *bus) client() *Client {
	b.t.Helper()
	c, err := Dial(b.address)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = c.Close() })
	return c
}

// raw connects without any of this package's code on the client's side.
func (b *bus) raw(options ...dbus.ConnOption) *dbus.Conn {
	b.t.Helper()
	conn, err := dbus.Connect(b.address, options...)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// run runs a black-box program against b and returns its standard output.
func (b *bus) run(name string, args ...string) (string, error) {
	b.t.Helper()
	cmd := exec.CommandContext(testContext(b.t), name, args...)
	cmd.Env = append(os.Environ(), "DBUS_SYSTEM_BUS_ADDRESS="+b.address, "LC_ALL=C")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, stderr.String())
	}
	return string(out), err
}

// invoke calls a method and returns the body; want "" is success, else the error's name.
func invoke(t testing.TB, conn *dbus.Conn, path dbus.ObjectPath, method string, want string, args ...any) []any {
	t.Helper()
	c := conn.Object(BusName, path).CallWithContext(testContext(t), method, 0, args...)
	err := fromBus(c.Err)
	switch {
	case want == "" && err != nil:
		t.Fatalf("%s on %s: %v", method, path, err)
	case want != "" && !IsError(err, want):
		t.Fatalf("%s on %s: got %#v, want error %s", method, path, err, want)
	}
	return c.Body
}

// lines is a slog destination that hands each line to the test.
type lines struct {
	mu  sync.Mutex
	all []string
	ch  chan string
}

func newLines() *lines { return &lines{ch: make(chan string, 1000)} }

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	l.all = append(l.all, string(p))
	l.mu.Unlock()
	select {
	case l.ch <- string(p):
	default:
	}
	return len(p), nil
}

// receive takes the next value from ch.
func receive[T any](t testing.TB, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v, ok := <-ch:
		if !ok {
			t.Fatalf("channel closed while waiting for %s", what)
		}
		return v
	case <-time.After(deadline):
		t.Fatalf("no %s", what)
		panic("unreachable")
	}
}
