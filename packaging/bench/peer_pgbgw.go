package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pg-bgw/pg-bgw/dbusapi"
)

// pgbgw is the supervisor that this module is about, built from this checkout,
// on a private dbus-daemon, with a cgroup of its own where we are root. There
// is one for each way in which a worker can be registered.
type pgbgw struct {
	seat
	way     way
	bus     *spawned
	proc    *spawned
	client  *dbusapi.Client
	events  <-chan dbusapi.Event
	program string
	slots   int // max_worker_processes
	major   int // whose modules the workers are; 0: they are programs
	// Of byPhase: in a word by what the server is watched.
	evidence string
	settings string // more lines of pg-bgw.hcl
	cgroup   string // "": none
	handles  map[int]dbusapi.Handle
	// Who registers the others, of byControl or byModuleControl, or of byModule; nil: nobody.
	inside    *controller
	registrar *registrar
	members   *members // the workers that exchange messages, in Go; nil: none
	inC       *members // the same in C
}

const outstanding = 64 // calls at once; a system bus allows 128

// ourBus is as a system bus is, limits included, but lets everybody talk.
const ourBus = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=%s</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/>
  </policy>
</busconfig>
`

func newPgbgw(w way) func(at seat) peer {
	return func(at seat) peer { return &pgbgw{seat: at, way: w, slots: 1101, handles: map[int]dbusapi.Handle{}} }
}

func (p *pgbgw) name() string {
	switch {
	case p.evidence != "":
		return p.way.name() + "-" + p.evidence
	case p.major != 0:
		return fmt.Sprint(p.way.name(), "-", p.major)
	}
	return p.way.name()
}

func (p *pgbgw) missing() string {
	if _, err := os.Stat("cmd/pg-bgwd/main.go"); err != nil {
		return "the working directory is not the checkout, there is no cmd/pg-bgwd"
	}
	if _, err := exec.LookPath("dbus-daemon"); err != nil {
		return "no dbus-daemon (package dbus-daemon)"
	}
	if p.major != 0 {
		return missingHeaders(p.major)
	}
	return ""
}

func (p *pgbgw) traits() traits {
	note := p.name() + ": " + p.way.note()
	if p.cgroup == "" {
		note += " Without cgroups, which need root and cgroup v2: compare with care."
	}
	return traits{perWorker: 1, note: note, only: p.way.scenarios()}
}

func (p *pgbgw) path(elem ...string) string {
	return p.lab.path(append([]string{p.name()}, elem...)...)
}

func (p *pgbgw) open(ctx context.Context) error {
	if err := p.compile(ctx); err != nil {
		return err
	}
	if p.way == byPair {
		if err := p.compileMember(ctx); err != nil {
			return err
		}
	}
	if p.major != 0 {
		if err := p.compileModules(ctx); err != nil {
			return err
		}
	}
	for _, dir := range []string{"run", "state", "workers.d"} {
		if err := os.MkdirAll(p.path(dir), 0o755); err != nil {
			return err
		}
	}
	err := p.define()
	if err == nil {
		err = errors.Join(
			os.WriteFile(p.path("bus.conf"), fmt.Appendf(nil, ourBus, p.path("bus")), 0o644),
			os.WriteFile(p.path("pg-bgw.hcl"), fmt.Appendf(nil, "max_worker_processes = %d\n%s", p.slots, p.settings), 0o644),
		)
	}
	if err != nil {
		return err
	}
	if err := p.launch(); err != nil {
		return err
	}
	if err := p.connect(ctx); err != nil {
		return fmt.Errorf("%w\n%s", err, p.lab.tail(p.name()))
	}
	return nil
}

// launch starts the bus and the daemon, which waits for the bus by itself.
func (p *pgbgw) launch() error {
	log, err := p.lab.logFile(p.name())
	if err != nil {
		return err
	}
	defer log.Close()
	bus := exec.Command("dbus-daemon", "--config-file="+p.path("bus.conf"), "--nofork", "--nopidfile")
	bus.Stdout, bus.Stderr = log, log
	if p.bus, err = p.lab.spawn(bus, syscall.SIGTERM); err != nil {
		return err
	}
	err = until(context.Background(), 5*time.Second, "dbus-daemon comes up", func() bool {
		_, err := os.Stat(p.path("bus"))
		return err == nil || p.bus.ended()
	})
	if err != nil {
		return err
	}
	daemon := exec.Command(p.built("pg-bgwd"), "--config", p.path("pg-bgw.hcl"), "--workers", p.path("workers.d"),
		"--bus", "unix:path="+p.path("bus"), "--runtime-dir", p.path("run"))
	daemon.Env = append(os.Environ(), "STATE_DIRECTORY="+p.path("state"))
	daemon.Stdout, daemon.Stderr = log, log
	cg, err := p.makeCgroup(daemon)
	if err != nil {
		return err
	}
	defer cg.Close()
	p.proc, err = p.lab.spawn(daemon, syscall.SIGTERM)
	return err
}

// makeCgroup has the daemon start in a cgroup that is its own, as under
// systemd. The file is nil without one, and may be closed all the same.
func (p *pgbgw) makeCgroup(daemon *exec.Cmd) (*os.File, error) {
	if !p.lab.root || cgroup2Mount() == "" {
		return nil, nil
	}
	dir := filepath.Join(cgroup2Mount(), filepath.Base(p.lab.dir)+"-"+p.name())
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	p.cgroup = dir
	cg, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	daemon.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(cg.Fd())}
	return cg, nil
}

func (p *pgbgw) connect(ctx context.Context) error {
	var client *dbusapi.Client
	var last error
	err := until(ctx, 5*time.Second, "dbus-daemon listens", func() bool { // its socket's name comes before that
		client, last = dbusapi.Dial("unix:path=" + p.path("bus"))
		return last == nil || p.bus.ended()
	})
	if err = errors.Join(err, last); err != nil {
		return err
	}
	p.client = client
	err = until(ctx, 20*time.Second, "pg-bgwd takes its name", func() bool {
		_, err := client.Manager(ctx)
		return err == nil || p.proc.ended()
	})
	if err == nil {
		p.events, err = client.Events(context.Background(), false)
	}
	if p.inside != nil {
		err = errors.Join(err, p.inside.accept(ctx))
	}
	if p.registrar != nil && err == nil {
		err = p.registrar.accept()
	}
	for _, m := range []*members{p.members, p.inC} {
		if m != nil && err == nil {
			err = m.accept()
		}
	}
	return err
}

func (p *pgbgw) prepare(ctx context.Context, n int, program string) error {
	p.program = program
	return nil
}

// pipelined makes n calls, never more than outstanding at a time.
func pipelined(ctx context.Context, n int, call func(ctx context.Context, k int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var callers sync.WaitGroup
	for range min(n, outstanding) {
		callers.Go(func() {
			for k := int(next.Add(1)) - 1; k < n && ctx.Err() == nil; k = int(next.Add(1)) - 1 {
				if err := call(ctx, k); err != nil {
					cancel(err)
				}
			}
		})
	}
	callers.Wait()
	return context.Cause(ctx)
}

func (p *pgbgw) start(ctx context.Context, first, n int) (int64, error) {
	if p.inside != nil {
		o := order{Op: orderStart, First: first, N: n, Program: p.lab.path(p.program), Ledger: p.book.path}
		if p.major != 0 {
			o.Program, o.Library = "", p.library()
		}
		r, err := p.inside.ask(ctx, o)
		return r.Asked, err
	}
	if p.registrar != nil {
		err := p.registrar.ask(ctx, "start", first, n, p.library())
		return p.book.at(first).asked, err
	}
	p.drain()
	if p.way == byList {
		t := monotonic()
		return t, p.registerList(ctx, first, n)
	}
	handles := make([]dbusapi.Handle, n)
	t := monotonic()
	err := pipelined(ctx, n, func(ctx context.Context, k int) (err error) {
		handles[k], err = p.register(ctx, first+k)
		return err
	})
	for k, h := range handles {
		p.handles[first+k] = h
	}
	return t, err
}

// drain forgets what was told so far.
func (p *pgbgw) drain() {
	for {
		select {
		case <-p.events:
		default:
			return
		}
	}
}

// stop terminates workers and is told of each that it is gone, so that its
// slot is free.
func (p *pgbgw) stop(ctx context.Context, first, n int) error {
	if p.inside != nil {
		_, err := p.inside.ask(ctx, order{Op: orderStop, First: first, N: n})
		return err
	}
	if p.registrar != nil {
		return p.registrar.ask(ctx, "stop", first, n, p.library())
	}
	p.drain()
	gone := map[dbusapi.Handle]bool{}
	for i := first; i < first+n; i++ {
		gone[p.handles[i]] = true
	}
	asked := make(chan error, 1)
	go func() {
		asked <- pipelined(ctx, n, func(ctx context.Context, k int) error {
			return p.client.TerminateBackgroundWorker(ctx, p.handles[first+k])
		})
	}()
	told := p.told(ctx, gone)
	return errors.Join(<-asked, told)
}

// told waits for the owner's notice that each of these has stopped.
func (p *pgbgw) told(ctx context.Context, handles map[dbusapi.Handle]bool) error {
	for len(handles) > 0 {
		select {
		case e, ok := <-p.events:
			switch {
			case !ok:
				return errors.New("the bus is gone")
			case e.Kind == dbusapi.EventMissed: // nobody read during the restarts before
				if err := p.lookAgain(ctx, handles); err != nil {
					return err
				}
			case e.Kind == dbusapi.EventStateChanged && e.Change.Status == dbusapi.StatusStopped:
				delete(handles, e.Handle)
			}
		case <-ctx.Done():
			return fmt.Errorf("not told that %d workers stopped: %w", len(handles), context.Cause(ctx))
		}
	}
	return nil
}

// lookAgain takes out those that have stopped, as a client does that was too
// slow for its notices.
func (p *pgbgw) lookAgain(ctx context.Context, handles map[dbusapi.Handle]bool) error {
	workers, err := p.client.Workers(ctx)
	if err != nil {
		return err
	}
	there := map[dbusapi.Handle]bool{}
	for _, w := range workers {
		there[w.Handle] = w.Status != dbusapi.StatusStopped
	}
	for h := range handles {
		if !there[h] {
			delete(handles, h)
		}
	}
	return nil
}

func (p *pgbgw) terminate(ctx context.Context, i int) (time.Duration, error) {
	if p.inside != nil {
		r, err := p.inside.ask(ctx, order{Op: orderStop, First: i, N: 1})
		return time.Duration(r.Took), err
	}
	p.drain()
	asked := make(chan error, 1)
	t := monotonic()
	go func() { asked <- p.client.TerminateBackgroundWorker(ctx, p.handles[i]) }()
	if err := p.told(ctx, map[dbusapi.Handle]bool{p.handles[i]: true}); err != nil {
		return 0, err
	}
	took := time.Duration(monotonic() - t)
	return took, <-asked
}

// processes are the daemon and the launchers, which are among its children.
func (p *pgbgw) processes() []int {
	pids := []int{p.proc.pid()}
	for _, pid := range children(p.proc.pid()) {
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if strings.HasPrefix(string(bytes.TrimSpace(comm)), "pg-bgw-launch") {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (p *pgbgw) spenders() spenders {
	all := p.processes()
	s := spenders{supervisor: all[:1], launcher: all[1:], asking: []int{p.bus.pid(), os.Getpid()}}
	if p.inside != nil {
		s.asking = []int{p.inside.pid}
	}
	if p.registrar != nil {
		s.asking = []int{p.registrar.pid}
	}
	return s
}

func (p *pgbgw) close() error {
	if p.client != nil {
		p.client.Close()
		p.client = nil
	}
	p.inside.close()
	p.registrar.close()
	p.members.close()
	p.inC.close()
	p.proc.stop(syscall.SIGTERM)
	p.bus.stop(syscall.SIGTERM)
	err := os.RemoveAll(p.path())
	if p.cgroup == "" {
		return err
	}
	os.WriteFile(filepath.Join(p.cgroup, "cgroup.kill"), []byte("1"), 0)
	return errors.Join(err, removeCgroupSoon(p.cgroup))
}
