package dbusapi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/godbus/dbus/v5"
)

// defaultSystemBus is where the system bus is when DBUS_SYSTEM_BUS_ADDRESS is not set (D-Bus specification).
const defaultSystemBus = "unix:path=/run/dbus/system_bus_socket;unix:path=/var/run/dbus/system_bus_socket"

// dialBus connects to a bus and says hello. The connection is made here and not by the bus library, so that descriptor
// passing is never negotiated (the library does not close descriptors it has no use for, and any peer could fill our
// table), a Server's peers do not reach the library (see framedConn; take is a Server's, heard a Client's), and a broker that does not answer cannot hold us beyond ctx.
func dialBus(ctx context.Context, address string, take func(head, []byte) *Error, heard func(head, []byte) bool, options ...dbus.ConnOption) (*busConn, error) {
	address, err := busAddress(address)
	if err != nil {
		return nil, err
	}
	socket, err := dialAny(ctx, address)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = socket.SetDeadline(time.Unix(1, 0)) })
	framed := &framedConn{Conn: socket, r: bufio.NewReaderSize(socket, 16<<10), take: take, heard: heard, serials: &serials{}, outbox: newOutbox(socket.Write)}
	conn, err := handshake(framed, options)
	if !stop() && err == nil {
		_ = conn.Close()
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = socket.Close()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	return &busConn{Conn: conn, framed: framed}, nil
}

// busConn is a connection to a bus whose Close always returns: the library's own waits for a write to a broker that
// does not read.
type busConn struct {
	*dbus.Conn
	framed *framedConn
}

func (c *busConn) Close() error {
	err := c.framed.Conn.Close()
	_ = c.Conn.Close()
	return err
}

func handshake(framed *framedConn, options []dbus.ConnOption) (*dbus.Conn, error) {
	conn, err := dbus.NewConn(framed, append(options, dbus.WithSerialGenerator(framed.serials))...)
	if err != nil {
		return nil, err
	}
	if err = conn.Auth(nil); err == nil {
		err = conn.Hello()
	}
	if err != nil {
		_ = conn.Close()
		return nil, fromBus(err)
	}
	return conn, nil
}

// serials numbers messages. The library's own generator keeps a map of all numbers in use.
type serials struct{ last atomic.Uint32 }

// GetSerial returns the next number; 0 is no serial.
func (s *serials) GetSerial() uint32 {
	for {
		if n := s.last.Add(1); n != 0 {
			return n
		}
	}
}

// RetireSerial does nothing: a number comes back after 2³² others.
func (s *serials) RetireSerial(uint32) {}

// busAddress resolves "system" and "session".
func busAddress(name string) (string, error) {
	switch name {
	case "system":
		if a := os.Getenv("DBUS_SYSTEM_BUS_ADDRESS"); a != "" {
			return a, nil
		}
		return defaultSystemBus, nil
	case "session":
		if a := os.Getenv("DBUS_SESSION_BUS_ADDRESS"); a != "" {
			return a, nil
		}
		if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
			return "unix:path=" + dbus.EscapeBusAddressValue(dir+"/bus"), nil
		}
		return "", errors.New("no session bus: neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR is set")
	}
	return name, nil
}

// dialAny tries the addresses of a list in turn.
func dialAny(ctx context.Context, list string) (net.Conn, error) {
	var failures []error
	for address := range strings.SplitSeq(list, ";") {
		if address == "" {
			continue
		}
		socket, err := socketOf(address)
		if err == nil {
			var conn net.Conn
			if conn, err = new(net.Dialer).DialContext(ctx, "unix", socket); err == nil {
				return conn, nil
			}
		}
		failures = append(failures, err)
	}
	if len(failures) == 0 {
		return nil, fmt.Errorf("address %q is empty: expected \"system\", \"session\" or unix:path=SOCKET", list)
	}
	return nil, errors.Join(failures...)
}

// socketOf returns the socket of one D-Bus address, in Go's spelling ("@" for an abstract one). Only unix sockets carry
// the credentials by which a broker knows us.
func socketOf(address string) (string, error) {
	keys, ok := strings.CutPrefix(address, "unix:")
	if !ok {
		return "", fmt.Errorf("address %q: expected unix:path=SOCKET or unix:abstract=NAME", address)
	}
	for pair := range strings.SplitSeq(keys, ",") {
		key, value, _ := strings.Cut(pair, "=")
		value, err := dbus.UnescapeBusAddressValue(value)
		if err != nil {
			return "", fmt.Errorf("address %q: %w", address, err)
		}
		switch {
		case value == "":
		case key == "path":
			return value, nil
		case key == "abstract":
			return "@" + value, nil
		}
	}
	return "", fmt.Errorf("address %q has no socket: expected unix:path=SOCKET or unix:abstract=NAME", address)
}
