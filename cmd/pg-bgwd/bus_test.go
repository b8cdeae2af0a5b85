package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pg-bgw/pg-bgw/dbusapi"
)

const busConfig = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type><listen>unix:path=%s</listen><auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/>
  </policy>
</busconfig>`

// A bus is a private message bus, which can be stopped and started again.
type bus struct {
	t       *testing.T
	dir     string
	address string
	cmd     *exec.Cmd
}

func startBus(t *testing.T) *bus {
	t.Helper()
	need(t, "dbus-daemon")
	b := &bus{t: t, dir: t.TempDir()}
	socket := filepath.Join(b.dir, "bus")
	b.address = "unix:path=" + socket
	write(t, filepath.Join(b.dir, "bus.conf"), fmt.Sprintf(busConfig, socket))
	b.start()
	t.Cleanup(b.stop)
	return b
}

func (b *bus) start() {
	b.t.Helper()
	b.cmd = exec.Command("dbus-daemon", "--config-file="+filepath.Join(b.dir, "bus.conf"), "--nofork", "--nopidfile", "--print-address=1")
	out, err := b.cmd.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		b.t.Fatalf("the bus did not start: %v", err)
	}
}

func (b *bus) stop() {
	if b.cmd != nil {
		_ = b.cmd.Process.Kill()
		_ = b.cmd.Wait()
		os.Remove(strings.TrimPrefix(b.address, "unix:path="))
		b.cmd = nil
	}
}

// TestBusLost: the bus goes and comes back; workers run on, and handles hold.
func TestBusLost(t *testing.T) {
	b := startBus(t)
	s := start(t, b, map[string]string{"workers.d/10.hcl": sleeper("one", "")})
	one := s.state("one", "running")
	d := definition("two", 0, "/bin/sleep", "1000")
	d.Set |= dbusapi.KeyStopWithOwner
	d.StopWithOwner = true
	h, err := s.client.RegisterDynamicBackgroundWorker(s.ctx(), d, 0)
	if err != nil {
		t.Fatal(err)
	}
	two := s.state("two", "running")
	b.stop()
	s.client.Close() // not before: the owner would be gone, and two with it
	b.start()
	s.poll("the name", func() bool {
		c, err := dbusapi.Dial(b.address)
		if err != nil {
			return false
		}
		defer c.Close()
		_, err = c.Manager(s.ctx())
		return err == nil
	})
	s.connect()
	if w := s.worker("one"); w.MainPID != one.MainPID || w.Handle != one.Handle {
		t.Errorf("one was %+v and is %+v", one, w)
	}
	if w := s.worker("two"); w.MainPID != two.MainPID || w.Handle != h || w.Owner != "" { // nobody knows whether its owner lives
		t.Errorf("two was %+v and is %+v", two, w)
	}
}

// TestStopWithOwner: a worker that asked for it ends with its owner (any other
// runs on, BGW-049).
func TestStopWithOwner(t *testing.T) {
	b := startBus(t)
	s := start(t, b, nil)
	c, err := dbusapi.Dial(b.address)
	if err != nil {
		t.Fatal(err)
	}
	d := definition("with", 0, "/bin/sleep", "1000")
	if _, err := c.RegisterDynamicBackgroundWorker(s.ctx(), d, 0); err != nil {
		t.Fatal(err)
	}
	d.Name = "tied"
	d.Set |= dbusapi.KeyStopWithOwner
	d.StopWithOwner = true
	if _, err := c.RegisterDynamicBackgroundWorker(s.ctx(), d, 0); err != nil {
		t.Fatal(err)
	}
	with := s.state("with", "running")
	s.state("tied", "running")
	c.Close()
	s.state("tied", "ended")
	if w := s.worker("with"); w.MainPID != with.MainPID || w.Owner != "" {
		t.Errorf("with is %+v", w)
	}
}
