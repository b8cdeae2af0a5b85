package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"time"

	"github.com/pg-bgw/pg-bgw/shm"
	"golang.org/x/sys/unix"
)

// controlCommand makes of this program a worker of pg-bgw that registers other
// workers over its control socket: "bench control-worker SOCKET". It takes its
// orders, lines of JSON, over the socket.
const controlCommand = "control-worker"

// An order is about workers First to First+N-1, each of which writes its record
// of Ledger.
type order struct {
	Op       string
	First, N int
	Program  string // to start; or
	Library  string // whose workers to start, as c/pgext.c defines them
	Ledger   string
}

// The orders: register, answered when all are registered; and terminate,
// answered when all are gone.
const (
	orderStart = "start"
	orderStop  = "stop"
)

// A report answers an order.
type report struct {
	Asked int64  // the ledger's clock just before the first request
	Took  int64  // ns from there until the worker knew that all was done
	Error string // "" if it was
}

// controller is the benchmark's end.
type controller struct {
	listener *net.UnixListener
	conn     *net.UnixConn
	pid      int // the worker's process
	enc      *json.Encoder
	dec      *json.Decoder
}

// newController listens, before the worker is started.
func newController(path string) (*controller, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("cannot listen for the control worker: %w", err)
	}
	return &controller{listener: l}, nil
}

// accept waits for the worker, 20 s at most.
func (c *controller) accept(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { c.listener.Close() })()
	if err := c.listener.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err
	}
	conn, err := c.listener.AcceptUnix()
	if err != nil {
		return fmt.Errorf("the control worker does not come up: %w", err)
	}
	if c.pid, err = peerPID(conn); err != nil {
		return errors.Join(fmt.Errorf("cannot tell the control worker's process: %w", err), conn.Close())
	}
	c.conn, c.enc, c.dec = conn, json.NewEncoder(conn), json.NewDecoder(conn)
	return nil
}

// ask gives an order and waits for what came of it.
func (c *controller) ask(ctx context.Context, o order) (r report, err error) {
	defer context.AfterFunc(ctx, func() { c.conn.SetDeadline(time.Now()) })()
	if err = c.enc.Encode(o); err == nil {
		err = c.dec.Decode(&r)
	}
	switch {
	case ctx.Err() != nil:
		return r, fmt.Errorf("the control worker does not answer: %w", context.Cause(ctx))
	case err != nil:
		return r, fmt.Errorf("the control worker is gone: %w", err)
	case r.Error != "":
		return r, fmt.Errorf("the control worker: %s", r.Error)
	}
	return r, nil
}

// close may be called of a controller that is not there.
func (c *controller) close() {
	if c == nil {
		return
	}
	c.listener.Close()
	if c.conn != nil {
		c.conn.Close()
	}
}

// controlWorker is the worker: it serves orders until the socket is closed.
func controlWorker(ctx context.Context, path string) error {
	runtime.UnlockOSThread() // starts no process itself, and is faster without
	runtime.GOMAXPROCS(1)    // idle threads that spin are at the workers' cost
	w, err := shm.Open()
	if err != nil {
		return err
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		return errors.Join(err, w.Close())
	}
	context.AfterFunc(ctx, func() { conn.Close() })
	handles := map[int]shm.Handle{}
	in, out := json.NewDecoder(conn), json.NewEncoder(conn)
	for {
		var o order
		if in.Decode(&o) != nil {
			return w.Close()
		}
		r := report{Asked: monotonic()}
		if err := carryOut(ctx, w, handles, o); err != nil {
			r.Error = err.Error()
		}
		r.Took = monotonic() - r.Asked
		if out.Encode(r) != nil {
			return w.Close()
		}
	}
}

func carryOut(ctx context.Context, w *shm.Worker, handles map[int]shm.Handle, o order) error {
	switch o.Op {
	case orderStart:
		made := make([]shm.Handle, o.N)
		err := pipelined(ctx, o.N, func(ctx context.Context, k int) (err error) {
			i := o.First + k
			d := shm.Definition{
				Name: fmt.Sprint("bench ", i), Flags: []string{shm.FlagShmemAccess}, StartTime: shm.StartPostmasterStart,
				RestartTime: shm.RestartAfter(0),
			}
			if o.Library != "" {
				d.LibraryName, d.FunctionName, d.MainArg, d.Extra = o.Library, "bench_worker_main", uint64(i), []byte(o.Ledger)
			} else {
				d.Command = []string{o.Program, fmt.Sprintf("%s:%d", o.Ledger, i)}
			}
			made[k], err = w.Register(ctx, d)
			return err
		})
		for k, h := range made {
			handles[o.First+k] = h
		}
		return err
	case orderStop:
		for i := o.First; i < o.First+o.N; i++ {
			if err := w.Terminate(ctx, handles[i]); err != nil {
				return err
			}
		}
		for i := o.First; i < o.First+o.N; i++ {
			if err := stopped(ctx, w, handles[i]); err != nil {
				return err
			}
			delete(handles, i)
		}
		return nil
	}
	return fmt.Errorf("unknown order %q", o.Op)
}

// stopped waits until a worker is gone.
func stopped(ctx context.Context, w *shm.Worker, h shm.Handle) error {
	s, err := w.WaitShutdown(ctx, h)
	if err == nil && s != shm.StatusStopped {
		err = fmt.Errorf("worker %v is %v, want stopped", h, s)
	}
	return err
}

// peerPID is the process at the other end of a connection.
func peerPID(conn *net.UnixConn) (int, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	if e := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); e != nil {
		return 0, e
	}
	if err != nil {
		return 0, os.NewSyscallError("getsockopt", err)
	}
	return int(cred.Pid), nil
}
