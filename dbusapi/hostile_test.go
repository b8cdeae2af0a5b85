package dbusapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
)

// rawCall is a call of Reload with any signature and body, encoded by hand: the library would refuse most of them.
func rawCall(signature string, serial uint32, body []byte) []byte {
	m := &dbus.Message{Type: dbus.TypeMethodCall, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldDestination: dbus.MakeVariant(BusName), dbus.FieldPath: dbus.MakeVariant(ManagerPath),
		dbus.FieldInterface: dbus.MakeVariant(ManagerInterface), dbus.FieldMember: dbus.MakeVariant("Reload"),
		dbus.FieldSignature: dbus.MakeVariant(dbus.ParseSignatureMust(signature)),
	}}
	var b bytes.Buffer
	if err := m.EncodeTo(&b, binary.LittleEndian); err != nil {
		panic(err)
	}
	binary.LittleEndian.PutUint32(b.Bytes()[offBodyLen:], uint32(len(body)))
	binary.LittleEndian.PutUint32(b.Bytes()[offSerial:], serial)
	return append(b.Bytes(), body...)
}

func u32(values ...uint32) []byte {
	var b []byte
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return b
}

// nested returns n variants in each other with a value of the signature at the bottom, whose bytes begin 8-aligned.
func nested(n int, signature string, value []byte) []byte {
	b := bytes.Repeat([]byte{1, 'v', 0}, n)
	b = append(b, byte(len(signature)))
	b = append(append(b, signature...), 0)
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	return append(b, value...)
}

// TestHostileMessages: what a broker passes and the library cannot decode costs its sender an error, and nobody else
// anything. Without the screen in framedConn, the dictionary with signatures as keys makes the daemon lose the bus.
func TestHostileMessages(t *testing.T) {
	b := newBus(t, 0)
	_, f := b.serve(Options{})
	watcher := b.client()
	signatureKey := append(u32(4, 0), 1, 'y', 0, 3)
	attacks := []struct {
		name, signature string
		body            []byte
		want            string
	}{
		{"signature as key", "a{gy}", signatureKey, "signature"},
		{"signature as key in variants", "v", nested(10, "a{gy}", signatureKey), "signature"},
		{"descriptors that are not there", "ah", u32(8, 0, 1), "signature"},
		{"descriptors as keys", "a{hh}", u32(8, 0, 3, 3), "signature"},
		{"63 variants", "v", nested(63, "y", []byte{1}), "signature"},
		{"60 variants, then structs", "v", nested(60, "(((y)))", []byte{1}), "signature"},
		{"NaN as key", "a{dy}", append(append(u32(25, 0), bytes.Repeat([]byte{0, 0, 0, 0, 0, 0, 0xf8, 0x7f, 1, 0, 0, 0, 0, 0, 0, 0}, 2)[:25]...), 0)[:33], "signature"},
		{"too long", "ay", append(u32(2<<20), make([]byte, 2<<20)...), "too long"},
	}
	for _, attack := range attacks {
		t.Run(attack.name, func(t *testing.T) {
			sendRaw(t, b, rawCall(attack.signature, 4711, attack.body), attack.want)
			if _, err := watcher.Manager(testContext(t)); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
	conn, err := dialBus(testContext(t), b.address, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	signal := rawCall("a{gy}", 1, signatureKey)
	signal[offType] = byte(dbus.TypeSignal)
	if _, err := conn.framed.Write(signal); err != nil {
		t.Fatal(err)
	}
	if err := conn.BusObject().Call(peerInterface+".Ping", 0).Err; err != nil { // the broker passed the signal on before this
		t.Errorf("the broker did not take the signal: %v", err)
	}
	if _, err := watcher.Manager(testContext(t)); err != nil || len(f.lost) != 0 {
		t.Errorf("afterwards: %v; the bus was lost %d times", err, len(f.lost))
	}
}

// sendRaw sends a call with serial 4711 and checks that its answer is an error with that text.
func sendRaw(t *testing.T, b *bus, raw []byte, want string) {
	t.Helper()
	answers := make(chan *dbus.Message, 10)
	conn, err := dialBus(testContext(t), b.address, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.Eavesdrop(answers)
	if _, err := conn.framed.Write(raw); err != nil {
		t.Fatal(err)
	}
	for {
		m := receive(t, answers, "answer")
		if m.Type != dbus.TypeError {
			continue
		}
		if m.Headers[dbus.FieldReplySerial].Value() != uint32(4711) || !strings.Contains(m.Body[0].(string), want) {
			t.Errorf("answer %v, want %q", m, want)
		}
		return
	}
}

// TestHostileSignals: signals that pretend to be the broker's make nobody gone.
func TestHostileSignals(t *testing.T) {
	b := newBus(t, 0)
	s, f := b.serve(Options{})
	c := b.client()
	if _, err := c.RegisterDynamicBackgroundWorker(testContext(t), minimal("a"), 0); err != nil {
		t.Fatal(err)
	}
	name := c.conn.Names()[0]
	spoofer := b.raw()
	for range 100 {
		m := &dbus.Message{Type: dbus.TypeSignal, Body: []any{name, name, ""}, Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldDestination: dbus.MakeVariant(BusName), dbus.FieldPath: dbus.MakeVariant(dbus.ObjectPath("/org/freedesktop/DBus")),
			dbus.FieldInterface: dbus.MakeVariant(busDriver), dbus.FieldMember: dbus.MakeVariant("NameOwnerChanged"),
			dbus.FieldSignature: dbus.MakeVariant(dbus.ParseSignatureMust("sss")),
		}}
		spoofer.Send(m, nil)
	}
	invoke(t, spoofer, ManagerPath, peerInterface+".Ping", "") // all signals were read before this
	sess := s.session.Load()
	sess.mu.Lock()
	_, known := sess.peers[name]
	sess.mu.Unlock()
	if !known || len(f.gone) != 0 {
		t.Error("a forged NameOwnerChanged was believed")
	}
	_ = c.Close()
	if got := receive(t, f.gone, "OwnerGone"); got != name {
		t.Errorf("OwnerGone(%s), want %s", got, name)
	}
}

func minimal(name string) Definition {
	return Definition{Set: KeyName | KeyFlags | KeyRestartTime, Name: name, Flags: []string{"shmem_access"}, RestartTime: -1}
}

// TestPanicFailsOneCall: a panic in the Backend fails that call, is logged with its stack, and a pidfd does not leak.
func TestPanicFailsOneCall(t *testing.T) {
	b := newBus(t, 0)
	log := newLines()
	_, f := b.serve(Options{Log: slog.New(slog.NewTextHandler(log, nil))})
	f.hook(func(_ context.Context, method string) error {
		if method == "Register" {
			panic("boom")
		}
		return nil
	})
	c := b.client()
	if _, err := c.RegisterDynamicBackgroundWorker(testContext(t), minimal("a"), 0); !IsError(err, ErrorFailed) || strings.Contains(err.Error(), "boom") {
		t.Errorf("got %v", err)
	}
	if line := receive(t, log.ch, "log line"); !strings.Contains(line, "boom") || !strings.Contains(line, "fake_test.go") {
		t.Errorf("log line %q", line)
	}
	before := descriptors(t)
	for range 20 {
		_, _ = c.RegisterDynamicBackgroundWorker(testContext(t), minimal("a"), RegisterSignalCaller)
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
	if _, err := c.Manager(testContext(t)); err != nil {
		t.Error(err)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// TestDescriptorsAreNotTaken: messages that carry descriptors reach nobody here and leave none behind.
func TestDescriptorsAreNotTaken(t *testing.T) {
	b := newBus(t, 0)
	b.serve(Options{})
	conn := b.raw()
	invoke(t, conn, ManagerPath, ManagerInterface+".ListWorkers", "")
	if !conn.SupportsUnixFDs() {
		t.Fatal("the attacker's connection cannot pass descriptors")
	}
	null, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	before := descriptors(t)
	fd := dbus.UnixFD(null.Fd())
	for range 50 { // dbus-daemon goes on counting such a call against the 128 unanswered ones of its sender
		conn.Object(BusName, ManagerPath).CallWithContext(testContext(t), ManagerInterface+".ListWorkers", 0, fd)
		conn.Object(BusName, "/no").CallWithContext(testContext(t), "a.b.C", 0, []dbus.UnixFD{fd, fd})
	}
	invoke(t, conn, ManagerPath, ManagerInterface+".ListWorkers", "")
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

// TestBadText: no text of a worker or a Backend can make a message invalid.
func TestBadText(t *testing.T) {
	b := newBus(t, 0)
	s, f := b.serve(Options{})
	c := b.client()
	events, err := c.Events(testContext(t), true)
	if err != nil {
		t.Fatal(err)
	}
	bad := "a\xff\x00\xed\xa0\x80" + strings.Repeat("\x00", 200_000)
	w := full(Handle{1, 1})
	w.Label, w.State, w.Reason, w.Definition.Command, w.Definition.Environment = bad, bad, bad, []string{bad}, map[string]string{bad: bad}
	s.Added(f.put(w))
	f.change(s, w.Handle, func(w *WorkerInfo) { w.Reason = bad + "!"; w.Owner = bad })
	if e := receive(t, events, "WorkerNew"); e.Kind != EventNew || !strings.HasPrefix(e.Label, "a\uFFFD") {
		t.Errorf("got %+v", e)
	}
	receive(t, events, "WorkerStateChanged")
	for _, name := range []string{"", "x", ":1", ":1.", ":1..2", ":1.2 ", ":1.2\x00", "org.freedesktop.DBus"} {
		s.NotifyOwner(name, ChangeOf(w))
		s.WatchOwner(name)
	}
	f.hook(func(context.Context, string) error { return &Error{Name: "bad name", Message: bad} })
	if err := c.Reload(testContext(t)); !IsError(err, ErrorFailed) {
		t.Errorf("got %v", err)
	}
	f.hook(nil)
	f.mu.Lock()
	f.lastText = bad
	f.mu.Unlock()
	if _, err := c.Dump(testContext(t)); err != nil {
		t.Error(err)
	}
	if _, err := c.Worker(testContext(t), w.Handle); err != nil {
		t.Error(err)
	}
	if all, err := c.Workers(testContext(t)); err != nil || len(all) != 1 {
		t.Error(all, err)
	}
	if rows, err := c.ListWorkers(testContext(t)); err != nil || len(rows) != 1 {
		t.Error(rows, err)
	}
	if len(f.lost) != 0 {
		t.Error("the bus was lost")
	}
}

// script is a net.Conn that reads from a byte slice.
type script struct {
	net.Conn
	io.Reader
	written bytes.Buffer
}

func (s *script) Read(b []byte) (int, error)  { return s.Reader.Read(b) }
func (s *script) Write(b []byte) (int, error) { return s.written.Write(b) }

// FuzzFrame: no bytes from the socket crash the reader, and nothing of a peer is handed over to the library.
func FuzzFrame(f *testing.F) {
	f.Add(rawCall("a{gy}", 1, append(u32(4, 0), 1, 'y', 0, 3)))
	f.Add(rawCall("v", 1, nested(60, "(((y)))", []byte{1})))
	f.Add(rawCall("ay", 1, append(u32(2<<20), make([]byte, 2<<20)...)))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := &script{Reader: bytes.NewReader(data)}
		take := func(h head, body []byte) *Error {
			if h.kind != dbus.TypeMethodCall {
				t.Fatalf("taken: %v", h)
			}
			_, _ = (&reader{text: string(body), big: h.big}).arguments("ssa{sv}t")
			return Errorf(ErrorFailed, "no")
		}
		c := &framedConn{Conn: s, r: bufio.NewReader(s), take: take, serials: &serials{}, framed: true, outbox: newOutbox(s.Write)}
		for c.next() == nil {
			if len(c.pending) > 0 {
				if h, _ := parseHead(string(c.pending)); len(c.pending) > maxMessage || h.sender != busDriver {
					t.Fatalf("%q was handed over", c.pending)
				}
			}
			c.pending = nil
		}
	})
}
