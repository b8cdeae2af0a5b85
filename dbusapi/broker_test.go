package dbusapi

import (
	"bytes"
	"io"
	"net"
	"path/filepath"
	"testing"
)

// strictBroker returns the address of a broker before b that does what dbus-broker 37 does to a connection that has not
// negotiated descriptor passing: it closes it when an answer would hold a descriptor, as that of
// GetConnectionCredentials does.
func strictBroker(t *testing.T, b *bus) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "strict")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go relay(client, filepath.Join(b.dir, "bus"))
		}
	}()
	return "unix:path=" + socket
}

// relay carries bytes between client and the broker at socket until one of them goes, or client asks for descriptors.
func relay(client net.Conn, socket string) {
	defer client.Close()
	broker, err := net.Dial("unix", socket)
	if err != nil {
		return
	}
	defer broker.Close()
	go func() {
		_, _ = io.Copy(client, broker)
		_ = client.Close()
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		if err != nil || bytes.Contains(buffer[:n], []byte("GetConnectionCredentials")) || bytes.Contains(buffer[:n], []byte("NEGOTIATE_UNIX_FD")) {
			return
		}
		if _, err := broker.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// TestNoDescriptorsFromTheBroker: nothing that a Server or a Client does makes the broker answer with a descriptor, and a
// caller is known all the same.
func TestNoDescriptorsFromTheBroker(t *testing.T) {
	b := newBus(t, 0)
	b.address = strictBroker(t, b)
	s, f := b.serve(Options{})
	c := b.client()
	events, err := c.Events(testContext(t), true)
	if err != nil {
		t.Fatal(err)
	}
	h, err := c.RegisterDynamicBackgroundWorker(testContext(t), minimal("a"), RegisterSignalCaller)
	if err != nil {
		t.Fatal(err)
	}
	if _, caller := f.last(); caller.Name != c.conn.Names()[0] || caller.PID == 0 || caller.PIDFD == nil {
		t.Errorf("the caller is %+v", caller)
	} else {
		_ = caller.PIDFD.Close()
	}
	f.change(s, h, func(w *WorkerInfo) { w.State = "running" })
	receive(t, events, "event")
	if _, err := c.Worker(testContext(t), h); err != nil {
		t.Error(err)
	}
	if len(f.lost) != 0 {
		t.Error("the broker closed the connection")
	}
}
