package dbusapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"testing"

	"github.com/godbus/dbus/v5"
)

// BenchmarkRegister is the round trip of a registration over dbus-daemon with a Backend that does nothing, one at a time.
func BenchmarkRegister(b *testing.B) { benchRegister(b, 1) }

// BenchmarkRegister64 is the same with 64 outstanding.
func BenchmarkRegister64(b *testing.B) { benchRegister(b, maxCalls) }

// BenchmarkPing is the floor: a call without arguments that asks nobody.
func BenchmarkPing(b *testing.B) {
	bus := newBus(b, 0)
	bus.serve(Options{})
	object := bus.client().conn.Object(BusName, ManagerPath)
	for b.Loop() {
		if err := object.Call(peerInterface+".Ping", 0).Err; err != nil {
			b.Fatal(err)
		}
	}
}

func benchRegister(b *testing.B, outstanding int) {
	bus := newBus(b, 0)
	_, f := bus.serve(Options{})
	object := bus.client().conn.Object(BusName, ManagerPath)
	def := EncodeDefinition(minimal("bench"))
	done := make(chan *dbus.Call, outstanding)
	send := func() { object.Go(ManagerInterface+".RegisterDynamicBackgroundWorker", 0, done, def, uint64(0)) }
	for range outstanding {
		send()
	}
	for b.Loop() {
		if c := <-done; c.Err != nil {
			b.Fatal(c.Err)
		}
		send()
	}
	for range outstanding {
		<-done
	}
	b.StopTimer()
	f.mu.Lock()
	f.workers, f.defs, f.calls, f.callers = map[Handle]WorkerInfo{}, nil, nil, nil
	f.mu.Unlock()
}

// BenchmarkChanged is the publishing of a transition while nobody has subscribed: what each worker's start and exit costs.
func BenchmarkChanged(b *testing.B) {
	s := NewServer(newFake(), Options{})
	w := full(Handle{1, 1})
	for b.Loop() {
		s.Changed(w, w)
	}
}

// BenchmarkServeRegister is the Server's own part of a registration: from the call's bytes to the answer's, with neither a
// broker nor a client.
func BenchmarkServeRegister(b *testing.B) {
	m := &dbus.Message{Type: dbus.TypeMethodCall, Body: []any{EncodeDefinition(benchDefinition()), uint64(0)}, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldDestination: dbus.MakeVariant(BusName), dbus.FieldPath: dbus.MakeVariant(ManagerPath),
		dbus.FieldInterface: dbus.MakeVariant(ManagerInterface), dbus.FieldMember: dbus.MakeVariant("RegisterDynamicBackgroundWorker"),
		dbus.FieldSignature: dbus.MakeVariant(dbus.ParseSignatureMust("a{sv}t")), dbus.FieldSender: dbus.MakeVariant(":1.7"),
	}}
	var raw bytes.Buffer
	if err := m.EncodeTo(&raw, binary.LittleEndian); err != nil {
		b.Fatal(err)
	}
	binary.LittleEndian.PutUint32(raw.Bytes()[offSerial:], 4711)
	written := make(chan []byte, 1)
	source := &bytes.Reader{}
	out := answers{written: written}
	framed := &framedConn{Conn: out, r: bufio.NewReader(source), serials: &serials{}, framed: true, outbox: newOutbox(out.Write)}
	s := &session{server: NewServer(nothing{}, Options{}), ctx: b.Context(), conn: &busConn{framed: framed}, ready: make(chan struct{}), callsPerUID: map[uint32]int{}, peers: map[string]*peer{}}
	close(s.ready)
	p, _ := s.findPeer(":1.7")
	close(p.resolved)
	framed.take = s.take
	b.ReportAllocs()
	for b.Loop() {
		source.Reset(raw.Bytes())
		framed.r.Reset(source)
		if err := framed.next(); err != nil {
			b.Fatal(err)
		}
		if answer := <-written; dbus.Type(answer[offType]) != dbus.TypeMethodReply {
			b.Fatalf("%q", answer)
		}
	}
}

func benchDefinition() Definition {
	d := minimal("bench")
	d.Set |= KeyStartTime | KeyCommand
	d.StartTime, d.Command = "postmaster_start", []string{"/bin/sleep", "infinity"}
	return d
}

// answers is a net.Conn that hands over each message written.
type answers struct {
	net.Conn
	written chan []byte
}

func (a answers) Write(b []byte) (int, error) { a.written <- bytes.Clone(b); return len(b), nil }

// nothing is a Backend that registers nothing and has no other method.
type nothing struct{ Backend }

func (nothing) Register(context.Context, Caller, Definition, RegisterFlags) (Handle, error) {
	return Handle{7, 1<<32 | 9}, nil
}
