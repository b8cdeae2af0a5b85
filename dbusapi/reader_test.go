package dbusapi

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
)

// instantiateCall is a call with every kind of argument that a definition has, encoded by the library.
func instantiateCall(t *testing.T, order binary.ByteOrder, def map[string]dbus.Variant) []byte {
	t.Helper()
	body := []any{"template", "argument", def, uint64(1) << 63}
	m := &dbus.Message{Type: dbus.TypeMethodCall, Flags: dbus.FlagNoAutoStart, Body: body, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldDestination: dbus.MakeVariant(BusName), dbus.FieldPath: dbus.MakeVariant(ManagerPath),
		dbus.FieldInterface: dbus.MakeVariant(ManagerInterface), dbus.FieldMember: dbus.MakeVariant("Instantiate"),
		dbus.FieldSignature: dbus.MakeVariant(dbus.SignatureOf(body...)), dbus.FieldSender: dbus.MakeVariant(":1.7"),
	}}
	var b bytes.Buffer
	if err := m.EncodeTo(&b, order); err != nil {
		t.Fatal(err)
	}
	order.PutUint32(b.Bytes()[offSerial:], 4711)
	return b.Bytes()
}

// read reads a call's head and arguments as the Server does, from a connection that ends after raw.
func read(raw []byte) (h head, args []any, err error) {
	s := &script{Reader: bytes.NewReader(raw)}
	err = io.ErrUnexpectedEOF
	c := &framedConn{Conn: s, r: bufio.NewReader(s), serials: &serials{}, framed: true, outbox: newOutbox(s.Write)}
	c.take = func(got head, body []byte) *Error {
		h = got
		args, err = (&reader{text: string(body), big: got.big}).arguments("ssa{sv}t")
		return nil
	}
	_ = c.next()
	return h, args, err
}

// TestReader: a call of either byte order is read as the library wrote it.
func TestReader(t *testing.T) {
	want := full(Handle{}).Definition
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		h, args, err := read(instantiateCall(t, order, EncodeDefinition(want)))
		if err != nil || !reflect.DeepEqual(args, []any{"template", "argument", want, uint64(1) << 63}) {
			t.Errorf("%s: got %+v, %v\nwant %+v", order, args, err, want)
		}
		if wanted := (head{dbus.TypeMethodCall, dbus.FlagNoAutoStart, 4711, order == binary.BigEndian, ":1.7",
			ManagerPath, ManagerInterface, "Instantiate", "ssa{sv}t", 0, ""}); h != wanted {
			t.Errorf("%s: got %+v\nwant %+v", order, h, wanted)
		}
	}
}

// TestDirectCall: a definition is read as a Client writes it without the library, whichever of its keys are there.
func TestDirectCall(t *testing.T) {
	whole := full(Handle{}).Definition
	wants := []Definition{{}, whole}
	for _, f := range fields {
		one, from := Definition{Set: f.key}, whole
		reflect.ValueOf(f.ref(&one)).Elem().Set(reflect.ValueOf(f.ref(&from)).Elem())
		wants = append(wants, one)
	}
	for _, want := range wants {
		m := message{kind: dbus.TypeMethodCall, to: BusName, path: ManagerPath, iface: ManagerInterface, member: "Instantiate",
			body: []any{"t", "argument", want, uint64(7)}}
		b, err := m.encode(4711)
		if err != nil {
			t.Fatal(err)
		}
		_, args, err := read(b)
		if err != nil || !reflect.DeepEqual(args, []any{"t", "argument", want, uint64(7)}) {
			t.Errorf("%s: got %+v, %v\nwant %+v", want.Set, args, err, want)
		}
		if _, err := dbus.DecodeMessage(bytes.NewReader(b)); err != nil { // nor does the library mind
			t.Errorf("%s: %v", want.Set, err)
		}
	}
}

// TestReaderOfDamagedCalls: a call that was cut or changed anywhere, its lengths still right or not, is read as another
// one or refused.
func TestReaderOfDamagedCalls(t *testing.T) {
	whole := instantiateCall(t, binary.LittleEndian, EncodeDefinition(full(Handle{}).Definition))
	size := int(binary.LittleEndian.Uint32(whole[offBodyLen:]))
	for n := 1; n <= size; n++ {
		cut := bytes.Clone(whole[:len(whole)-n])
		if _, _, err := read(cut); err == nil {
			t.Fatalf("a call cut by %d bytes was read", n)
		}
		binary.LittleEndian.PutUint32(cut[offBodyLen:], uint32(size-n))
		if _, _, err := read(cut); !IsError(err, ErrorInvalidArgs) {
			t.Fatalf("a body cut by %d bytes was read: %v", n, err)
		}
	}
	for i := range whole {
		for _, b := range []byte{0, 1, 'a', 'v', '(', '{', 0x7f, 0xff} {
			damaged := bytes.Clone(whole)
			damaged[i] = b
			_, _, _ = read(damaged)
		}
	}
}

// TestReaderSkips: values of types that no key has are passed over, so that the error names the key behind them.
func TestReaderSkips(t *testing.T) {
	type pair struct {
		A byte
		B []string
	}
	for _, v := range []any{
		byte(1), int16(1), uint16(1), int64(1), 1.5, dbus.ObjectPath("/a"), dbus.ParseSignatureMust("a{sv}"), dbus.MakeVariant("x"),
		[]byte{}, []uint64{1, 2}, []pair{{1, []string{"x"}}}, pair{7, nil}, map[string]dbus.Variant{"k": dbus.MakeVariant(pair{})},
		dbus.MakeVariant(dbus.MakeVariant([]pair{})), dbus.UnixFDIndex(3),
	} {
		signature, body, err := libraryBody([]any{pair{3, []string{"before"}}, v, "after"})
		if err != nil {
			t.Fatal(err)
		}
		r := &reader{text: string(body)}
		for signature != "s" {
			n := typeLen(signature)
			r.skip(signature[:n], 0)
			signature = signature[n:]
		}
		if got := r.string(); got != "after" || r.bad || r.pos != len(body) {
			t.Errorf("behind %T is %q", v, got)
		}
	}
	for _, bad := range []string{"", "a", "(", ")", "()", "{sv}", "ss", "a)", "z", "(s", strings.Repeat("(", 127) + "y" + strings.Repeat(")", 127)} {
		r := &reader{text: strings.Repeat("\x00", 1024)}
		if r.skip(bad, 0); !r.bad {
			t.Errorf("a value of type %q was passed over", bad)
		}
	}
	r := &reader{text: strings.Repeat("\x01v\x00", 300)}
	if r.skip("v", 0); !r.bad {
		t.Error("300 variants in each other were passed over")
	}
}

// TestEncode: the library reads what we send as what the library would have sent.
func TestEncode(t *testing.T) {
	for _, m := range []*message{
		{kind: dbus.TypeMethodReply, to: ":1.7", answers: 3},
		{kind: dbus.TypeMethodReply, to: ":1.77", answers: 3, body: []any{"", ManagerPath, uint32(1), int32(-1), uint64(math.MaxUint64), "ü"}},
		{kind: dbus.TypeMethodReply, to: ":1.777", answers: 3, body: []any{map[string]dbus.Variant{"k": dbus.MakeVariant("v")}, true}},
		{kind: dbus.TypeSignal, path: ManagerPath, iface: ManagerInterface, member: "WorkerNew", body: numbers(17)},
		errorMessage(":1.7", 9, Errorf(ErrorFailed, "text")),
	} {
		raw, err := m.encode(42)
		if err != nil {
			t.Fatal(err)
		}
		got, err := dbus.DecodeMessage(bytes.NewReader(raw))
		if err != nil || got.IsValid() != nil {
			t.Fatalf("%+v: %v", m, err)
		}
		header := func(f dbus.HeaderField) any { return got.Headers[f].Value() }
		if got.Serial() != 42 || got.Type != m.kind || len(got.Body) != len(m.body) || len(m.body) > 0 && !reflect.DeepEqual(got.Body, m.body) ||
			m.to != "" && header(dbus.FieldDestination) != m.to || m.answers != 0 && header(dbus.FieldReplySerial) != m.answers ||
			m.path != "" && (header(dbus.FieldPath) != m.path || header(dbus.FieldMember) != m.member || header(dbus.FieldInterface) != m.iface) ||
			m.errorName != "" && header(dbus.FieldErrorName) != m.errorName {
			t.Errorf("sent %+v, got %v", m, got)
		}
		if len(m.body) > 0 && header(dbus.FieldSignature) != dbus.SignatureOf(m.body...) {
			t.Errorf("sent %+v with signature %v", m, header(dbus.FieldSignature))
		}
	}
	for _, bad := range []any{"\xff", "a\x00b", dbus.ObjectPath("no path"), dbus.ObjectPath("")} {
		if _, err := (&message{kind: dbus.TypeMethodReply, to: ":1.7", answers: 3, body: []any{bad}}).encode(1); err == nil {
			t.Errorf("%q was encoded", bad)
		}
	}
}

// numbers returns n plain arguments.
func numbers(n int) (out []any) {
	for i := range n {
		out = append(out, uint32(i))
	}
	return out
}
