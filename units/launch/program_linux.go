package launch

import (
	"context"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A program is one life of the launcher program.
type program struct {
	l       *Launcher
	pid     int // for messages
	pidfd   int
	events  uint32 // of the socket that are always waited for
	started time.Time
	dead    chan struct{} // closed when it has been reaped

	mu    sync.Mutex
	sock  int // -1: closed
	queue []*packet

	loading string      // the library whose code a launcher with modules runs; under mu
	slow    *time.Timer // says that it does not come to an end; nil: no modules
	spares  []int       // that may not have been reaped; the poller's goroutine's
}

// A packet is a request that the socket has not taken yet.
type packet struct {
	data []byte
	fds  []int
	sent chan error // of one that is queued: one value, when it has been taken or never will be
}

// spawn starts the launcher program. It stays in this process's session, by which a
// subreaper tells it from the orphans of workers, but in a process group of its
// own, so that a terminal's signals do not reach it.
func (l *Launcher) spawn() (*program, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	defer unix.Close(pair[1])
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		unix.Close(pair[0])
		return nil, err
	}
	defer null.Close()
	argv := []string{l.path, ""}
	if l.cgroups != nil {
		argv[1] = l.cgroups.protected()
	}
	files := []uintptr{null.Fd(), null.Fd(), l.opts.Stderr.Fd(), uintptr(pair[1])}
	events := uint32(0)
	if m := l.opts.Modules; m != nil {
		argv = append(argv, m.args()...)
		events = unix.EPOLLIN
		if m.Segment >= 0 {
			files = append(files, uintptr(m.Segment))
		}
	}
	p := &program{l: l, events: events, sock: pair[0], dead: make(chan struct{}), started: time.Now()}
	p.pid, err = syscall.ForkExec(l.path, argv, &syscall.ProcAttr{
		Files: files,
		Sys:   &syscall.SysProcAttr{Setpgid: true, PidFD: &p.pidfd},
	})
	if err != nil {
		unix.Close(pair[0])
		return nil, os.NewSyscallError("exec", err)
	}
	if err := l.poller.Add(p.sock, events, p.onSocket); err != nil {
		p.discard()
		return nil, err
	}
	if l.opts.Modules != nil {
		p.slow = time.AfterFunc(loadPatience, p.stillLoading)
	}
	if err := l.poller.Add(p.pidfd, unix.EPOLLIN, p.onExit); err != nil {
		l.poller.Remove(p.sock)
		p.loaded()
		p.discard()
		return nil, err
	}
	return p, nil
}

// discard ends a program that cannot be watched.
func (p *program) discard() {
	unix.Close(p.sock)
	_ = unix.PidfdSendSignal(p.pidfd, unix.SIGKILL, nil, 0)
	_, _, _ = wait(unix.P_PIDFD, p.pidfd, false)
	unix.Close(p.pidfd)
}

// probe sends what every launcher refuses and waits for the refusal.
func (p *program) probe(ctx context.Context) error {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return os.NewSyscallError("pipe2", err)
	}
	defer unix.Close(pipe[0])
	ended := make(chan struct{})
	if err := p.l.poller.Add(pipe[0], 0, func(uint32) {
		p.l.poller.Remove(pipe[0])
		close(ended)
	}); err != nil {
		unix.Close(pipe[1])
		return err
	}
	pk := &packet{data: ping(), fds: []int{pipe[1]}}
	queued, err := p.send(pk)
	if queued {
		err = <-pk.sent
	}
	unix.Close(pipe[1])
	if err != nil {
		return err
	}
	select {
	case <-ended:
	case <-ctx.Done():
		p.l.poller.Remove(pipe[0])
		p.kill()
		return fmt.Errorf("no answer: %w", ctx.Err())
	}
	b := make([]byte, 4*reportSize)
	n, _ := unix.Read(pipe[0], b)
	if _, step, _ := decodeReports(b[:max(n, 0)]); step != StepRequest {
		p.kill()
		return fmt.Errorf("this program does not speak the launcher's protocol")
	}
	return nil
}

// send hands over a packet, or queues it until the socket takes it. The descriptors
// of one that is queued must stay open until pk.sent says what became of it.
func (p *program) send(pk *packet) (queued bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := unix.Errno(unix.EAGAIN)
	if len(p.queue) == 0 {
		e = p.put(pk)
	}
	if e != unix.EAGAIN {
		return false, sendError(e)
	}
	pk.sent = make(chan error, 1)
	p.queue = append(p.queue, pk)
	_ = p.l.poller.Modify(p.sock, p.events|unix.EPOLLOUT) // on error the program is dying, and onSocket fails the queue
	return true, nil
}

// put writes a packet without waiting. p.mu is held.
func (p *program) put(pk *packet) unix.Errno {
	if p.sock < 0 {
		return unix.EPIPE
	}
	for {
		err := unix.Sendmsg(p.sock, pk.data, unix.UnixRights(pk.fds...), nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		switch e, _ := err.(unix.Errno); e {
		case unix.EINTR:
		default:
			return e
		}
	}
}

// await waits until a queued packet is sent. If ctx ends first it is taken back.
func (p *program) await(ctx context.Context, pk *packet) error {
	select {
	case err := <-pk.sent:
		return err
	case <-ctx.Done():
	}
	if p.withdraw(pk) {
		return context.Cause(ctx)
	}
	return <-pk.sent
}

// withdraw takes a packet back and reports whether that was possible.
func (p *program) withdraw(pk *packet) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, q := range p.queue {
		if q == pk {
			p.queue = append(p.queue[:i:i], p.queue[i+1:]...)
			return true
		}
	}
	return false
}

// onSocket runs when the socket takes packets again or the program is gone.
func (p *program) onSocket(events uint32) {
	if events&unix.EPOLLIN != 0 {
		p.listen()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	gone := events&(unix.EPOLLHUP|unix.EPOLLERR) != 0
	for len(p.queue) > 0 {
		err := unix.Errno(unix.EPIPE)
		if !gone {
			err = p.put(p.queue[0])
		}
		if err == unix.EAGAIN {
			break
		}
		p.queue[0].sent <- sendError(err)
		p.queue = p.queue[1:]
	}
	switch {
	case gone:
		p.closeLocked()
	case events&unix.EPOLLOUT != 0 && len(p.queue) == 0:
		p.queue = nil
		_ = p.l.poller.Modify(p.sock, p.events)
	}
}

// hangUp asks the program to end when it has served what it was sent. What it says
// until then is heard: it may have made a spare, of which nobody else tells.
func (p *program) hangUp() {
	p.mu.Lock()
	if p.sock >= 0 {
		_ = unix.Shutdown(p.sock, unix.SHUT_WR)
	}
	p.mu.Unlock()
	p.onSocket(0) // fails what is queued
}

// endTimeout bounds how long a program may take to serve what it was sent.
const endTimeout = 5 * time.Second

// end ends the program and returns when it has been reaped.
func (p *program) end() {
	p.hangUp()
	select {
	case <-p.dead:
	case <-time.After(endTimeout):
		p.kill()
		<-p.dead
	}
}

func (p *program) closeLocked() {
	if p.sock < 0 {
		return
	}
	p.l.poller.Remove(p.sock)
	unix.Close(p.sock)
	p.sock = -1
}

// kill ends a program that does not do what it should; it is replaced.
func (p *program) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pidfd >= 0 {
		_ = unix.PidfdSendSignal(p.pidfd, unix.SIGKILL, nil, 0)
	}
}

func (p *program) onExit(uint32) {
	status, _, err := wait(unix.P_PIDFD, p.pidfd, true)
	if err == unix.EAGAIN {
		return
	}
	p.l.poller.Remove(p.pidfd)
	if p.l.opts.Modules != nil {
		p.listen() // its last words
	}
	p.onSocket(unix.EPOLLHUP)
	p.mu.Lock()
	unix.Close(p.pidfd)
	p.pidfd = -1
	p.mu.Unlock()
	p.loaded()
	p.endSpares(func() {
		close(p.dead)
		p.l.lost(p, p.blame(describe(status)))
	})
}

func describe(s syscall.WaitStatus) string {
	if s.Signaled() {
		return "killed by " + unix.SignalName(s.Signal())
	}
	return fmt.Sprintf("exit code %d", s.ExitStatus())
}

// sendError turns the errno of a send into an error.
func sendError(e unix.Errno) error {
	if e == 0 {
		return nil
	}
	return os.NewSyscallError("sendmsg", e)
}
