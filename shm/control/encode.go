package control

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf8"
)

var le = binary.LittleEndian

// Append encodes r at the end of dst and returns the longer slice; on error it
// returns dst as it was. It fails where Decode would refuse the result: an
// unknown type (UnknownTypeError), a text that is no UTF-8 or holds NUL, too
// many or doubled pairs, a record above MaxRecord. The reason of a refusal is
// mended and cut instead, so that a Refuse can always be sent.
func (r *Record) Append(dst []byte) ([]byte, error) {
	start := len(dst)
	e := encoder{b: append(dst, make([]byte, HeaderSize)...)}
	e.body(r)
	if n := len(e.b) - start; e.err == nil && n > MaxRecord {
		e.fail("it has %d bytes, at most %d are allowed", n, MaxRecord)
	}
	if e.err != nil {
		return dst, fmt.Errorf("cannot encode control record (%v): %w", r.Type, e.err)
	}
	h := e.b[start:]
	le.PutUint32(h[0:], uint32(len(h)))
	le.PutUint16(h[4:], Version)
	le.PutUint16(h[6:], uint16(r.Type))
	le.PutUint64(h[8:], r.ID)
	return e.b, nil
}

// encoder appends fields; the first error stays.
type encoder struct {
	b   []byte
	err error
}

func (e *encoder) fail(format string, args ...any) {
	if e.err == nil {
		e.err = fmt.Errorf(format, args...)
	}
}

func (e *encoder) u16(v uint16) { e.b = le.AppendUint16(e.b, v) }
func (e *encoder) u32(v uint32) { e.b = le.AppendUint32(e.b, v) }
func (e *encoder) u64(v uint64) { e.b = le.AppendUint64(e.b, v) }

func (e *encoder) bool(v bool) {
	if v {
		e.u32(1)
		return
	}
	e.u32(0)
}

func (e *encoder) text(s string) {
	if !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0 {
		e.fail("text %.40q is not UTF-8 without NUL", s)
		return
	}
	if len(s) > MaxRecord {
		e.fail("text of %d bytes does not fit", len(s))
		return
	}
	e.u32(uint32(len(s)))
	e.b = append(e.b, s...)
}

func (e *encoder) handle(h Handle) {
	e.u32(h.Slot)
	e.u64(h.Generation)
}

func (e *encoder) body(r *Record) {
	if r.ID == 0 != r.Type.IsEvent() {
		e.fail("the request id is %d; it is 0 in events and nowhere else", r.ID)
		return
	}
	if r.Type.IsAnswer() {
		if r.Errno > maxErrno {
			e.fail("errno %d is above %d", int(r.Errno), maxErrno)
			return
		}
		e.u32(uint32(-int32(r.Errno)))
		if r.Errno != 0 {
			e.text(reason(r.Text))
			return
		}
	}
	switch r.Type {
	case Hello, Hello.Answer(), Ready:
		e.text(r.Text)
	case Attach, Detach, Attach.Answer(), Detach.Answer(), Ready.Answer(), Terminate.Answer(), Latch.Answer(),
		DynamicDetach.Answer(), DynamicPin.Answer(), DynamicUnpin.Answer(), DynamicReady.Answer():
	case Register:
		e.pairs(r)
	case Register.Answer(), GetPid, Terminate:
		e.handle(r.Handle)
	case WaitStartup, WaitShutdown:
		e.handle(r.Handle)
		e.u64(r.TimeoutUSec)
	case GetPid.Answer(), WaitStartup.Answer(), WaitShutdown.Answer():
		e.u32(r.Status)
		e.u32(uint32(r.Pid))
	case Latch:
		e.u32(r.Slot)
	case WorkerStateChanged:
		e.event(r)
	default:
		e.dynamic(r)
	}
}

// dynamic encodes what is about dynamic segments.
func (e *encoder) dynamic(r *Record) {
	switch r.Type {
	case DynamicCreate:
		e.u64(r.Size)
	case DynamicAttach, DynamicDetach, DynamicPin, DynamicUnpin:
		e.u32(r.Segment)
	case DynamicNamed:
		if n := len(r.Text); n == 0 || n > MaxDynamic {
			e.fail("the name has %d bytes, 1 to %d are allowed", n, MaxDynamic)
			return
		}
		e.u64(r.Size)
		e.text(r.Text)
	case DynamicReady:
		e.u32(r.Segment)
		e.bool(r.Done)
	case DynamicCreate.Answer(), DynamicAttach.Answer(), DynamicNamed.Answer():
		e.u32(r.Segment)
		e.u64(r.Size)
		e.bool(r.Found)
	default:
		e.err = &UnknownTypeError{Type: r.Type}
	}
}

func (e *encoder) event(r *Record) {
	e.handle(r.Handle)
	e.u64(r.Start)
	e.u32(r.State)
	e.u32(r.Status)
	e.u32(uint32(r.Pid))
	e.u32(uint32(r.ExitCode))
	e.u32(uint32(r.ExitSignal))
	e.text(reason(r.Text))
}

func (e *encoder) pairs(r *Record) {
	if len(r.Pairs) > MaxPairs {
		e.fail("it has %d pairs, at most %d are allowed", len(r.Pairs), MaxPairs)
		return
	}
	e.u64(r.Flags)
	e.u16(uint16(len(r.Pairs)))
	for i, p := range r.Pairs {
		if n := len(p.Key); n == 0 || n > MaxKey {
			e.fail("key %.80q has %d bytes, 1 to %d are allowed", p.Key, n, MaxKey)
			return
		}
		if hasKey(r.Pairs[:i], p.Key) {
			e.fail("key %q is there twice", p.Key)
			return
		}
		if !utf8.ValidString(p.Key) || strings.IndexByte(p.Key, 0) >= 0 {
			e.fail("key %q is not UTF-8 without NUL", p.Key)
			return
		}
		e.u16(uint16(len(p.Key)))
		e.b = append(e.b, p.Key...)
		e.value(p)
	}
}

// The kinds of values on the wire.
const (
	kindText  = 1
	kindUint  = 2
	kindInt   = 3
	kindBytes = 4
	kindList  = 5
)

func (e *encoder) value(p Pair) {
	switch v := p.Value.(type) {
	case string:
		e.b = append(e.b, kindText)
		e.text(v)
	case uint64:
		e.b = append(e.b, kindUint)
		e.u64(v)
	case int64:
		e.b = append(e.b, kindInt)
		e.u64(uint64(v))
	case []byte:
		if len(v) > MaxRecord {
			e.fail("key %q has %d bytes, which do not fit", p.Key, len(v))
			return
		}
		e.b = append(e.b, kindBytes)
		e.u32(uint32(len(v)))
		e.b = append(e.b, v...)
	case []string:
		if len(v) > MaxList {
			e.fail("key %q has %d elements, at most %d are allowed", p.Key, len(v), MaxList)
			return
		}
		e.b = append(e.b, kindList)
		e.u16(uint16(len(v)))
		for _, s := range v {
			e.text(s)
		}
	default:
		e.fail("key %q has a %T; string, uint64, int64, []byte and []string can be encoded", p.Key, v)
	}
}

// maxReason bounds the text of a refusal and of an event. It is for a person;
// what is longer is cut.
const maxReason = 4096

// reason makes any string fit to be sent.
func reason(s string) string {
	if len(s) > maxReason {
		s = s[:maxReason]
		for len(s) > 0 && !utf8.RuneStart(s[len(s)-1]) {
			s = s[:len(s)-1]
		}
		if n := len(s); n > 0 && s[n-1] >= utf8.RuneSelf {
			s = s[:n-1]
		}
	}
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "\uFFFD")
	}
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	return s
}

func hasKey(pairs []Pair, key string) bool {
	for i := range pairs {
		if pairs[i].Key == key {
			return true
		}
	}
	return false
}
