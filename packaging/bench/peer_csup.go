package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// csup is the floor: c/csup.c, driven over its socket.
type csup struct {
	seat
	program string
	proc    *spawned
	conn    int // our end of its stdin; -1: none
}

// Operations of csup's records.
const (
	csupStart = 1
	csupStop  = 2
	csupEnded = 3
)

func newCsup(at seat) peer { return &csup{seat: at, conn: -1} }

func (c *csup) name() string    { return "csup" }
func (c *csup) missing() string { return "" }
func (c *csup) traits() traits {
	return traits{perWorker: 1, note: "csup: the floor, a C loop of vfork, exec and wait with nothing around it; asked over a socket."}
}

func (c *csup) open(ctx context.Context) error { return c.run("worker-nolibc") }

// prepare replaces csup when another worker is wanted; it needs nothing else.
func (c *csup) prepare(ctx context.Context, n int, program string) error {
	if n == 0 || program == c.program {
		return nil
	}
	if err := c.close(); err != nil {
		return err
	}
	return c.run(program)
}

func (c *csup) run(program string) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socketpair", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "csup's stdin")
	defer theirs.Close()
	cmd := exec.Command(c.lab.path("csup"), c.lab.path(program), c.book.path)
	cmd.Stdin = theirs
	c.conn, c.program = pair[0], program
	// A wait for an answer looks at its context ten times a second.
	unix.SetsockoptTimeval(c.conn, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000})
	c.proc, err = c.lab.spawn(cmd, syscall.SIGTERM)
	return err
}

func (c *csup) send(op, first, n int) error {
	m := make([]byte, 0, 12)
	for _, v := range []int{op, first, n} {
		m = binary.NativeEndian.AppendUint32(m, uint32(v))
	}
	if err := unix.Sendto(c.conn, m, unix.MSG_NOSIGNAL, nil); err != nil {
		return fmt.Errorf("cannot ask csup: %w", os.NewSyscallError("send", err))
	}
	return nil
}

// ended waits for n notices that a worker is gone for good.
func (c *csup) ended(ctx context.Context, n int) error {
	m := make([]byte, 12)
	for n > 0 {
		size, _, err := unix.Recvfrom(c.conn, m, 0)
		switch {
		case err == unix.EAGAIN || err == unix.EINTR:
			if ctx.Err() != nil {
				return fmt.Errorf("csup does not say that %d workers ended: %w", n, context.Cause(ctx))
			}
		case err != nil:
			return os.NewSyscallError("recv", err)
		case size == 0:
			return errors.New("csup is gone")
		case size == len(m) && binary.NativeEndian.Uint32(m) == csupEnded:
			n--
		}
	}
	return nil
}

func (c *csup) start(ctx context.Context, first, n int) (int64, error) {
	t := monotonic()
	return t, c.send(csupStart, first, n)
}

func (c *csup) stop(ctx context.Context, first, n int) error {
	if err := c.send(csupStop, first, n); err != nil {
		return err
	}
	return c.ended(ctx, n)
}

func (c *csup) terminate(ctx context.Context, i int) (time.Duration, error) {
	t := monotonic()
	err := c.stop(ctx, i, 1)
	return time.Duration(monotonic() - t), err
}

func (c *csup) processes() []int { return []int{c.proc.pid()} }

// close lets csup see the end of its input; it kills its workers then.
func (c *csup) spenders() spenders { return spenders{supervisor: c.processes()} }

func (c *csup) close() error {
	if c.conn >= 0 {
		unix.Close(c.conn)
		c.conn = -1
	}
	c.proc.stop(syscall.SIGTERM)
	return nil
}
