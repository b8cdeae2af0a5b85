package journal

import (
	"context"
	"encoding/binary"
	"log/slog"
	"runtime"
	"strconv"
	"strings"
)

// Limits of one record. journald takes a datagram of at most net.core.wmem_max
// (212,992 bytes by default); a record beyond loses its last fields.
const (
	maxField  = 16 << 10
	maxRecord = 128 << 10
	maxName   = 64 // journald refuses longer names
)

// A nativeHandler renders records for journald.
type nativeHandler struct {
	queue      *queue
	level      slog.Leveler
	identifier string
	group      string // names of the open groups, joined and closed with _
	fields     []byte // of WithAttrs, rendered
}

func (h *nativeHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level.Level() }

func (h *nativeHandler) Handle(_ context.Context, r slog.Record) error {
	e := newEntry(nil)
	e.add("MESSAGE", r.Message)
	e.add("PRIORITY", strconv.Itoa(priority(r.Level)))
	e.add("SYSLOG_IDENTIFIER", h.identifier)
	e.source(r.PC)
	e.data = append(e.data, h.fields...)
	r.Attrs(func(a slog.Attr) bool {
		e.attr(h.group, a)
		return true
	})
	h.queue.put(e.bytes())
	return nil
}

func (h *nativeHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	e := newEntry(h.fields)
	for _, a := range attrs {
		e.attr(h.group, a)
	}
	next := *h
	next.fields = e.bytes()
	return &next
}

func (h *nativeHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	next := *h
	next.group = h.group + name + "_"
	return &next
}

// An entry is one record in the native protocol: KEY=value and a line feed, or
// for values of several lines the key, a line feed, the length as 64 bits
// little-endian, the value and a line feed.
type entry struct{ data []byte }

func newEntry(start []byte) *entry {
	return &entry{data: append(make([]byte, 0, 512+len(start)), start...)}
}

func (e *entry) bytes() []byte { return e.data }

// add appends a field whose name is valid.
func (e *entry) add(name, value string) {
	if len(value) > maxField {
		value = value[:maxField]
	}
	if len(e.data)+len(name)+len(value)+10 > maxRecord {
		return
	}
	e.data = append(e.data, name...)
	if strings.Contains(value, "\n") {
		e.data = append(e.data, '\n')
		e.data = binary.LittleEndian.AppendUint64(e.data, uint64(len(value)))
	} else {
		e.data = append(e.data, '=')
	}
	e.data = append(e.data, value...)
	e.data = append(e.data, '\n')
}

func (e *entry) attr(group string, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			group += a.Key + "_"
		}
		for _, inner := range v.Group() {
			e.attr(group, inner)
		}
		return
	}
	if a.Key == "" {
		return
	}
	if errno, ok := errnoOf(v); ok {
		e.add("ERRNO", strconv.Itoa(int(errno)))
	}
	e.add(fieldName(group, a.Key), v.String())
}

// source appends where in the code the record was made.
func (e *entry) source(pc uintptr) {
	if pc == 0 {
		return
	}
	frame, _ := runtime.CallersFrames([]uintptr{pc}).Next()
	e.add("CODE_FILE", frame.File)
	e.add("CODE_LINE", strconv.Itoa(frame.Line))
	e.add("CODE_FUNC", frame.Function)
}

// fieldName is an attribute's key as journald allows names: A-Z, 0-9 and _, 64
// at most. The prefix keeps them apart from journald's own.
func fieldName(group, key string) string {
	if group == "" {
		switch key {
		case keyMessageID:
			return "MESSAGE_ID"
		case keyPID:
			return "OBJECT_PID"
		}
	}
	name := "PGBGW_" + strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		case 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
			return r
		}
		return '_'
	}, group+key)
	return name[:min(len(name), maxName)]
}
