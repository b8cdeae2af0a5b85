package daemon

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/pg-bgw/pg-bgw/shm"
	"github.com/pg-bgw/pg-bgw/shm/control"
	"github.com/pg-bgw/pg-bgw/units"
	"github.com/pg-bgw/pg-bgw/units/launch"
	"github.com/pg-bgw/pg-bgw/units/server"
	"github.com/pg-bgw/pg-bgw/units/supervise"
	"golang.org/x/sys/unix"
)

// launcher is supervise.Launcher: it makes the descriptors and the environment
// of one process and gives them to units/launch.
type launcher struct {
	launch   *launch.Launcher
	modules  *modules
	segments *segments
	slots    *shm.SlotTable
	control  *controlServer
	output   *output
	hands    *hands // begin the starts of modules
	// login is how a worker gets into its server.
	login   func(*units.Worker) (*server.Login, error)
	secrets sync.Once // one was passed
	log     *slog.Logger
	memory  bool // workers' cgroups have the memory controller
	death   int  // read end of a pipe whose write end only the daemon has
}

// Start implements supervise.Launcher.
func (l *launcher) Start(s supervise.Start, started func(supervise.Process, error), exited func(units.Exit)) {
	if s.Worker.Module() { // its launcher may have to be started
		host := func() (*launch.Launcher, error) { return l.modules.host(s.Worker.Segment, s.Incarnation) }
		l.hands.do(func() { l.begin(s, host, started, exited) })
		return
	}
	l.begin(s, func() (*launch.Launcher, error) { return l.launch, nil }, started, exited)
}

func (l *launcher) begin(s supervise.Start, by func() (*launch.Launcher, error), started func(supervise.Process, error), exited func(units.Exit)) {
	with, err := by()
	if err != nil {
		started(nil, err)
		return
	}
	p, err := l.prepare(s)
	if err != nil {
		started(nil, err)
		return
	}
	with.Begin(context.Background(), p.spec, func(proc *launch.Process, err error) {
		p.close()
		if err != nil {
			l.control.drop(s.Run)
			if s.Worker.Module() && errors.Is(err, launch.ErrClosed) { // replaced before it could serve this
				l.Start(s, started, exited)
				return
			}
			started(nil, startError(err))
			return
		}
		started(process{proc, l.limits}, nil)
	}, func(x launch.Exit) {
		l.control.finish(s.Run) // what it said last counts before its end does
		l.output.finish(s.Run)
		exited(exitOf(x))
	})
}

// startError is err without the worker's name, which everybody who is shown
// the reason of a state knows.
func startError(err error) error {
	if s, ok := errors.AsType[*launch.SpecError](err); ok {
		return fmt.Errorf("%s: %s", cmp.Or(s.Limit, s.Field), s.Why)
	}
	e, ok := errors.AsType[*launch.StartError](err)
	if !ok {
		return err
	}
	text := strings.TrimSpace(e.Step.String() + " " + e.Object)
	if e.Hint != "" {
		return fmt.Errorf("%s: %w (%s)", text, e.Err, e.Hint)
	}
	return fmt.Errorf("%s: %w", text, e.Err)
}

// prepared is what a start holds until the launcher has it.
type prepared struct {
	spec  launch.Spec
	named []byte // what PGBGW_FDS says of spec.Files from 3 on
	files []int  // to be closed by the daemon once they are passed on
}

// usualFiles is how many descriptors a worker has as a rule; a connection has more.
const usualFiles = 8

// add passes fd on under that name, and returns its number in the worker.
func (p *prepared) add(name string, fd int) int {
	n := len(p.spec.Files)
	if n > 3 {
		p.named = append(p.named, ',')
	}
	p.named = append(append(p.named, name...), ':')
	p.named = strconv.AppendInt(p.named, int64(n), 10)
	p.spec.Files = append(p.spec.Files, fd)
	return n
}

func (p *prepared) close() {
	for _, fd := range p.files {
		unix.Close(fd)
	}
}

func (l *launcher) prepare(s supervise.Start) (*prepared, error) {
	p := &prepared{named: make([]byte, 0, 64), files: make([]int, 0, usualFiles)}
	if err := l.fill(p, s); err != nil {
		p.close()
		l.control.drop(s.Run)
		return nil, err
	}
	return p, nil
}

// fill makes everything that p holds. After an error p holds what was made.
func (l *launcher) fill(p *prepared, s supervise.Start) (err error) {
	if p.spec, err = l.spec(s); err != nil {
		return err
	}
	p.spec.Files = append(make([]int, 0, usualFiles), -1, -1, -1) // standard input, output and error
	if err := l.descriptors(s, p); err != nil {
		return err
	}
	env, err := l.environment(s, p)
	if err != nil {
		return err
	}
	out, stream, err := l.output.open(s)
	if err != nil {
		return err
	}
	p.files = append(p.files, out)
	p.spec.Files[1], p.spec.Files[2] = out, out
	env = append(env, "PGBGW_FDS="+string(p.named))
	if stream != "" {
		env = append(env, "JOURNAL_STREAM="+stream)
	}
	p.spec.Env = env
	return nil
}

// descriptors adds what every worker gets.
func (l *launcher) descriptors(s supervise.Start, p *prepared) error {
	if s.Worker.Attach != units.AttachNever {
		seg, err := l.segments.get(s.Worker.Segment, s.Incarnation)
		if err != nil {
			return err
		}
		fd, err := unix.FcntlInt(uintptr(seg.Fd()), unix.F_DUPFD_CLOEXEC, 3) // a renewal may close ours at any time
		if err != nil {
			return os.NewSyscallError("fcntl", err)
		}
		p.files = append(p.files, fd)
		p.add("segment", fd)
	}
	p.add("slots", int(l.slots.ReadOnlyFile().Fd()))
	ours, theirs, err := control.NewPair()
	if err != nil {
		return fmt.Errorf("cannot make a control socket: %w", err)
	}
	p.files = append(p.files, theirs)
	if err := l.control.add(s.Run, s.Worker, ours); err != nil {
		return err
	}
	p.add("control", theirs)
	p.add("death", l.death)
	latch, err := l.segments.latch(s.Run.Slot)
	if err != nil {
		return err
	}
	p.add("latch", latch)
	return nil
}

func (l *launcher) spec(s supervise.Start) (launch.Spec, error) {
	w := s.Worker
	spec := launch.Spec{
		ID: s.Run.String(), Argv: w.Command,
		OOMScoreAdj: w.Resources.OOMScoreAdj, Nice: w.Resources.Nice,
		NoNewPrivileges: w.Sandbox.NoNewPrivileges, ReadOnlyCgroups: true,
		Limits: l.limits(w.Resources),
	}
	if w.Module() {
		spec.Main = &launch.Main{
			Library: w.LibraryName, Function: w.FunctionName,
			Flags: int32(w.Flags), StartTime: int32(w.StartTime), RestartTime: int32(w.RestartTime),
		}
	}
	if n := w.Resources.NoFile; n > 0 {
		spec.Rlimits = append(spec.Rlimits, launch.Rlimit{Resource: unix.RLIMIT_NOFILE, Soft: n, Hard: n})
	}
	if n := w.Resources.Core; n != nil {
		spec.Rlimits = append(spec.Rlimits, launch.Rlimit{Resource: unix.RLIMIT_CORE, Soft: *n, Hard: *n})
	}
	if w.User != "" {
		c, err := credential(w.User)
		if err != nil {
			return spec, err
		}
		spec.Credential = c
	}
	return spec, nil
}

// limits are those of r. A worker whose memory the kernel has to take is killed
// as a whole unless r says otherwise: half a worker is what nobody is prepared for.
func (l *launcher) limits(r units.Resources) map[string]string {
	const whole = "memory.oom.group"
	if _, ok := r.Cgroup[whole]; ok || !l.memory {
		return r.Cgroup
	}
	all := map[string]string{whole: "1"}
	maps.Copy(all, r.Cgroup)
	return all
}

// credential looks a user up; nil means the daemon's own.
func credential(name string) (*launch.Credential, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("cannot run as user %q: %w", name, err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	ids, err3 := u.GroupIds()
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, fmt.Errorf("cannot run as user %q: %w", name, err)
	}
	if uint32(uid) == uint32(os.Geteuid()) {
		return nil, nil
	}
	c := &launch.Credential{UID: uint32(uid), GID: uint32(gid)}
	for _, id := range ids {
		if g, err := strconv.ParseUint(id, 10, 32); err == nil {
			c.Groups = append(c.Groups, uint32(g))
		}
	}
	return c, nil
}

// path is what systemd gives a service's PATH.
const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment is everything but the descriptors' names: a fixed base, what
// tells the worker who it is, the connection, and last what the definition
// says.
func (l *launcher) environment(s supervise.Start, p *prepared) ([]string, error) {
	w := s.Worker
	env := append(make([]string, 0, 16), // room for what follows
		"PATH="+path, "LANG=C.UTF-8",
		"PGBGW_SLOT="+strconv.FormatUint(uint64(s.Run.Slot), 10),
		"PGBGW_GENERATION="+strconv.FormatUint(s.Run.Generation, 10),
		"PGBGW_NAME="+w.Name, "PGBGW_TYPE="+w.Type,
		"PGBGW_MAIN_ARG="+strconv.FormatUint(w.MainArg, 10),
		"PGBGW_EXTRA="+base64.StdEncoding.EncodeToString(w.Extra),
		"PGBGW_NOTIFY_PID="+strconv.FormatUint(uint64(s.Owner.Pid), 10),
	)
	if id := os.Getenv("INVOCATION_ID"); id != "" {
		env = append(env, "INVOCATION_ID="+id)
	}
	if w.Connects() {
		more, err := l.connection(w, p)
		if err != nil {
			return nil, err
		}
		env = append(env, more...)
	}
	for k, v := range w.Environment {
		if k != "PGAPPNAME" || !w.Connects() { // there it is set, as the server will show it
			env = setVar(env, k, v)
		}
	}
	return env, nil
}

// setVar sets a variable in place of one that is there.
func setVar(env []string, name, value string) []string {
	env = slices.DeleteFunc(env, func(e string) bool { return strings.HasPrefix(e, name+"=") })
	return append(env, name+"="+value)
}

// process is supervise.Process on launch.Process.
type process struct {
	p      *launch.Process
	limits func(units.Resources) map[string]string
}

func (p process) Pid() int                         { return p.p.Pid() }
func (p process) Signal(s units.Signal) error      { return p.p.Signal(syscall.Signal(s)) }
func (p process) SignalGroup(s units.Signal) error { return p.p.SignalGroup(syscall.Signal(s)) }
func (p process) Kill() error                      { return p.p.Kill() }

func (p process) Limit(r units.Resources) error {
	err := p.p.SetLimits(p.limits(r))
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

func exitOf(x launch.Exit) units.Exit {
	e := units.Exit{Pid: x.Pid, At: x.At, OOM: x.OOM}
	if x.Status.Signaled() {
		e.Signal, e.CoreDump = x.Status.Signal(), x.Status.CoreDump()
	} else {
		e.Code = x.Status.ExitStatus()
	}
	return e
}

// starter is the supervisor's Launcher before the launcher program runs: the
// two need each other.
type starter Daemon

func (s *starter) Start(st supervise.Start, started func(supervise.Process, error), exited func(units.Exit)) {
	s.launcher.Start(st, started, exited)
}

// buildLaunch starts the launcher program, with a cgroup for each worker where
// the manager has delegated ours, and says why where it has not.
func (d *Daemon) buildLaunch() error {
	cgroups, err := launch.OpenCgroups(launch.CgroupOptions{})
	if err != nil {
		d.log.Info("workers get no cgroup of their own: their trees are followed by session and environment, and limits cannot be kept", "reason", err)
		cgroups = nil
	}
	d.launch, err = launch.New(launcherPath(), launch.Options{Cgroups: cgroups, Poller: d.exits, Notice: d.launchNotice})
	if err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("cannot make the death pipe: %w", err)
	}
	d.death = w
	d.launcher = &launcher{
		memory: cgroups != nil && slices.Contains(cgroups.Controllers(), "memory"),
		launch: d.launch, modules: d.modules, segments: d.segments, slots: d.slots, control: d.control, login: d.login, log: d.log,
		death:  int(r.Fd()), // asked for once, since each Fd of a pipe is a system call
		hands:  newHands(),
		output: &output{native: d.logFile.Native(), poller: d.sockets, log: d.log, pipes: map[units.Run]*lines{}},
	}
	d.undo = append(d.undo, func() { d.modules.close(); d.launcher.hands.close(); d.launch.Close(); r.Close(); w.Close() })
	return nil
}
