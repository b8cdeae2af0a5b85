package shm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/pg-bgw/pg-bgw/shm/control"
)

// client is the worker's end of the control socket: requests from any
// goroutine, one goroutine that reads. It holds no thread while nothing
// happens.
type client struct {
	file    *os.File
	raw     syscall.RawConn
	changes chan StateChange
	sending chan struct{} // a lock that can be given up: holds one token

	mu    sync.Mutex
	next  uint64
	calls map[uint64]chan reply
	err   error // why it ended; set before done is closed

	done chan struct{}
}

// reply is an answer; fd is a descriptor that came with it, or -1.
type reply struct {
	record control.Record
	fd     int
}

// newClient takes over the control socket fd, which is this process's alone,
// and reads it in a goroutine until it ends; ended is then called once.
func newClient(fd int, ended func(error)) (*client, error) {
	f, err := pollable(fd, "control")
	if err != nil {
		return nil, err
	}
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, err
	}
	c := &client{
		file: f, raw: raw, calls: make(map[uint64]chan reply),
		changes: make(chan StateChange, maxChanges), sending: make(chan struct{}, 1), done: make(chan struct{}),
	}
	c.sending <- struct{}{}
	go func() { ended(c.read()) }()
	return c, nil
}

// call sends a request and waits for its answer, for ctx, or for the end of the
// connection. r's ID is set here. An answer that comes too late is dropped.
func (c *client) call(ctx context.Context, r control.Record) (reply, error) {
	answer := make(chan reply, 1)
	id, err := c.enter(answer)
	if err != nil {
		return reply{}, err
	}
	defer c.leave(id, answer)
	r.ID = id
	if err := c.send(ctx, &r); err != nil {
		return reply{}, err
	}
	select {
	case a := <-answer:
		return check(&r, a)
	case <-ctx.Done():
		return reply{}, ctx.Err()
	case <-c.done:
	}
	select {
	case a := <-answer: // it was the last that came
		return check(&r, a)
	default:
		return reply{}, c.err
	}
}

// tell sends a request whose answer nobody waits for. It does not wait either:
// a record that cannot be sent is lost, and the end of the connection is seen
// by read.
func (c *client) tell(r control.Record) {
	var err error
	if r.ID, err = c.enter(nil); err != nil {
		return
	}
	c.leave(r.ID, nil)
	if b, err := r.Append(nil); err == nil {
		_ = c.raw.Control(func(fd uintptr) { _ = control.Send(int(fd), b, -1) })
	}
}

// check makes an error of a refusal and of an answer to something else.
func check(r *control.Record, a reply) (reply, error) {
	switch {
	case a.record.Type != r.Type.Answer():
		closeFd(a.fd)
		return reply{}, fmt.Errorf("the supervisor answered %v with %v", r.Type, a.record.Type)
	case a.record.Errno != 0:
		closeFd(a.fd)
		return reply{}, &RefusedError{Request: r.Type.String(), Errno: a.record.Errno, Reason: a.record.Text}
	}
	return a, nil
}

func (c *client) enter(answer chan reply) (id uint64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, c.err
	}
	c.next++
	c.calls[c.next] = answer
	return c.next, nil
}

func (c *client) leave(id uint64, answer chan reply) {
	c.mu.Lock()
	delete(c.calls, id)
	c.mu.Unlock()
	select {
	case a := <-answer: // nobody took it
		c.drop(&a)
	default:
	}
}

// send writes one record. It waits while the supervisor does not read, until
// ctx ends.
func (c *client) send(ctx context.Context, r *control.Record) error {
	b, err := r.Append(nil)
	if err != nil {
		return err
	}
	select {
	case <-c.sending:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { c.sending <- struct{}{} }()
	if err := ctx.Err(); err != nil {
		return err
	}
	// There is room nearly always, and what a wait needs costs as much as the rest.
	if c.raw.Control(func(fd uintptr) { err = control.Send(int(fd), b, -1) }) != nil {
		return ErrClosed
	}
	if errors.Is(err, syscall.EAGAIN) {
		return c.sendLater(ctx, b)
	}
	return sent(err)
}

// sendLater sends b when the supervisor reads. Who calls it holds the token.
func (c *client) sendLater(ctx context.Context, b []byte) error {
	stop := context.AfterFunc(ctx, func() { c.file.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	for {
		c.file.SetWriteDeadline(time.Time{})
		if err := ctx.Err(); err != nil {
			return err
		}
		var err error
		waited := c.raw.Write(func(fd uintptr) bool {
			err = control.Send(int(fd), b, -1)
			return !errors.Is(err, syscall.EAGAIN)
		})
		switch {
		case errors.Is(waited, os.ErrDeadlineExceeded):
			continue // this call's end, or the late one of a call before
		case waited != nil:
			return ErrClosed
		}
		return sent(err)
	}
}

// sent is what sending has come to, as the caller is told.
func sent(err error) error {
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return ErrSupervisorDied
	}
	return err
}

// read takes records until the socket ends, and says why it did.
func (c *client) read() error {
	buf := make([]byte, control.MaxRecord)
	var err error
	for err == nil {
		var n, fd int
		waited := c.raw.Read(func(s uintptr) bool {
			n, fd, err = control.ReceiveWith(int(s), buf)
			return !errors.Is(err, syscall.EAGAIN)
		})
		switch {
		case waited != nil:
			err = ErrClosed
		case err != nil:
			err = ErrSupervisorDied
		default:
			err = c.take(buf[:n], fd)
		}
	}
	c.mu.Lock()
	c.err = err
	c.mu.Unlock()
	close(c.done)
	return err
}

// take hands one record on. Types that this library does not know are for a
// newer one; what cannot be read at all ends the connection.
func (c *client) take(b []byte, fd int) error {
	a := reply{fd: fd}
	err := a.record.Decode(b)
	var unknown *control.UnknownTypeError
	switch {
	case errors.As(err, &unknown) && !a.record.Type.IsAnswer():
		closeFd(fd)
		return nil
	case err != nil:
		closeFd(fd)
		return fmt.Errorf("the supervisor does not speak this library's language: %w", err)
	case a.record.Type == control.WorkerStateChanged:
		closeFd(fd)
		c.changed(&a.record)
		return nil
	}
	c.mu.Lock()
	answer := c.calls[a.record.ID]
	delete(c.calls, a.record.ID)
	if answer != nil {
		answer <- a // has room, and is under the lock so that leave sees it or take does
	}
	c.mu.Unlock()
	if answer == nil {
		c.drop(&a) // its caller has given up
	}
	return nil
}

// drop gives back what came with an answer that nobody waits for.
func (c *client) drop(a *reply) {
	closeFd(a.fd)
	switch a.record.Type {
	case control.DynamicCreate.Answer(), control.DynamicAttach.Answer(), control.DynamicNamed.Answer():
		if a.record.Errno == 0 {
			c.tell(control.Record{Type: control.DynamicDetach, Segment: a.record.Segment})
		}
	}
}

// changed queues an event, at the price of the oldest where nobody reads.
func (c *client) changed(r *control.Record) {
	change := StateChange{
		Handle: r.Handle, Start: r.Start, State: State(r.State), Status: Status(r.Status), Pid: int(r.Pid),
		ExitCode: int(r.ExitCode), ExitSignal: syscall.Signal(r.ExitSignal), Reason: r.Text,
	}
	for {
		select {
		case c.changes <- change:
			return
		default:
		}
		select {
		case <-c.changes:
		default:
		}
	}
}

// maxChanges is how many events are kept for who reads them late.
const maxChanges = 256

func (c *client) close() error { return c.file.Close() }
