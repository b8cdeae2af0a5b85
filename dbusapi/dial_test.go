package dbusapi

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// TestAddresses: what an address means, and what is said of one that means nothing.
func TestAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"unix:path=/run/x":               "/run/x",
		"unix:abstract=/tmp/y,guid=0123": "@/tmp/y",
		"unix:guid=01,path=/a%20b":       "/a b",
	} {
		if got, err := socketOf(address); got != want || err != nil {
			t.Errorf("%s: %q, %v", address, got, err)
		}
	}
	for address, want := range map[string]string{
		"":                        "is empty",
		";;":                      "is empty",
		"/run/dbus/socket":        "expected unix:path=SOCKET",
		"tcp:host=localhost":      "expected unix:path=SOCKET",
		"unix:path=":              "has no socket",
		"unix:path=%zz":           "%zz",
		"unix:path=/no/such/path": "no such file",
	} {
		if _, err := dialAny(t.Context(), address); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", address, err, want)
		}
	}
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/sys")
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "")
	t.Setenv("XDG_RUNTIME_DIR", "/run/user/1")
	for name, want := range map[string]string{"system": "unix:path=/sys", "session": "unix:path=/run/user/1/bus", "unix:x": "unix:x"} {
		if got, err := busAddress(name); got != want || err != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	t.Setenv("XDG_RUNTIME_DIR", "")
	if _, err := busAddress("session"); err == nil {
		t.Error("a session bus without any variable")
	}
}

// TestDialHungBroker: a broker that accepts and says nothing holds Start up until its context ends, not longer.
func TestDialHungBroker(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bus")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		if conn, err := listener.Accept(); err == nil {
			_, _ = conn.Read(make([]byte, 100)) // it has begun to authenticate
		}
		cancel()
	}()
	s := NewServer(newFake(), Options{Address: "unix:path=" + path})
	if err := s.Start(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestDialGarbage: a broker that talks nonsense, before or after authentication, is an error.
func TestDialGarbage(t *testing.T) {
	for _, answers := range [][]string{
		{"HELLO\r\n"},
		{"REJECTED EXTERNAL\r\n", "ERROR\r\n"},
		{"REJECTED EXTERNAL\r\n", "OK 0123\r\n", "garbage that is no message"},
		{"REJECTED EXTERNAL\r\n", "OK 0123\r\n", "l\x02\x01\x01\xff\xff\xff\xff\x01\x00\x00\x00\xff\xff\xff\xff"},
		{"REJECTED EXTERNAL\r\n", "OK 0123\r\n", "l\x02\x01\x01\x00\x00\x00\x00\x01\x00\x00\x00\x08\x00\x00\x00\x05\x01v\x00\x00\x00\x00\x00"},
		{},
	} {
		path := filepath.Join(t.TempDir(), "bus")
		listener, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			for _, answer := range answers {
				_, _ = conn.Read(make([]byte, 1000))
				_, _ = conn.Write([]byte(answer))
			}
			_, _ = conn.Read(make([]byte, 1000))
		}()
		if c, err := Dial("unix:path=" + path); err == nil {
			t.Errorf("%q: connected", answers)
			_ = c.Close()
		}
		_ = listener.Close()
	}
}
