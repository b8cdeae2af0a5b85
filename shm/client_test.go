package shm

import (
	"context"
	"errors"
	"syscall"
	"testing"

	"github.com/pg-bgw/pg-bgw/shm/control"
	"golang.org/x/sys/unix"
)

// TestSendWaits: while the supervisor does not read, a request waits until its
// ctx ends, and the next one until there is room.
func TestSendWaits(t *testing.T) {
	supervisor, worker, err := control.NewPair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(supervisor) })
	c, err := newClient(worker, func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.close() })
	filler, err := (&control.Record{Type: control.Attach, ID: 1}).Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		err = control.Send(worker, filler, -1)
	}
	if !errors.Is(err, syscall.EAGAIN) {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	for range 2 { // the second meets what the first has left
		ctx, cancel := context.WithCancel(t.Context())
		go func() { sent <- c.send(ctx, &control.Record{Type: control.Attach, ID: 2}) }()
		cancel()
		if err := <-sent; !errors.Is(err, context.Canceled) {
			t.Errorf("a canceled request: %v", err)
		}
	}
	go func() { sent <- c.send(t.Context(), &control.Record{Type: control.Attach, ID: 3}) }()
	buf := make([]byte, control.MaxRecord)
	var r control.Record
	for done := false; r.ID != 3; {
		n, err := control.Receive(supervisor, buf)
		switch {
		case err == nil:
			if err := r.Decode(buf[:n]); err != nil || r.ID == 2 {
				t.Fatalf("got request %d, %v", r.ID, err)
			}
		case done || !errors.Is(err, syscall.EAGAIN):
			t.Fatal(err)
		default:
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
			done = true
		}
	}
}
