package dbusapi

import (
	"bytes"
	"maps"
	"slices"

	"github.com/godbus/dbus/v5"
)

// wireField ties a name on the bus to a field of a Go struct. ref returns a pointer to the field, whose type decides
// the D-Bus type; toWire and fromWire know the types.
type wireField[T any] struct {
	name string
	ref  func(*T) any
}

// toWire returns what goes on the bus for the field that p points to: strings sanitised, nil made empty, nothing shared.
func toWire(p any) any {
	switch p := p.(type) {
	case *string:
		return clean(*p, maxTexts)
	case *Status:
		return clean(string(*p), maxTexts)
	case *[]string:
		out := make([]string, len(*p))
		for i, s := range *p {
			out[i] = clean(s, maxTexts)
		}
		return out
	case *map[string]string:
		out := make(map[string]string, len(*p))
		for k, v := range *p {
			out[clean(k, maxTexts)] = clean(v, maxTexts)
		}
		return out
	case *[]byte:
		return append([]byte{}, *p...)
	case *bool:
		return *p
	case *int32:
		return *p
	case *uint32:
		return *p
	case *uint64:
		return *p
	default:
		panic("dbusapi: internal error: a field has no D-Bus type")
	}
}

// fromWire stores v into the field that p points to, and reports whether v has the type for it.
func fromWire(p, v any) (ok bool) {
	switch p := p.(type) {
	case *string:
		*p, ok = v.(string)
	case *Status:
		var s string
		s, ok = v.(string)
		*p = Status(s)
	case *[]string:
		var list []string
		list, ok = v.([]string)
		*p = slices.Clone(list)
	case *map[string]string:
		var dict map[string]string
		dict, ok = v.(map[string]string)
		*p = maps.Clone(dict)
	case *[]byte:
		var b []byte
		b, ok = v.([]byte)
		*p = bytes.Clone(b)
	case *bool:
		*p, ok = v.(bool)
	case *int32:
		*p, ok = v.(int32)
	case *uint32:
		*p, ok = v.(uint32)
	case *uint64:
		*p, ok = v.(uint64)
	}
	return ok
}

// wireType returns the D-Bus signature of the field that p points to.
func wireType(p any) string { return dbus.SignatureOf(toWire(p)).String() }
