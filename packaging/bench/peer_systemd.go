package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/godbus/dbus/v5"
)

// systemd is a service manager booted as PID 1 of a container: a tmpfs root
// that shares this machine's /usr, no network, its own cgroup tree, asked over
// its private socket.
type systemd struct {
	seat
	cgroup     string // of the container, below the host's cgroup2 mount
	proc       *spawned
	leader     int // its PID 1, as we number it
	conn       *dbus.Conn
	signals    chan *dbus.Signal
	program    string
	subscribed bool
	life       int // grows with each start: a unit's name is never used twice
	units      map[int]string
}

const (
	systemdName  = "org.freedesktop.systemd1"
	managerDot   = systemdName + ".Manager."
	systemdPath  = "/org/freedesktop/systemd1"
	insideBench  = "/bench"        // the lab's directory in the container
	insideLedger = "/bench-ledger" // the ledger's directory
)

func newSystemd(at seat) peer { return &systemd{seat: at, units: map[int]string{}} }

func (s *systemd) name() string { return "systemd" }

func (s *systemd) missing() string {
	switch _, err := exec.LookPath("systemd-nspawn"); {
	case err != nil:
		return "no systemd-nspawn (package systemd-container)"
	case !s.lab.root:
		return "a container with systemd as PID 1 needs root"
	case cgroup2Mount() == "":
		return "no cgroup v2 mounted"
	}
	return ""
}

func (s *systemd) traits() traits {
	return traits{perWorker: 1, note: "systemd: PID 1 of a container, Restart=always, RestartSec=0, no start limit, output to null; StartTransientUnit over its private socket. A cgroup for each worker, as pg-bgw's."}
}

func (s *systemd) open(ctx context.Context) error {
	if err := s.boot(); err != nil {
		return err
	}
	if err := s.connect(ctx); err != nil {
		return fmt.Errorf("%w\n%s", err, s.lab.tail("systemd"))
	}
	return s.settle(ctx)
}

func (s *systemd) boot() error {
	s.cgroup = filepath.Join(cgroup2Mount(), filepath.Base(s.lab.dir))
	if err := os.Mkdir(s.cgroup, 0o755); err != nil {
		return err
	}
	cg, err := os.Open(s.cgroup)
	if err != nil {
		return err
	}
	defer cg.Close()
	log, err := s.lab.logFile("systemd")
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command("systemd-nspawn", "--directory=/", "--volatile=yes", "--register=no",
		"--keep-unit", "--private-network", "--console=pipe", "--machine="+filepath.Base(s.lab.dir),
		"--bind="+s.lab.dir+":"+insideBench, "--bind="+s.lab.shm+":"+insideLedger,
		"--boot", "--", "--unit=basic.target")
	cmd.Env = append(os.Environ(), "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(cg.Fd())}
	s.proc, err = s.lab.spawn(cmd, syscall.SIGTERM)
	return err
}

// connect reaches PID 1's own socket through its root directory.
func (s *systemd) connect(ctx context.Context) error {
	var last error
	err := until(ctx, 60*time.Second, "the container's systemd comes up", func() bool {
		if s.proc.ended() {
			last = errors.New("systemd-nspawn ended")
			return true
		}
		pids := children(s.proc.pid())
		if len(pids) == 0 {
			return false
		}
		s.leader = pids[0]
		s.conn, last = dialPrivate(s.leader)
		return last == nil
	})
	if last != nil || err != nil {
		return errors.Join(err, last)
	}
	s.signals = make(chan *dbus.Signal, 4096)
	s.conn.Signal(s.signals)
	return nil
}

func dialPrivate(leader int) (*dbus.Conn, error) {
	path := fmt.Sprintf("/proc/%d/root/run/systemd/private", leader)
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	socket, err := dialInside(leader, path)
	if err != nil {
		return nil, err
	}
	// Also the answers to the authentication must come.
	socket.SetDeadline(time.Now().Add(5 * time.Second))
	defer socket.SetDeadline(time.Time{})
	conn, err := dbus.NewConn(socket)
	if err != nil {
		socket.Close()
		return nil, err
	}
	if err := conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Geteuid()))}); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// settle waits until the container has booted: no job is left. A first call
// that arrives together with the end of the authentication stays unread in
// systemd's buffer until another one comes, hence the short patience.
func (s *systemd) settle(ctx context.Context) error {
	return until(ctx, 60*time.Second, "the container's systemd finishes its start", func() bool {
		var n dbus.Variant
		ctx, done := context.WithTimeout(ctx, 250*time.Millisecond)
		defer done()
		err := s.call(ctx, "org.freedesktop.DBus.Properties.Get", systemdName+".Manager", "NJobs").Store(&n)
		return err == nil && n.Value() == uint32(0)
	})
}

// call waits for an answer, 10 s at most.
func (s *systemd) call(ctx context.Context, method string, args ...any) *dbus.Call {
	ctx, done := context.WithTimeout(ctx, 10*time.Second)
	defer done()
	return s.conn.Object(systemdName, systemdPath).CallWithContext(ctx, method, 0, args...)
}

func (s *systemd) drain() {
	for {
		select {
		case <-s.signals:
		default:
			return
		}
	}
}

func (s *systemd) prepare(ctx context.Context, n int, program string) error {
	s.program = filepath.Join(insideBench, program)
	if !s.subscribed {
		return nil
	}
	s.subscribed = false
	return s.call(ctx, managerDot+"Unsubscribe").Err
}

type unitProperty struct {
	Name  string
	Value dbus.Variant
}

// auxiliaryUnit is in StartTransientUnit's signature and always absent here.
type auxiliaryUnit struct {
	Name       string
	Properties []unitProperty
}

type execCommand struct {
	Path   string
	Argv   []string
	Ignore bool
}

func (s *systemd) properties(i int) []unitProperty {
	argv := []string{s.program, fmt.Sprintf("%s/%s:%d", insideLedger, filepath.Base(s.book.path), i)}
	var all []unitProperty
	add := func(name string, v any) { all = append(all, unitProperty{name, dbus.MakeVariant(v)}) }
	add("DefaultDependencies", false)
	add("CollectMode", "inactive-or-failed")
	add("StartLimitIntervalUSec", uint64(0))
	add("Restart", "always")
	add("RestartUSec", uint64(0))
	add("StandardOutput", "null")
	add("StandardError", "null")
	add("ExecStart", []execCommand{{s.program, argv, false}})
	return all
}

// start sends all requests before it reads the first answer.
func (s *systemd) start(ctx context.Context, first, n int) (int64, error) {
	s.drain()
	calls := make(chan *dbus.Call, n)
	manager := s.conn.Object(systemdName, systemdPath)
	s.life++
	t := monotonic()
	for i := first; i < first+n; i++ {
		s.units[i] = fmt.Sprintf("bench-%d-%d.service", s.life, i)
		manager.GoWithContext(ctx, managerDot+"StartTransientUnit", 0, calls,
			s.units[i], "fail", s.properties(i), []auxiliaryUnit{})
	}
	return t, answers(ctx, calls, n)
}

// answers waits for n calls and is their first error.
func answers(ctx context.Context, calls chan *dbus.Call, n int) error {
	var first error
	for range n {
		select {
		case c := <-calls:
			if c.Err != nil && first == nil {
				first = c.Err
			}
		case <-ctx.Done():
			return fmt.Errorf("no answer: %w", context.Cause(ctx))
		}
	}
	return first
}

func (s *systemd) stop(ctx context.Context, first, n int) error {
	s.drain()
	return awaitStopped(ctx, s, first, n, func() error {
		calls := make(chan *dbus.Call, n)
		manager := s.conn.Object(systemdName, systemdPath)
		for i := first; i < first+n; i++ {
			manager.GoWithContext(ctx, managerDot+"StopUnit", 0, calls, s.units[i], "replace")
		}
		return answers(ctx, calls, n)
	})
}

// terminate is told by JobRemoved of the stop job. Signals are subscribed to
// only for it, since they cost systemd time in every other measurement.
func (s *systemd) terminate(ctx context.Context, i int) (time.Duration, error) {
	if !s.subscribed {
		if err := s.call(ctx, managerDot+"Subscribe").Err; err != nil {
			return 0, err
		}
		s.subscribed = true
	}
	s.drain()
	var job dbus.ObjectPath
	t := monotonic()
	if err := s.call(ctx, managerDot+"StopUnit", s.units[i], "replace").Store(&job); err != nil {
		return 0, err
	}
	for {
		select {
		case sig := <-s.signals:
			if sig.Name == managerDot+"JobRemoved" && len(sig.Body) > 1 && sig.Body[1] == job {
				return time.Duration(monotonic() - t), nil
			}
		case <-ctx.Done():
			return 0, fmt.Errorf("systemd does not say that %s stopped: %w", s.units[i], context.Cause(ctx))
		}
	}
}

// hostPIDs finds the container's numbers in the NSpid lines of its processes.
func (s *systemd) hostPIDs(pids []int) ([]int, error) {
	host := map[int]int{}
	err := filepath.WalkDir(s.cgroup, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "cgroup.procs" {
			return nil // a cgroup that has just gone
		}
		b, _ := os.ReadFile(path)
		for _, f := range strings.Fields(string(b)) {
			outer, _ := strconv.Atoi(f)
			if inner := innermostPID(outer); inner > 0 {
				host[inner] = outer
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := make([]int, len(pids))
	for i, pid := range pids {
		if out[i] = host[pid]; out[i] == 0 {
			return nil, fmt.Errorf("process %d of the container is not there", pid)
		}
	}
	return out, nil
}

// innermostPID is what a process calls itself, 0 if it is gone or no worker.
func innermostPID(pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "NSpid:"); ok {
			f := strings.Fields(rest)
			n, _ := strconv.Atoi(f[len(f)-1])
			return n
		}
	}
	return 0
}

func (s *systemd) processes() []int { return []int{s.leader} }

// close kills the container's PID 1, and the kernel everything with it.
func (s *systemd) close() error {
	if s.conn != nil {
		s.conn.Close()
	}
	if s.cgroup == "" {
		return nil
	}
	os.WriteFile(filepath.Join(s.cgroup, "payload", "cgroup.kill"), []byte("1"), 0)
	if s.proc != nil && !hasEnded(s.proc.pid(), 5*time.Second) {
		os.WriteFile(filepath.Join(s.cgroup, "cgroup.kill"), []byte("1"), 0)
	}
	s.proc.stop(syscall.SIGKILL)
	return errors.Join(removeCgroupSoon(s.cgroup), removeCgroupOfSystemd(filepath.Base(s.cgroup)))
}
