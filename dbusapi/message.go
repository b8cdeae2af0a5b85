package dbusapi

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/godbus/dbus/v5"
)

// message is one to send: an answer, an error or a signal. Names in it are valid ones.
type message struct {
	kind      dbus.Type
	to        string // unique name, "" for a signal to whoever has a match rule
	answers   uint32 // serial of the call that this answers
	errorName string
	path      dbus.ObjectPath // this and the next two: of a signal
	iface     string
	member    string
	body      []any
}

// errorMessage returns the answer e to the call with that serial by sender.
func errorMessage(sender string, serial uint32, e *Error) *message {
	name, body := e.DBusError()
	return &message{kind: dbus.TypeError, to: sender, answers: serial, errorName: name, body: body}
}

// encode returns m in the wire format (D-Bus specification, "Message Format"), little endian. The error says what in the
// body cannot be sent: a broker disconnects who sends an invalid message.
func (m *message) encode(serial uint32) ([]byte, error) {
	signature, body, err := encodeBody(m.body)
	if err != nil {
		return nil, err
	}
	b := make([]byte, fixedLen, 256+len(body))
	b[0], b[offType], b[offVersion] = 'l', byte(m.kind), 1
	binary.LittleEndian.PutUint32(b[offBodyLen:], uint32(len(body)))
	binary.LittleEndian.PutUint32(b[offSerial:], serial)
	for _, f := range []struct {
		code dbus.HeaderField
		kind byte
		text string
	}{
		{dbus.FieldPath, 'o', string(m.path)}, {dbus.FieldInterface, 's', m.iface}, {dbus.FieldMember, 's', m.member},
		{dbus.FieldErrorName, 's', m.errorName}, {dbus.FieldDestination, 's', m.to}, {dbus.FieldSignature, 'g', signature},
	} {
		switch {
		case f.text == "":
		case f.kind == 'g':
			b = append(padded(b, 8), byte(f.code), 1, 'g', 0, byte(len(f.text)))
			b = append(append(b, f.text...), 0)
		default:
			b = appendString(append(padded(b, 8), byte(f.code), 1, f.kind, 0), f.text)
		}
	}
	if m.answers != 0 {
		b = append(padded(b, 8), byte(dbus.FieldReplySerial), 1, 'u', 0)
		b = binary.LittleEndian.AppendUint32(b, m.answers)
	}
	binary.LittleEndian.PutUint32(b[offFields:], uint32(len(b)-fixedLen))
	return append(padded(b, 8), body...), nil
}

// padded appends zeros up to a multiple of n bytes.
func padded(b []byte, n int) []byte {
	for len(b)%n != 0 {
		b = append(b, 0)
	}
	return b
}

func appendString(b []byte, s string) []byte {
	b = binary.LittleEndian.AppendUint32(padded(b, 4), uint32(len(s)))
	return append(append(b, s...), 0)
}

// encodeBody encodes arguments: plain ones, all that the frequent messages have, without reflection, any others by the
// library.
func encodeBody(args []any) (signature string, b []byte, err error) {
	if len(args) == 0 {
		return "", nil, nil
	}
	var kinds [16]byte
	for i, arg := range args {
		if i == len(kinds) {
			return libraryBody(args)
		}
		switch v := arg.(type) {
		case string:
			if !utf8.ValidString(v) || strings.IndexByte(v, 0) >= 0 {
				return "", nil, fmt.Errorf("a text of the answer is not valid UTF-8")
			}
			kinds[i], b = 's', appendString(b, v)
		case dbus.ObjectPath:
			if !v.IsValid() {
				return "", nil, fmt.Errorf("a path of the answer is not valid")
			}
			kinds[i], b = 'o', appendString(b, string(v))
		case uint32:
			kinds[i], b = 'u', binary.LittleEndian.AppendUint32(padded(b, 4), v)
		case int32:
			kinds[i], b = 'i', binary.LittleEndian.AppendUint32(padded(b, 4), uint32(v))
		case uint64:
			kinds[i], b = 't', binary.LittleEndian.AppendUint64(padded(b, 8), v)
		default:
			return libraryBody(args)
		}
	}
	return string(kinds[:len(args)]), b, nil
}

// libraryBody has the library encode arguments, within a message since it encodes nothing less.
func libraryBody(args []any) (signature string, b []byte, err error) {
	types := dbus.SignatureOf(args...)
	carrier := dbus.Message{Type: dbus.TypeMethodReply, Body: args, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldReplySerial: dbus.MakeVariant(uint32(1)), dbus.FieldSignature: dbus.MakeVariant(types),
	}}
	var out bytes.Buffer
	if err := carrier.EncodeTo(&out, binary.LittleEndian); err != nil {
		return "", nil, err
	}
	size := binary.LittleEndian.Uint32(out.Bytes()[offBodyLen:])
	return types.String(), out.Bytes()[out.Len()-int(size):], nil
}
