package dbusapi

import (
	"maps"
	"strings"

	"github.com/godbus/dbus/v5"
)

// reader reads values of the D-Bus wire format (D-Bus specification, "Marshaling") from a part of a message that begins at
// a multiple of 8 bytes. It reads what peers send, so it believes nothing: once something does not fit, bad is set, and
// everything after it is zero. It knows the types of this API's arguments; any other it can pass over.
type reader struct {
	text string
	pos  int
	big  bool // big endian
	bad  bool
}

// take returns the next n bytes, which share the message's memory.
func (r *reader) take(n int) string {
	if r.bad || n < 0 || n > len(r.text)-r.pos {
		r.bad = true
		return ""
	}
	r.pos += n
	return r.text[r.pos-n : r.pos]
}

func (r *reader) align(n int) { r.take((n - r.pos%n) % n) }

func (r *reader) byte() byte {
	if b := r.take(1); b != "" {
		return b[0]
	}
	return 0
}

func (r *reader) uint32() uint32 {
	r.align(4)
	return uint32(r.number(4))
}

func (r *reader) uint64() uint64 {
	r.align(8)
	return r.number(8)
}

// number reads an unsigned integer of n bytes.
func (r *reader) number(n int) (v uint64) {
	b := r.take(n)
	for i := range len(b) {
		if r.big {
			v = v<<8 | uint64(b[i])
		} else {
			v |= uint64(b[i]) << (8 * i)
		}
	}
	return v
}

func (r *reader) bool() bool {
	v := r.uint32()
	r.bad = r.bad || v > 1
	return v == 1
}

// string reads a string or an object path, which shares the message's memory: what is kept must be cloned.
func (r *reader) string() string {
	s := r.take(int(r.uint32()))
	r.take(1)
	return s
}

func (r *reader) signature() string {
	s := r.take(int(r.byte()))
	r.take(1)
	return s
}

// array begins an array whose elements have that alignment and returns where it ends. Who reads the elements calls
// within before each.
func (r *reader) array(alignment int) (end int) {
	n := int(r.uint32())
	r.align(alignment)
	if r.bad || n > len(r.text)-r.pos {
		r.bad = true
		return r.pos
	}
	return r.pos + n
}

// within reports whether there is one more element before end.
func (r *reader) within(end int) bool {
	r.bad = r.bad || r.pos > end
	return !r.bad && r.pos < end
}

// value reads into p, a pointer to a field of a Definition; the message's type is the field's.
func (r *reader) value(p any) {
	switch p := p.(type) {
	case *string:
		*p = strings.Clone(r.string())
	case *[]string:
		*p = []string{}
		for end := r.array(4); r.within(end); {
			*p = append(*p, strings.Clone(r.string()))
		}
	case *map[string]string:
		*p = map[string]string{}
		for end := r.array(8); r.within(end); {
			r.align(8)
			key := strings.Clone(r.string())
			(*p)[key] = strings.Clone(r.string())
		}
	case *[]byte:
		end := r.array(1)
		*p = []byte(r.take(end - r.pos))
	case *bool:
		*p = r.bool()
	case *int32:
		*p = int32(r.uint32())
	case *uint32:
		*p = r.uint32()
	case *uint64:
		*p = r.uint64()
	default:
		panic("dbusapi: internal error: a field has no D-Bus type")
	}
}

// definition reads the a{sv} of a registration. Keys may be absent; see [Definition.Set]. An unknown key, a value of another
// D-Bus type and a value beyond all bounds are InvalidArgs, and the message names the key and what would be right. Of
// two mistakes the first counts. Nothing in the result aliases the message.
func (r *reader) definition() (Definition, error) {
	var d Definition
	for end := r.array(8); r.within(end); {
		r.align(8)
		name, signature := r.string(), r.signature()
		if r.bad {
			break
		}
		f, ok := fieldsByName[name]
		if !ok {
			return Definition{}, unknownKey(name)
		}
		if signature != f.wireType {
			return Definition{}, f.wrongType(signature)
		}
		p := f.ref(&d)
		if r.value(p); r.bad {
			break
		}
		d.Set |= f.key
		if err := f.checkSize(p); err != nil {
			return Definition{}, err
		}
	}
	return d, nil
}

// definitionRead is one of many definitions: what it says, or what is wrong with it.
type definitionRead struct {
	def Definition
	err error
}

// definitions reads the aa{sv} of many registrations. One that is wrong is passed over.
func (r *reader) definitions() []definitionRead {
	all := []definitionRead{}
	for end := r.array(4); r.within(end); {
		begin := *r
		d, err := r.definition()
		if err != nil {
			*r = begin
			last := r.array(8)
			r.take(last - r.pos)
		}
		all = append(all, definitionRead{d, err})
	}
	return all
}

// fieldsByName is fields, with what the reader needs at hand.
var fieldsByName = maps.Collect(func(yield func(string, namedField) bool) {
	for _, f := range fields {
		yield(f.name, namedField{f, wireType(f.ref(&Definition{}))})
	}
})

type namedField struct {
	field
	wireType string
}

// arguments reads a call's body, whose signature is one from the XML: a Definition for each a{sv}, a
// []definitionRead for an aa{sv}, and nil for a variant, which no method looks at. The error is of the first argument that
// is wrong.
func (r *reader) arguments(signature string) ([]any, error) {
	if signature == "" {
		return nil, nil
	}
	args := make([]any, 0, 4)
	for rest := signature; rest != ""; {
		size := typeLen(rest)
		arg, err := r.argument(rest[:size])
		if err != nil {
			return nil, err
		}
		args, rest = append(args, arg), rest[size:]
	}
	if r.bad || r.pos != len(r.text) {
		return nil, errUndecodable
	}
	return args, nil
}

var errUndecodable = Errorf(ErrorInvalidArgs, "the message cannot be decoded")

func (r *reader) argument(kind string) (any, error) {
	switch kind {
	case "s":
		return strings.Clone(r.string()), nil
	case "o":
		return dbus.ObjectPath(strings.Clone(r.string())), nil
	case "i":
		return int32(r.uint32()), nil
	case "t":
		return r.uint64(), nil
	case "a{sv}":
		return r.definition()
	case "aa{sv}":
		return r.definitions(), nil
	case "v":
		r.skip("v", 0)
		return nil, nil
	}
	panic("dbusapi: internal error: an argument of the XML has no decoder")
}

// maxDepth bounds containers within containers (D-Bus specification: 64 in all).
const maxDepth = 64

// skip passes over a value of one complete type.
func (r *reader) skip(kind string, depth int) {
	if r.bad || depth > maxDepth || kind == "" || typeLen(kind) != len(kind) {
		r.bad = true
		return
	}
	switch c := kind[0]; c {
	case 's', 'o':
		r.string()
	case 'g':
		r.signature()
	case 'v':
		r.skip(r.signature(), depth+1)
	case 'a':
		end := r.array(alignmentOf(kind[1]))
		r.take(end - r.pos)
	case '(':
		r.align(8)
		r.bad = r.bad || kind == "()"
		for rest := kind[1 : len(kind)-1]; rest != "" && !r.bad; {
			size := typeLen(rest)
			r.skip(rest[:size], depth+1)
			rest = rest[size:]
		}
	case 'y', 'n', 'q', 'b', 'i', 'u', 'h', 'x', 't', 'd':
		size := alignmentOf(c)
		r.align(size)
		r.take(size)
	default:
		r.bad = true
	}
}

// alignmentOf returns the alignment of a type that begins with c.
func alignmentOf(c byte) int {
	switch c {
	case 'y', 'g', 'v':
		return 1
	case 'n', 'q':
		return 2
	case 'x', 't', 'd', '(', '{':
		return 8
	}
	return 4
}

// typeLen returns the length of the complete type at the beginning of a signature, 0 if there is none. It only looks for
// the end of a container: that the types in it are known is the broker's to check.
func typeLen(signature string) int {
	depth := 0
	for i := range len(signature) {
		switch signature[i] {
		case 'a':
			continue // its element follows
		case '(', '{':
			depth++
		case ')', '}':
			depth--
		}
		if depth < 0 {
			return 0
		}
		if depth == 0 {
			return i + 1
		}
	}
	return 0
}
