package systemtest

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// A client is a program in the machine whose lines are read one by one.
type client struct {
	cmd    *exec.Cmd
	cancel context.CancelFunc
	out    *bufio.Scanner
}

// client starts a program; the test ends it.
func (m *machine) client(t *testing.T, args ...string) *client {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	cmd := m.command(ctx, args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &client{cmd: cmd, cancel: cancel, out: bufio.NewScanner(out)}
	t.Cleanup(c.end)
	return c
}

func (c *client) end() {
	c.cancel()
	c.cmd.Wait()
}

// python starts one of testdata's programs.
func (m *machine) python(t *testing.T, name string) *client {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	m.write(t, "/tmp/"+name, string(text))
	return m.client(t, "python3", "/tmp/"+name)
}

// line waits for a line that contains all of parts and returns it.
func (c *client) line(t *testing.T, parts ...string) string {
	t.Helper()
	var seen []string
	for c.out.Scan() {
		line := c.out.Text()
		missing := false
		for _, part := range parts {
			missing = missing || !strings.Contains(line, part)
		}
		if !missing {
			return line
		}
		seen = append(seen, line)
	}
	t.Fatalf("no line with %q; there were:\n%s", parts, strings.Join(seen, "\n"))
	return ""
}

func TestBus(t *testing.T) {
	everywhere(t, func(t *testing.T, m *machine) {
		setUp(t, m)
		m.define(t, "hello", hello)
		m.silent(t, "systemctl", "start", "pg-bgw")
		t.Run("busctl", func(t *testing.T) { checkBusctl(t, m) })
		t.Run("gdbus", func(t *testing.T) { checkGdbus(t, m) })
		t.Run("dbus-send", func(t *testing.T) { checkDbusSend(t, m) })
		t.Run("monitor", func(t *testing.T) { checkMonitor(t, m) })
		t.Run("owner", func(t *testing.T) { checkOwner(t, m) })
		t.Run("strangers", func(t *testing.T) { checkStrangers(t, m) })
		t.Run("descriptors", func(t *testing.T) { checkDescriptors(t, m) })
		t.Run("bus restarts", func(t *testing.T) { checkBusRestart(t, m) })
		t.Run("activation", func(t *testing.T) { checkActivation(t, m) })
	})
}

func checkBusctl(t *testing.T, m *machine) {
	handle := m.handle(t, "hello")
	tree := m.run(t, "busctl", "tree", "--list", "--no-pager", "org.pgbgw1")
	for _, path := range []string{"/", "/org", "/org/pgbgw1", "/org/pgbgw1/worker", handle} {
		if !strings.Contains("\n"+tree+"\n", "\n"+path+"\n") {
			t.Errorf("the tree lacks %s:\n%s", path, tree)
		}
	}
	members := m.run(t, "busctl", "introspect", "--no-pager", "org.pgbgw1", "/org/pgbgw1")
	for _, member := range []string{".RegisterDynamicBackgroundWorker", ".WaitForBackgroundWorkerShutdown", ".MaxWorkerProcesses", ".WorkerStateChanged", ".GetManagedObjects"} {
		if !strings.Contains(members, member) {
			t.Errorf("the manager lacks %s:\n%s", member, members)
		}
	}
	if members := m.run(t, "busctl", "introspect", "--no-pager", "org.pgbgw1", handle); !strings.Contains(members, ".MainPID") {
		t.Errorf("the worker lacks MainPID:\n%s", members)
	}
	if list := m.call(t, "ListWorkers"); !strings.Contains(list, handle) {
		t.Errorf("ListWorkers gives %s", list)
	}
}

// sees returns when the monitor does, which does not say since when: it has shown
// one of the signals that are sent until then.
func (c *client) sees(t *testing.T, m *machine) {
	t.Helper()
	seen, quiet := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(quiet)
		for {
			select {
			case <-seen:
				return
			default:
				m.try("busctl", "emit", "/test", manager, "Probe")
			}
		}
	}()
	defer func() { close(seen); <-quiet }()
	c.line(t, `"member":"Probe"`)
}

// register registers a worker with busctl, whose connection is gone afterwards.
func (m *machine) register(t *testing.T, name string) string {
	t.Helper()
	return object(t, m.call(t, "RegisterDynamicBackgroundWorker", "a{sv}t", "5",
		"Name", "s", name, "Flags", "as", "1", "shmem_access", "StartTime", "s", "postmaster_start",
		"RestartTime", "i", "0", "Command", "as", "2", "/bin/sleep", "infinity", "0"))
}

func checkGdbus(t *testing.T, m *machine) {
	handle := m.register(t, "for gdbus")
	pid := m.started(t, handle)
	xml := m.run(t, "gdbus", "introspect", "--system", "--dest", "org.pgbgw1", "--object-path", handle, "--xml")
	if !strings.Contains(xml, `<interface name="org.pgbgw1.Worker">`) {
		t.Errorf("gdbus introspect prints\n%s", xml)
	}
	gdbus := func(method string, args ...string) string {
		return m.run(t, append([]string{"gdbus", "call", "--system", "--dest", "org.pgbgw1", "--object-path", "/org/pgbgw1", "--method", manager + "." + method}, args...)...)
	}
	if out := gdbus("GetBackgroundWorkerPid", handle); out != fmt.Sprintf("('started', uint32 %d)", pid) {
		t.Errorf("GetBackgroundWorkerPid gives %s", out)
	}
	gdbus("TerminateBackgroundWorker", handle, "0")
	if out := gdbus("WaitForBackgroundWorkerShutdown", handle, "20000000"); out != "('stopped',)" {
		t.Errorf("after its termination the worker is %s", out)
	}
}

func checkDbusSend(t *testing.T, m *machine) {
	send := []string{"dbus-send", "--system", "--print-reply", "--dest=org.pgbgw1", "/org/pgbgw1"}
	m.run(t, append(send, "org.freedesktop.DBus.Peer.Ping")...)
	out := m.run(t, append(send, "org.freedesktop.DBus.Properties.GetAll", "string:"+manager)...)
	if !strings.Contains(out, `"MaxWorkerProcesses"`) {
		t.Errorf("the manager's properties are\n%s", out)
	}
	out = m.refused(t, append(send, manager+".GetWorker", "string:nobody of that name")...)
	if !strings.Contains(out, "org.pgbgw1.Error.NoSuchWorker") {
		t.Errorf("an unknown worker gives %s", out)
	}
	out = m.refused(t, append(send, manager+".NoSuchMethod")...)
	if !strings.Contains(out, "org.freedesktop.DBus.Error.UnknownMethod") {
		t.Errorf("an unknown method gives %s", out)
	}
}

// checkMonitor sees with busctl monitor what an owner is sent.
func checkMonitor(t *testing.T, m *machine) {
	monitor := m.client(t, "stdbuf", "--output=L", "busctl", "monitor", "--json=short", "--match=type='signal',interface='"+manager+"'")
	monitor.sees(t, m)
	owner := m.python(t, "owner.py")
	handle := strings.Fields(owner.line(t, "registered"))[1]
	monitor.line(t, `"member":"WorkerStateChanged"`, handle, `"running"`)
}

func checkOwner(t *testing.T, m *machine) {
	owner := m.python(t, "owner.py")
	handle := strings.Fields(owner.line(t, "registered"))[1]
	owner.line(t, "changed", handle, "running started")
	pid := m.started(t, handle)
	if out := m.property(t, handle, "MainArg"); out != "t 18446744073709551615" {
		t.Errorf("main_arg is %s", out)
	}
	m.run(t, "kill", "-KILL", strconv.Itoa(pid))
	// Killed by 9 in the first start, and the second runs.
	owner.line(t, "changed", handle, " 9 1")
	owner.line(t, "changed", handle, "running started", " 2")
	if m.started(t, handle) == pid {
		t.Error("the killed process is said to run")
	}
	from := m.mark(t)
	m.run(t, "pkill", "--full", "/tmp/owner.py") // in the machine's own process space
	m.await(t, from, of("MESSAGE_ID", message(t, "WorkerExited")), of("PGBGW_GENERATION", generation(t, handle)))
}

// generation is the generation in a handle's path.
func generation(t *testing.T, handle string) string {
	t.Helper()
	_, g, ok := strings.Cut(handle, "_g")
	if !ok {
		t.Fatalf("%s names no generation", handle)
	}
	return g
}

func (m *machine) property(t *testing.T, handle, name string) string {
	t.Helper()
	return m.run(t, "busctl", "get-property", "org.pgbgw1", handle, "org.pgbgw1.Worker", name)
}

// Everybody may look; root and the daemon's user may change.
func checkStrangers(t *testing.T, m *machine) {
	handle := m.handle(t, "hello")
	as := func(user string, args ...string) []string {
		return append([]string{"setpriv", "--reuid=" + user, "--clear-groups", "busctl", "call", "org.pgbgw1"}, args...)
	}
	m.run(t, as("nobody", "/org/pgbgw1", manager, "ListWorkers")...)
	for _, call := range [][]string{
		{"/org/pgbgw1", manager, "TerminateBackgroundWorker", "ot", handle, "0"},
		{"/org/pgbgw1", manager, "Reload"},
		{"/org/pgbgw1", manager, "Shutdown", "st", "immediate", "0"},
		{handle, "org.pgbgw1.Worker", "Stop", "t", "0"},
	} {
		if out := m.refused(t, as("nobody", call...)...); !strings.Contains(strings.ToLower(out), "denied") && !strings.Contains(out, "may not") {
			t.Errorf("nobody calling %q is told %s", call, out)
		}
	}
	m.run(t, as("pg-bgw", "/org/pgbgw1", manager, "Reload")...)
}

// checkDescriptors checks that the bus lets no descriptor through to the daemon.
func checkDescriptors(t *testing.T, m *machine) {
	count := func() int {
		n, err := strconv.Atoi(m.run(t, "sh", "-c", "ls /proc/$(systemctl show pg-bgw --value -p MainPID)/fd | wc -l"))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := count()
	for range 3 {
		m.python(t, "descriptors.py").line(t, "org.freedesktop.DBus.Error.AccessDenied")
	}
	// The daemon's own come and go: a worker of the tests before may just end.
	until(t, fmt.Sprintf("the daemon with its %d descriptors", before), func() bool { return count() <= before })
}

func checkBusRestart(t *testing.T, m *machine) {
	handle, pid := m.handle(t, "hello"), m.pid(t, "hello")
	from := m.mark(t)
	m.run(t, "systemctl", "restart", "dbus")
	m.await(t, from, of("MESSAGE_ID", message(t, "BusLost")))
	m.await(t, from, of("MESSAGE_ID", message(t, "BusRegained")))
	if m.handle(t, "hello") != handle || m.started(t, handle) != pid {
		t.Error("the worker or its handle did not survive the bus")
	}
}

func checkActivation(t *testing.T, m *machine) {
	m.run(t, "systemctl", "enable", "--quiet", "pg-bgw")
	m.run(t, "systemctl", "stop", "pg-bgw")
	m.call(t, "ListWorkers")
	// It answers as soon as it has the name, which can be before it is ready.
	if state := m.unit(t, "ActiveState"); state != "active" && state != "activating" {
		t.Errorf("a call did not start the daemon, it is %s", state)
	}
	m.run(t, "systemctl", "stop", "pg-bgw")
	m.run(t, "systemctl", "disable", "--quiet", "pg-bgw")
}
