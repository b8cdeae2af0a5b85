package systemtest

import (
	"context"
	"fmt"
	"strconv"
	"testing"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
)

// manager connects to the machine's systemd as any program on its bus does.
func (m *machine) manager(t *testing.T) *systemd.Conn {
	t.Helper()
	c, err := systemd.NewConnection(func() (*dbus.Conn, error) {
		conn, err := dbus.Dial(fmt.Sprintf("unix:path=/proc/%d/root/run/dbus/system_bus_socket", m.leader))
		if err != nil {
			return nil, err
		}
		if err := conn.Auth(nil); err != nil {
			conn.Close()
			return nil, err
		}
		return conn, conn.Hello()
	})
	if err != nil {
		t.Fatalf("cannot reach the machine's systemd: %v", err)
	}
	t.Cleanup(c.Close)
	return c
}

// checkManager: the service is what systemd's own interface says it is, and a
// restart asked for there is a job that is done when the new daemon is ready.
func checkManager(t *testing.T, m *machine) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := m.manager(t)
	before := m.unit(t, "MainPID")
	for property, want := range map[string]any{"Type": "notify", "KillMode": "mixed", "Delegate": true, "NotifyAccess": "main", "BusName": "org.pgbgw1"} {
		p, err := c.GetServicePropertyContext(ctx, "pg-bgw.service", property)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Value.Value(); got != want {
			t.Errorf("%s is %v, not %v", property, got, want)
		}
	}
	done := make(chan string, 1)
	if _, err := c.RestartUnitContext(ctx, "pg-bgw.service", "replace", done); err != nil {
		t.Fatal(err)
	}
	select {
	case result := <-done:
		if result != "done" {
			t.Fatalf("the restart is %q", result)
		}
	case <-ctx.Done():
		t.Fatal("the restart did not end")
	}
	after := m.unit(t, "MainPID")
	if pid, err := strconv.Atoi(after); err != nil || pid == 0 || after == before {
		t.Errorf("the daemon was %s and is %s", before, after)
	}
	m.pid(t, "hello")
}
