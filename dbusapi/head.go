package dbusapi

import "github.com/godbus/dbus/v5"

// head is what a message says of itself, as far as we need it. The texts share memory of the message's head.
type head struct {
	kind      dbus.Type
	flags     dbus.Flags
	serial    uint32
	big       bool // big endian
	sender    string
	path      dbus.ObjectPath
	iface     string // "" if the caller left it out
	member    string
	signature string // of the body
	answers   uint32 // serial of the call that this answers, or 0
	errorName string // of an error
}

// wantsAnswer reports whether the message is a call whose sender waits.
func (h *head) wantsAnswer() bool {
	return h.kind == dbus.TypeMethodCall && h.flags&dbus.FlagNoReplyExpected == 0 && h.sender != ""
}

// parseHead reads the head of a message: its fixed part, at least fixedLen bytes that begin with a known byte order, and
// the header fields, a(yv). If it returns false, the fields before the mistake are there all the same.
func parseHead(text string) (h head, ok bool) {
	r := reader{text: text, pos: offBodyLen, big: text[0] == 'B'}
	h = head{kind: dbus.Type(text[offType]), flags: dbus.Flags(text[offFlags]), big: r.big}
	r.uint32()
	h.serial = r.uint32()
	end := fixedLen + int(r.uint32()) // beyond the text when that was cut
	for r.within(end) {
		r.align(8)
		code, kind := dbus.HeaderField(r.byte()), r.signature()
		switch {
		case code == dbus.FieldSender && kind == "s":
			h.sender = r.string()
		case code == dbus.FieldPath && kind == "o":
			h.path = dbus.ObjectPath(r.string())
		case code == dbus.FieldInterface && kind == "s":
			h.iface = r.string()
		case code == dbus.FieldMember && kind == "s":
			h.member = r.string()
		case code == dbus.FieldReplySerial && kind == "u":
			h.answers = r.uint32()
		case code == dbus.FieldErrorName && kind == "s":
			h.errorName = r.string()
		case code == dbus.FieldSignature && kind == "g":
			h.signature = r.signature()
		default:
			r.skip(kind, 0)
		}
	}
	return h, !r.bad
}
