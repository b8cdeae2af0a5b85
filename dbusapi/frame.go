package dbusapi

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"

	"github.com/godbus/dbus/v5"
)

// maxMessage bounds a message to a Server, in bytes; a definition needs less than half. A broker passes 32 MiB, and
// decoded that is ten times as much.
const maxMessage = 1 << 20

// maxSend bounds a message from a Server, in bytes: a system bus disconnects who sends more than 32 MiB.
const maxSend = 30 << 20

// framedConn stands between a broker and the library and hands over whole messages only; that saves system calls, because
// the library reads in many small pieces.
//
// With take set, a Server's, it also keeps from the library whatever a peer sent. A message that the broker passes and the
// library cannot decode (a dictionary with signatures as keys, say) makes the library give up the connection, and any
// peer could send one. So calls are decoded here, where a failure costs its sender an error and nobody else anything;
// and of the rest only what the broker itself says goes on.
type framedConn struct {
	net.Conn
	r       *bufio.Reader
	serials *serials
	// take gets each call, on the goroutine that reads, and must not block. body is void when it returns. An error is the
	// answer at once.
	take func(h head, body []byte) *Error
	// heard gets each message of a Client before the library, and says whether it was for it; nil: none. As take otherwise.
	heard func(h head, body []byte) bool

	outbox  *outbox
	framed  bool   // authentication is over: messages follow
	buffer  []byte // reused for each message
	pending []byte // what Read has not handed over yet
}

// endOfAuth is the last line of the authentication protocol, after which messages begin (D-Bus specification).
const endOfAuth = "BEGIN\r\n"

func (c *framedConn) Write(b []byte) (int, error) {
	if !c.framed && bytes.HasSuffix(b, []byte(endOfAuth)) {
		c.framed = true // the goroutine that reads messages starts after this write
	}
	return c.Conn.Write(b)
}

func (c *framedConn) Read(b []byte) (int, error) {
	if !c.framed {
		return c.r.Read(b)
	}
	for len(c.pending) == 0 {
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	n := copy(b, c.pending)
	c.pending = c.pending[n:]
	return n, nil
}

// Layout of a message's fixed part (D-Bus specification, "Message Format").
const (
	fixedLen   = 16
	offType    = 1
	offFlags   = 2
	offVersion = 3
	offBodyLen = 4
	offSerial  = 8
	offFields  = 12
)

// next reads a message into pending, or leaves pending empty when it is not for the library.
func (c *framedConn) next() error {
	var fixed [fixedLen]byte
	if _, err := io.ReadFull(c.r, fixed[:]); err != nil {
		return err
	}
	order := orderOf(fixed[0])
	if order == nil {
		return errors.New("the bus sent something that is no message")
	}
	fields, body := uint64(order.Uint32(fixed[offFields:])), uint64(order.Uint32(fixed[offBodyLen:]))
	head := fixedLen + (fields+7)/8*8
	if c.take != nil && head+body > maxMessage {
		return c.skip(fixed[:], head-fixedLen, body)
	}
	if head+body > 1<<27 {
		return errors.New("the bus sent a message longer than a message can be")
	}
	c.buffer = slices.Grow(c.buffer[:0], int(head+body))[:head+body]
	copy(c.buffer, fixed[:])
	if _, err := io.ReadFull(c.r, c.buffer[fixedLen:]); err != nil {
		return err
	}
	if c.take != nil {
		if dbus.Type(fixed[offType]) == dbus.TypeMethodCall {
			return c.taken(c.buffer, int(head))
		}
		if h, _ := parseHead(string(c.buffer[:head])); h.sender != busDriver {
			return nil
		}
	}
	if c.heard != nil && c.framed {
		if h, ok := parseHead(string(c.buffer[:head])); ok && c.heard(h, c.buffer[head:]) {
			return nil
		}
	}
	c.pending = c.buffer
	if cap(c.buffer) > maxMessage {
		c.buffer = nil // do not keep a big one
	}
	return nil
}

// taken hands a call, whose head is size bytes long, to take.
func (c *framedConn) taken(raw []byte, size int) error {
	h, ok := parseHead(string(raw[:size]))
	if !ok {
		return c.refuse(h, errUndecodable)
	}
	if e := c.take(h, raw[size:]); e != nil {
		return c.refuse(h, e)
	}
	return nil
}

// skip passes over a message that is too long. fields and body are the lengths of what follows its fixed part.
func (c *framedConn) skip(fixed []byte, fields, body uint64) error {
	kept := min(fields, maxMessage)
	head := append(fixed, make([]byte, kept)...)
	if _, err := io.ReadFull(c.r, head[fixedLen:]); err != nil {
		return err
	}
	if _, err := io.CopyN(io.Discard, c.r, int64(fields-kept+body)); err != nil {
		return err
	}
	h, _ := parseHead(string(head))
	return c.refuse(h, Errorf(ErrorLimitsExceeded, "a message of %d bytes is too long, at most %d", fixedLen+fields+body, maxMessage))
}

// refuse answers h with an error, if it is a call that wants an answer.
func (c *framedConn) refuse(h head, e *Error) error {
	if !h.wantsAnswer() {
		return nil
	}
	return c.send(errorMessage(h.sender, h.serial, e))
}

// send writes a message as one piece, which is never mixed with another: the library, too, writes a message at once.
// The error says that m cannot be encoded, is too long, or that the connection is gone.
func (c *framedConn) send(m *message) error { return c.sendAs(c.serials.GetSerial(), m) }

// sendAs is send with a serial that was taken before.
func (c *framedConn) sendAs(serial uint32, m *message) error {
	b, err := m.encode(serial)
	if err != nil {
		return err
	}
	if len(b) > maxSend {
		return Errorf(ErrorLimitsExceeded, "the answer has %d bytes, more than a message may; ask for less at once", len(b))
	}
	return c.outbox.put(b)
}

func orderOf(mark byte) binary.ByteOrder {
	switch mark {
	case 'l':
		return binary.LittleEndian
	case 'B':
		return binary.BigEndian
	}
	return nil
}
