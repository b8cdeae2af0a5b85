package launch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// errUnserved is a request that no child came of because the launcher died.
var errUnserved = errors.New("the launcher died before it had started the worker")

// A start is a request that is under way. It is guarded by its Process's mu.
type start struct {
	spec    *Spec
	status  int                   // read end of the status pipe, -1 when it has been closed
	token   uint64                // of kin
	result  chan error            // one value: nil when the program runs, else after all is gone; nil with then
	then    func(*Process, error) // called once with the same on the poller's goroutine or another; nil: none
	failure error                 // what result will be when nothing is left
}

// Start starts a worker and returns when it has executed its program.
//
// If Start returns an error, nothing of the worker is left and exited is never
// called. Otherwise exited is called exactly once, when the leader has exited
// and its whole tree is gone; that may be before Start has returned. It is
// called on the poller's goroutine, or another, and must not block.
//
// A ctx that ends first kills what there is of the worker. (If the launcher does not
// run at that time, Start returns a second later; the child that may still come
// of it is killed as soon as it exists, and its ID is in use until then.)
//
// Errors: *SpecError, *StartError, ErrClosed, those of ctx, and others that
// nobody can decide on.
func (l *Launcher) Start(ctx context.Context, spec Spec, exited func(Exit)) (*Process, error) {
	type answer struct {
		p   *Process
		err error
	}
	c := make(chan answer, 1)
	l.Begin(ctx, spec, func(p *Process, err error) { c <- answer{p, err} }, exited)
	a := <-c
	return a.p, a.err
}

// Begin is Start for a caller with many workers: it returns when the launcher
// has been sent the request, so that starts begun one after the other are carried
// out in that order, and calls started once, with what Start would return, perhaps
// before Begin has returned, on the poller's goroutine or another: it must not block.
// Until then the descriptors of spec must stay open and nothing in it be changed. It
// waits while there is no launcher, and for a launcher that does not read.
func (l *Launcher) Begin(ctx context.Context, spec Spec, started func(*Process, error), exited func(Exit)) {
	rq, err := l.newRequest(ctx, &spec, exited)
	if err != nil {
		started(nil, err)
		return
	}
	answer := func(p *Process, err error) {
		if err != nil {
			p = nil
		}
		started(p, err)
	}
	waits := ctx.Done() != nil
	if !waits { // nobody cancels
		rq.then = func(p *Process, err error) {
			if errors.Is(err, errUnserved) {
				go func() { answer(rq.again(ctx)) }()
				return
			}
			answer(p, err)
		}
	}
	p, st, err := rq.send(ctx)
	switch {
	case err != nil && !errors.Is(err, errUnserved):
		started(nil, err)
	case err != nil || waits:
		go func() {
			if err == nil {
				err = p.await(ctx, st)
			}
			if errors.Is(err, errUnserved) {
				p, err = rq.again(ctx)
			}
			answer(p, err)
		}()
	}
}

// A request is a Spec in the launcher's language, and the launcher program that
// it was sent to last.
type request struct {
	l      *Launcher
	spec   *Spec
	data   []byte
	files  []int
	exited func(Exit)
	then   func(*Process, error) // of its start
	prog   *program
}

func (l *Launcher) newRequest(ctx context.Context, spec *Spec, exited func(Exit)) (*request, error) {
	if err := spec.check(l.cgroups.supports); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("cannot start worker %s: %w", spec.ID, context.Cause(ctx))
	}
	data, files, err := encode(spec, l.cgroups != nil)
	return &request{l: l, spec: spec, data: data, files: files, exited: exited}, err
}

// send sends the request to a program other than the last. What becomes of it is
// the result of the Process's start; errUnserved says that nothing did.
func (rq *request) send(ctx context.Context) (*Process, *start, error) {
	prog, err := rq.l.program(ctx, rq.prog)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot start worker %s: %w", rq.spec.ID, err)
	}
	rq.prog = prog
	p := &Process{l: rq.l, id: rq.spec.ID, exited: rq.exited, pidfd: -1}
	st, err := p.request(ctx, prog, rq)
	return p, st, err
}

// again sends a request that a dead launcher had not served to one other, and waits
// for what becomes of it.
func (rq *request) again(ctx context.Context) (*Process, error) {
	rq.prog.kill() // no-op on a dead one; one that lives and swallows requests is broken
	rq.then = nil
	p, st, err := rq.send(ctx)
	if err == nil {
		err = p.await(ctx, st)
	}
	if errors.Is(err, errUnserved) {
		rq.prog.kill()
		err = fmt.Errorf("cannot start worker %s: %w", rq.spec.ID, err)
	}
	return p, err
}

// request makes the worker's cgroup and status pipe and sends one request, whose
// start it returns.
func (p *Process) request(ctx context.Context, prog *program, rq *request) (*start, error) {
	st := &start{spec: rq.spec, status: -1, then: rq.then}
	if st.then == nil {
		st.result = make(chan error, 1)
	}
	p.start = st
	fds := make([]int, 1, len(rq.files)+2)
	if p.l.cgroups != nil {
		dir, err := p.l.cgroups.make(p.id, rq.spec.Limits)
		if err != nil {
			return nil, err
		}
		defer unix.Close(dir)
		fds = append(fds, dir)
	}
	write, err := p.openStatus(st)
	if err != nil {
		p.abandonTree()
		return nil, fmt.Errorf("cannot start worker %s: %w", p.id, err)
	}
	fds[0] = write
	pk := &packet{data: rq.data, fds: append(fds, rq.files...)}
	queued, err := prog.send(pk)
	if queued {
		err = prog.await(ctx, pk)
	}
	if err != nil && !errors.Is(err, unix.EPIPE) && !errors.Is(err, unix.ECONNRESET) {
		p.cancel(err)
	}
	unix.Close(write) // the launcher has its own; if it has none, this ends the start
	if err != nil && st.then == nil {
		return nil, <-st.result
	}
	return st, nil
}

// answer gives the start its result.
func (st *start) answer(p *Process, err error) {
	if st.then != nil {
		st.then(p, err)
		return
	}
	st.result <- err
}

// openStatus makes the status pipe, watches its read end and returns the other.
// No events but the end of file are asked for: one wake-up per start.
func (p *Process) openStatus(st *start) (write int, err error) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return -1, os.NewSyscallError("pipe2", err)
	}
	st.status = pipe[0]
	if st.token, err = kin.begin(p.id); err != nil {
		unix.Close(pipe[0])
		unix.Close(pipe[1])
		return -1, err
	}
	if err := p.l.poller.Add(pipe[0], 0, p.onStatus); err != nil {
		kin.settle(st.token, p)
		unix.Close(pipe[0])
		unix.Close(pipe[1])
		return -1, err
	}
	p.l.poller.starts.Add(1)
	return pipe[1], nil
}

// abandonTree removes the cgroup of a start that never had a process.
func (p *Process) abandonTree() {
	if p.l.cgroups == nil {
		return
	}
	if err := p.l.cgroups.rmdir(p.id); err != nil {
		p.l.opts.Notice(fmt.Errorf("cannot remove the cgroup of worker %s, which did not start: %w", p.id, err))
	}
}

// cancelGrace is how long a canceled Start still waits for the launcher, which
// needs microseconds if it runs at all.
const cancelGrace = time.Second

// await returns the result. A ctx that ends kills the worker; then there is no
// result to wait for unless a child is known to exist.
func (p *Process) await(ctx context.Context, st *start) error {
	select {
	case err := <-st.result:
		return err
	case <-ctx.Done():
	}
	if p.cancel(context.Cause(ctx)) {
		return <-st.result
	}
	grace := time.NewTimer(cancelGrace)
	defer grace.Stop()
	select {
	case err := <-st.result:
		return err
	case <-grace.C:
		return fmt.Errorf("cannot start worker %s: %w", p.id, context.Cause(ctx))
	}
}

// cancel makes the start fail with cause unless it has its result already. It
// kills the child if there is one and reports whether the result will come soon.
func (p *Process) cancel(cause error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	st := p.start
	if st == nil {
		return true
	}
	if st.failure == nil {
		st.failure = fmt.Errorf("cannot start worker %s: %w", p.id, cause)
	}
	if p.phase != live {
		return true // it has failed and is being cleared away
	}
	if p.pid == 0 && st.status >= 0 {
		// The child's first act is to write its number: be told at once.
		_ = p.l.poller.Modify(st.status, unix.EPOLLIN) // fails only after Close
	}
	p.killUnwatched()
	return p.pid != 0
}

// killUnwatched kills a child that has not been seen to execute its program. It is
// an unreaped child of ours: the number is exact. p.mu is held.
func (p *Process) killUnwatched() {
	if p.pid != 0 {
		_ = unix.Kill(int(p.pid), unix.SIGKILL)
	}
}

// onNumber runs when a canceled start's child has written its number.
func (p *Process) onNumber() {
	p.mu.Lock()
	defer p.mu.Unlock()
	var b [reportSize]byte
	if n, _ := unix.Read(p.start.status, b[:]); n != reportSize {
		return
	}
	if pid, step, errno := decodeReports(b[:]); step == StepNone {
		p.pid = int32(pid)
		p.killUnwatched()
	} else if p.start.failure == nil {
		p.start.failure = startError(p.start.spec, step, errno)
	}
}

// onStatus runs on the poller's goroutine when every write end of the status
// pipe is closed: the program runs, or there is no child any more, or there never was one.
func (p *Process) onStatus(events uint32) {
	if events&unix.EPOLLHUP == 0 {
		p.onNumber()
		return
	}
	p.mu.Lock()
	st := p.start
	var b [4 * reportSize]byte
	n, _ := unix.Read(st.status, b[:])
	p.l.poller.Discard(st.status)
	p.l.poller.starts.Add(-1)
	st.status = -1
	pid, step, errno := decodeReports(b[:max(n, 0)])
	if pid != 0 {
		p.pid = int32(pid)
	}
	if step != StepNone && st.failure == nil {
		st.failure = startError(st.spec, step, errno)
	}
	known := p.pid != 0
	var err error
	if known {
		err = p.watch()
	}
	if known && err == nil && st.failure == nil {
		p.start = nil
	}
	p.mu.Unlock()
	kin.settle(st.token, p)
	switch {
	case !known:
		p.abandonTree()
		if st.failure == nil {
			st.failure = errUnserved
		}
		st.answer(p, st.failure)
	case err != nil:
		p.unwatched(err)
	case st.failure == nil:
		st.answer(p, nil)
	default:
		_ = p.Kill() // canceled; or about to exit by itself
	}
}

// watch opens the pidfd of a child of ours that nobody has waited for, and adds it to the
// poller. p.mu is held.
func (p *Process) watch() error {
	fd, err := unix.PidfdOpen(int(p.pid), 0)
	if err != nil {
		return os.NewSyscallError("pidfd_open", err)
	}
	if err := p.l.poller.Add(fd, unix.EPOLLIN, p.onExit); err != nil {
		unix.Close(fd)
		return err
	}
	p.pidfd = int32(fd)
	return nil
}
