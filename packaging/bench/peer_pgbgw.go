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
