package dbusapi

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/godbus/dbus/v5"
)

// message is one to send: a call, an answer, an error or a signal. Names in it are valid ones.
type message struct {
	kind      dbus.Type
	flags     dbus.Flags
	to        string // bus name, "" for a signal to whoever has a match rule
	answers   uint32 // serial of the call that this answers
	errorName string
	path      dbus.ObjectPath // this and the next two: of a signal or a call
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
	b[0], b[offType], b[offFlags], b[offVersion] = 'l', byte(m.kind), byte(m.flags), 1
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
	kinds := make([]byte, 0, 16)
	for _, arg := range args {
		switch v := arg.(type) {
		case string:
			if !utf8.ValidString(v) || strings.IndexByte(v, 0) >= 0 {
				return "", nil, fmt.Errorf("a text of the message is not valid UTF-8")
			}
			kinds, b = append(kinds, 's'), appendString(b, v)
		case dbus.ObjectPath:
			if !v.IsValid() {
				return "", nil, fmt.Errorf("a path of the message is not valid")
			}
			kinds, b = append(kinds, 'o'), appendString(b, string(v))
		case uint32:
			kinds, b = append(kinds, 'u'), binary.LittleEndian.AppendUint32(padded(b, 4), v)
		case int32:
			kinds, b = append(kinds, 'i'), binary.LittleEndian.AppendUint32(padded(b, 4), uint32(v))
		case uint64:
			kinds, b = append(kinds, 't'), binary.LittleEndian.AppendUint64(padded(b, 8), v)
		case Definition:
			kinds, b = append(kinds, "a{sv}"...), appendDefinition(b, &v)
		case []Definition:
			kinds, b = append(kinds, "aa{sv}"...), appendArray(b, 4, func(b []byte) []byte {
				for i := range v {
					b = appendDefinition(b, &v[i])
				}
				return b
			})
		case []Registration:
			kinds, b = append(kinds, "a(oss)"...), appendArray(b, 8, func(b []byte) []byte {
				for _, a := range v {
					b = appendRegistration(b, a)
				}
				return b
			})
		default:
			return libraryBody(args)
		}
	}
	return string(kinds), b, nil
}

// appendRegistration appends the (oss) of one of many registrations.
func appendRegistration(b []byte, a Registration) []byte {
	path, name, text := a.Handle.Path(), "", ""
	if a.Err != nil {
		e := toBus(a.Err)
		path, name, text = "/", e.Name, clean(e.Error(), maxRegistrationText)
	}
	return appendString(appendString(appendString(padded(b, 8), string(path)), name), text)
}

// maxRegistrationText bounds the message of one refusal among many, in bytes.
const maxRegistrationText = 1024

// appendDefinition appends the a{sv} of the keys in d.Set.
func appendDefinition(b []byte, d *Definition) []byte {
	return appendArray(b, 8, func(b []byte) []byte {
		for _, f := range fields {
			if d.Set.Has(f.key) {
				p := f.ref(d)
				b = appendString(padded(b, 8), f.name)
				kind := fieldsByName[f.name].wireType
				b = append(append(append(b, byte(len(kind))), kind...), 0)
				b = appendValue(b, p)
			}
		}
		return b
	})
}

// appendArray appends an array whose elements, which f appends, have that alignment.
func appendArray(b []byte, alignment int, f func([]byte) []byte) []byte {
	b = binary.LittleEndian.AppendUint32(padded(b, 4), 0)
	at := len(b)
	b = padded(b, alignment)
	begin := len(b)
	b = f(b)
	binary.LittleEndian.PutUint32(b[at-4:], uint32(len(b)-begin))
	return b
}

// appendValue is the reverse of reader.value, with texts as toWire has them.
func appendValue(b []byte, p any) []byte {
	switch v := toWire(p).(type) {
	case string:
		return appendString(b, v)
	case []string:
		return appendArray(b, 4, func(b []byte) []byte {
			for _, s := range v {
				b = appendString(b, s)
			}
			return b
		})
	case map[string]string:
		return appendArray(b, 8, func(b []byte) []byte {
			for k, s := range v {
				b = appendString(appendString(padded(b, 8), k), s)
			}
			return b
		})
	case []byte:
		return appendArray(b, 1, func(b []byte) []byte { return append(b, v...) })
	case bool:
		n := uint32(0)
		if v {
			n = 1
		}
		return binary.LittleEndian.AppendUint32(padded(b, 4), n)
	case int32:
		return binary.LittleEndian.AppendUint32(padded(b, 4), uint32(v))
	case uint32:
		return binary.LittleEndian.AppendUint32(padded(b, 4), v)
	case uint64:
		return binary.LittleEndian.AppendUint64(padded(b, 8), v)
	default:
		panic("dbusapi: internal error: a field has no D-Bus type")
	}
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
