package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// runsv is a supervisor of the daemontools family, runit or s6: one process
// for each service directory, told what to do by letters into its FIFO.
type runsv struct {
	seat
	family   string // "runit", "s6"
	command  string // "runsv", "s6-supervise"
	ready    bool   // it restarts at once only what said that it is ready
	program  string // what the run scripts name
	services []service
}

type service struct {
	proc    *spawned
	control *os.File // the write end of supervise/control
}

func newRunit(at seat) peer { return &runsv{seat: at, family: "runit", command: "runsv"} }
func newS6(at seat) peer {
	return &runsv{seat: at, family: "s6", command: "s6-supervise", ready: true}
}

func (r *runsv) name() string { return r.family }

func (r *runsv) missing() string {
	if _, err := exec.LookPath(r.command); err != nil {
		return "no " + r.command + " (package " + r.family + ")"
	}
	return ""
}

func (r *runsv) traits() traits {
	t := traits{minLife: 1100 * time.Millisecond, perWorker: 2}
	t.note = r.family + ": one " + r.command + " for each worker, running beforehand with the service down; asked by a letter into its FIFO, without the command-line client."
	if r.ready {
		t.note += " Workers notify readiness, without which it waits 1 s before each restart."
	}
	return t
}

func (r *runsv) open(ctx context.Context) error { return nil }

func (r *runsv) prepare(ctx context.Context, n int, program string) error {
	if n == 0 || program != r.program {
		if err := r.close(); err != nil {
			return err
		}
	}
	r.program = program
	for i := len(r.services); i < n; i++ {
		if err := r.add(i); err != nil {
			return err
		}
	}
	for i := range r.services {
		if err := r.connect(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

func (r *runsv) dir(i int) string { return r.lab.path(r.family, strconv.Itoa(i)) }

// add makes service directory i, down, and starts its supervisor. The run
// file is the worker by its "#!" line: no shell runs in between.
func (r *runsv) add(i int) error {
	dir := r.dir(i)
	script := fmt.Sprintf("#!%s %s:%d", r.lab.path(r.program), r.book.path, i)
	if r.ready {
		script += ":3"
	}
	err := errors.Join(
		os.MkdirAll(dir, 0o755),
		os.WriteFile(filepath.Join(dir, "run"), []byte(script+"\n"), 0o755),
		os.WriteFile(filepath.Join(dir, "down"), nil, 0o644),
	)
	if r.ready {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, "notification-fd"), []byte("3\n"), 0o644))
	}
	if err != nil {
		return fmt.Errorf("cannot make a service of %s: %w", r.family, err)
	}
	log, err := r.lab.logFile(r.family)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(r.command, dir)
	cmd.Stdout, cmd.Stderr = log, log
	proc, err := r.lab.spawn(cmd, syscall.SIGTERM)
	if err == nil {
		r.services = append(r.services, service{proc: proc})
	}
	return err
}

// connect opens the FIFO of supervisor i, which has a reader once it is up.
func (r *runsv) connect(ctx context.Context, i int) error {
	s := &r.services[i]
	if s.control != nil {
		return nil
	}
	fifo := filepath.Join(r.dir(i), "supervise", "control")
	err := until(ctx, 10*time.Second, r.command+" "+strconv.Itoa(i)+" comes up", func() bool {
		f, err := os.OpenFile(fifo, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if err == nil {
			s.control = f
		}
		return err == nil || s.proc.ended()
	})
	if err == nil && s.control == nil {
		err = fmt.Errorf("%s ended at once: %s", r.command, r.lab.tail(r.family))
	}
	return err
}

// tell writes one letter to each of n supervisors.
func (r *runsv) tell(letter byte, first, n int) error {
	for i := first; i < first+n; i++ {
		if _, err := r.services[i].control.Write([]byte{letter}); err != nil {
			return fmt.Errorf("cannot tell %s %d: %w", r.command, i, err)
		}
	}
	return nil
}

func (r *runsv) start(ctx context.Context, first, n int) (int64, error) {
	t := monotonic()
	return t, r.tell('u', first, n)
}

func (r *runsv) stop(ctx context.Context, first, n int) error {
	return awaitStopped(ctx, r, first, n, func() error { return r.tell('d', first, n) })
}

// terminate: nobody is told by runit; s6 can, to whom asked beforehand for the
// events of that service directory, which is a subscription and no answer.
func (r *runsv) terminate(ctx context.Context, i int) (time.Duration, error) {
	return 0, errNotOffered
}

func (r *runsv) processes() []int {
	pids := make([]int, len(r.services))
	for i, s := range r.services {
		pids[i] = s.proc.pid()
	}
	return pids
}

// close ends the supervisors, which take their workers with them.
func (r *runsv) close() error {
	var all []*spawned
	for _, s := range r.services {
		if s.control != nil {
			s.control.Close()
		}
		all = append(all, s.proc)
	}
	stopAll(all, syscall.SIGTERM)
	r.services = nil
	r.lab.forget()
	return os.RemoveAll(r.lab.path(r.family))
}
