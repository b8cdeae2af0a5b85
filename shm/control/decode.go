package control

import (
	"bytes"
	"errors"
	"fmt"
	"syscall"
	"unicode/utf8"
)

// ErrMalformed is wrapped by every error of Decode that is neither a
// VersionError nor an UnknownTypeError. The peer does not speak this language:
// the supervisor closes the socket.
var ErrMalformed = errors.New("malformed control record")

// VersionError is returned for a record of another version. Its type and id
// were read, so that it can be answered with EPROTONOSUPPORT.
type VersionError struct{ Version uint16 }

func (e *VersionError) Error() string {
	return fmt.Sprintf("control record has version %d, this side knows %d", e.Version, Version)
}

// UnknownTypeError is returned for a type that is not known here. The id was
// read, so that a request can be answered with ENOSYS.
type UnknownTypeError struct{ Type Type }

func (e *UnknownTypeError) Error() string {
	return fmt.Sprintf("control record has the unknown type 0x%04x", uint16(e.Type))
}

const maxErrno = 4095 // include/linux/err.h, MAX_ERRNO

// Decode reads one whole record from b into r and keeps nothing of b. What was
// in r before is gone. After an error only Type and ID count, and those only if
// the error is a VersionError or an UnknownTypeError. Every length is checked
// against what is there before anything is allocated for it; bytes left over
// are an error.
func (r *Record) Decode(b []byte) error {
	*r = Record{}
	if len(b) < HeaderSize || len(b) > MaxRecord {
		return fmt.Errorf("%w: it has %d bytes, %d to %d are allowed", ErrMalformed, len(b), HeaderSize, MaxRecord)
	}
	if n := le.Uint32(b); int64(n) != int64(len(b)) {
		return fmt.Errorf("%w: its length says %d, it has %d bytes", ErrMalformed, n, len(b))
	}
	r.Type, r.ID = Type(le.Uint16(b[6:])), le.Uint64(b[8:])
	if v := le.Uint16(b[4:]); v != Version {
		return &VersionError{Version: v}
	}
	d := decoder{b: b[HeaderSize:]}
	d.body(r)
	if d.err == nil && len(d.b) != 0 {
		d.fail("%d bytes are left over", len(d.b))
	}
	switch d.err.(type) {
	case nil, *UnknownTypeError:
		return d.err
	}
	return fmt.Errorf("%w (%v): %v", ErrMalformed, r.Type, d.err)
}

// decoder takes fields from the front of b; the first error stays, and after it
// everything reads as zero.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf(format, args...)
		d.b = nil
	}
}

var zeros [8]byte

// take returns the next n bytes, or, where they are missing, up to 8 zeros.
func (d *decoder) take(n int) []byte {
	if n > len(d.b) {
		d.fail("%d bytes are wanted where %d are left", n, len(d.b))
		return zeros[:min(n, len(zeros))]
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) u16() uint16 { return le.Uint16(d.take(2)) }
func (d *decoder) u32() uint32 { return le.Uint32(d.take(4)) }
func (d *decoder) u64() uint64 { return le.Uint64(d.take(8)) }

func (d *decoder) bool() bool {
	v := d.u32()
	if v > 1 {
		d.fail("%d stands where 0 or 1 is allowed", v)
	}
	return v == 1
}

// length reads a u32 that counts bytes still to come.
func (d *decoder) length() int {
	n := d.u32()
	if int64(n) > int64(len(d.b)) {
		d.fail("a length says %d, %d bytes are left", n, len(d.b))
		return 0
	}
	return int(n)
}

func (d *decoder) utf8(n int) string {
	b := d.take(n)
	if d.err != nil {
		return ""
	}
	if !utf8.Valid(b) || bytes.IndexByte(b, 0) >= 0 {
		d.fail("a text is not UTF-8 without NUL")
		return ""
	}
	return string(b)
}

func (d *decoder) text() string { return d.utf8(d.length()) }

func (d *decoder) handle() Handle {
	slot := d.u32()
	return Handle{Slot: slot, Generation: d.u64()}
}

func (d *decoder) body(r *Record) {
	if r.ID == 0 != r.Type.IsEvent() {
		d.fail("the request id is %d; it is 0 in events and nowhere else", r.ID)
		return
	}
	if r.Type.IsAnswer() {
		status := int32(d.u32())
		if status > 0 || status < -maxErrno {
			d.fail("the status is %d, it must be 0 or a negative errno", status)
			return
		}
		if r.Errno = syscall.Errno(-status); r.Errno != 0 {
			r.Text = d.text()
			return
		}
	}
	switch r.Type {
	case Hello, Hello.Answer(), Ready:
		r.Text = d.text()
	case Attach, Detach, Attach.Answer(), Detach.Answer(), Ready.Answer(), Terminate.Answer(), Latch.Answer(),
		DynamicDetach.Answer(), DynamicPin.Answer(), DynamicUnpin.Answer(), DynamicReady.Answer():
	case Register:
		d.pairs(r)
	case Register.Answer(), GetPid, Terminate:
		r.Handle = d.handle()
	case WaitStartup, WaitShutdown:
		r.Handle = d.handle()
		r.TimeoutUSec = d.u64()
	case GetPid.Answer(), WaitStartup.Answer(), WaitShutdown.Answer():
		r.Status = d.u32()
		r.Pid = int32(d.u32())
	case Latch:
		r.Slot = d.u32()
	case WorkerStateChanged:
		d.event(r)
	default:
		d.dynamic(r)
	}
}

// dynamic decodes what is about dynamic segments.
func (d *decoder) dynamic(r *Record) {
	switch r.Type {
	case DynamicCreate:
		r.Size = d.u64()
	case DynamicAttach, DynamicDetach, DynamicPin, DynamicUnpin:
		r.Segment = d.u32()
	case DynamicNamed:
		r.Size = d.u64()
		if r.Text = d.text(); d.err == nil && (r.Text == "" || len(r.Text) > MaxDynamic) {
			d.fail("the name has %d bytes, 1 to %d are allowed", len(r.Text), MaxDynamic)
		}
	case DynamicReady:
		r.Segment = d.u32()
		r.Done = d.bool()
	case DynamicCreate.Answer(), DynamicAttach.Answer(), DynamicNamed.Answer():
		r.Segment = d.u32()
		r.Size = d.u64()
		r.Found = d.bool()
	default:
		d.err = &UnknownTypeError{Type: r.Type}
	}
}

func (d *decoder) event(r *Record) {
	r.Handle = d.handle()
	r.Start = d.u64()
	r.State = d.u32()
	r.Status = d.u32()
	r.Pid = int32(d.u32())
	r.ExitCode = int32(d.u32())
	r.ExitSignal = int32(d.u32())
	r.Text = d.text()
}

func (d *decoder) pairs(r *Record) {
	r.Flags = d.u64()
	n := int(d.u16())
	if n > MaxPairs {
		d.fail("it has %d pairs, at most %d are allowed", n, MaxPairs)
		return
	}
	r.Pairs = make([]Pair, 0, n)
	for range n {
		k := int(d.u16())
		if d.err == nil && (k == 0 || k > MaxKey) {
			d.fail("a key has %d bytes, 1 to %d are allowed", k, MaxKey)
		}
		key := d.utf8(k)
		if d.err == nil && hasKey(r.Pairs, key) {
			d.fail("key %q is there twice", key)
		}
		value := d.value()
		if d.err != nil {
			return
		}
		r.Pairs = append(r.Pairs, Pair{Key: key, Value: value})
	}
}

func (d *decoder) value() any {
	switch kind := d.take(1)[0]; kind {
	case kindText:
		return d.text()
	case kindUint:
		return d.u64()
	case kindInt:
		return int64(d.u64())
	case kindBytes:
		return append([]byte{}, d.take(d.length())...)
	case kindList:
		return d.list()
	default:
		d.fail("value of the unknown kind %d", kind)
		return nil
	}
}

func (d *decoder) list() []string {
	n := int(d.u16())
	if n > MaxList || n*4 > len(d.b) {
		d.fail("a list of %d texts, at most %d are allowed and %d bytes are left", n, MaxList, len(d.b))
		return nil
	}
	list := make([]string, 0, n)
	for range n {
		list = append(list, d.text())
	}
	return list
}
