package launch

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"
)

// Options are what New may be told. The zero value is complete.
type Options struct {
	// Cgroups is where each worker gets a cgroup of its own; nil: none, and the
	// calling process becomes a child subreaper.
	Cgroups *Cgroups
	// Poller is shared with the rest of the daemon; nil: one of its own, which
	// Close closes.
	Poller *Poller
	// Modules are what the launcher loads before it serves; nil: nothing.
	Modules *Modules
	// Stderr is the launcher's standard error; nil: that of this process.
	Stderr *os.File
	// Notice is told what is worth a log line: that the launcher died and was
	// replaced, that its modules do not come to an end of loading, that a tree
	// cannot be removed. It must not block. nil: nobody.
	Notice func(error)
}

// probeTimeout bounds how long New waits for the launcher's first word.
const probeTimeout = 10 * time.Second

// A launcher that dies is replaced at once, and then again after 100 ms, 200 ms
// and so on up to replaceMax while none of them lives for replaceMax.
const (
	replaceMin = 100 * time.Millisecond
	replaceMax = 5 * time.Second
)

// A Launcher starts processes. Its methods may be called from any goroutine.
type Launcher struct {
	path    string
	opts    Options
	poller  *Poller
	cgroups *Cgroups // nil: none

	mu      sync.Mutex
	prog    *program      // nil while there is none
	changed chan struct{} // closed and replaced when prog or closed changes
	closed  bool
	delay   time.Duration // before the next replacement

	replacing sync.WaitGroup
}

// New starts the launcher program at path, absolute, and makes sure that it
// answers.
func New(path string, opts Options) (*Launcher, error) {
	l := &Launcher{path: path, opts: opts, poller: opts.Poller, cgroups: opts.Cgroups, changed: make(chan struct{})}
	if l.opts.Stderr == nil {
		l.opts.Stderr = os.Stderr
	}
	if l.opts.Notice == nil {
		l.opts.Notice = func(error) {}
	}
	if l.cgroups == nil || os.Getpid() == 1 {
		if err := kin.adopt(); err != nil {
			return nil, fmt.Errorf("cannot start launcher: %w", err)
		}
	}
	if l.poller == nil {
		var err error
		if l.poller, err = NewPoller(); err != nil {
			return nil, fmt.Errorf("cannot start launcher: %w", err)
		}
	}
	if err := l.first(); err != nil {
		l.Close()
		return nil, fmt.Errorf("cannot start launcher %s: %w", path, err)
	}
	return l, nil
}

// Cgroups is where workers get their cgroups, for a second Launcher; nil: nowhere.
func (l *Launcher) Cgroups() *Cgroups { return l.cgroups }

func (l *Launcher) first() error {
	prog, err := l.spawn()
	if err != nil {
		return err
	}
	l.install(prog)
	if l.opts.Modules != nil {
		return nil // it serves when it has loaded them, and if one of them kills it, another is started
	}
	ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
	defer cancel()
	return prog.probe(ctx)
}

// Close ends the launcher program and waits for its end. Starts that it has
// been sent are still carried out; live workers are untouched, and their exits are
// still reported if the Poller was given. Not to be called on the poller's goroutine.
func (l *Launcher) Close() error {
	l.mu.Lock()
	prog := l.prog
	wasClosed := l.closed
	l.closed = true
	l.prog = nil
	l.wake()
	l.mu.Unlock()
	if wasClosed {
		return nil
	}
	if prog != nil {
		prog.end()
	}
	l.replacing.Wait()
	if l.opts.Poller == nil {
		return l.poller.Close()
	}
	return nil
}

// wake tells those who wait for a program to look again. l.mu is held.
func (l *Launcher) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// program returns a live launcher program other than not, waiting for it if need be.
func (l *Launcher) program(ctx context.Context, not *program) (*program, error) {
	for {
		l.mu.Lock()
		prog, closed, changed := l.prog, l.closed, l.changed
		l.mu.Unlock()
		switch {
		case closed:
			return nil, ErrClosed
		case prog != nil && prog != not:
			return prog, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("no launcher: %w", context.Cause(ctx))
		}
	}
}

// install makes prog the launcher program, or ends it if l has been closed.
func (l *Launcher) install(prog *program) {
	l.mu.Lock()
	closed := l.closed
	if !closed {
		l.prog = prog
		l.wake()
	}
	l.mu.Unlock()
	if closed {
		prog.end()
	}
}

// lost is called when prog has been reaped.
func (l *Launcher) lost(prog *program, how string) {
	l.mu.Lock()
	closed := l.closed
	if l.prog == prog {
		l.prog = nil
	}
	delay := l.delay
	if time.Since(prog.started) > replaceMax {
		delay = 0
	}
	l.delay = min(max(2*delay, replaceMin), replaceMax)
	if !closed {
		l.replacing.Add(1)
	}
	l.mu.Unlock()
	if closed {
		return
	}
	if m := l.opts.Modules; m != nil && m.Died != nil {
		m.Died(prog.atWork())
	}
	l.opts.Notice(fmt.Errorf("launcher %d died (%s); starting another in %v", prog.pid, how, delay))
	go l.replace(delay)
}

// replace starts another launcher program after delay, and tries until there is one.
func (l *Launcher) replace(delay time.Duration) {
	defer l.replacing.Done()
	for l.pause(delay) {
		prog, err := l.spawn()
		if err == nil {
			l.install(prog)
			return
		}
		delay = min(max(2*delay, replaceMin), replaceMax)
		l.opts.Notice(fmt.Errorf("cannot start launcher %s: %w; trying again in %v", l.path, err, delay))
	}
}

// pause waits for d and reports whether l is still open.
func (l *Launcher) pause(d time.Duration) bool {
	after := time.NewTimer(d)
	defer after.Stop()
	for {
		l.mu.Lock()
		closed, changed := l.closed, l.changed
		l.mu.Unlock()
		if closed {
			return false
		}
		select {
		case <-after.C:
			return true
		case <-changed:
		}
	}
}
