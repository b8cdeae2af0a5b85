package daemon

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/pg-bgw/pg-bgw/cmd/internal/journal"
	"github.com/pg-bgw/pg-bgw/units"
	"github.com/pg-bgw/pg-bgw/units/config"
	"github.com/pg-bgw/pg-bgw/units/launch"
	"github.com/pg-bgw/pg-bgw/units/supervise"
	"golang.org/x/sys/unix"
)

// modules are the launchers that have loaded PostgreSQL's modules: one for each
// segment, in its newest incarnation. What a launcher's modules register become
// definitions of the administrator's: those of segment "main", whose launcher
// runs from the start when there is something to preload.
type modules struct {
	daemon *Daemon

	mu         sync.Mutex
	closed     bool
	hosts      map[string]*host // by segment
	asked      *config.Config   // what options are of; nil: none yet
	options    moduleOptions
	registered []launch.Registration // by the modules of the main segment
	newest     map[string]uint64     // incarnation of each segment that was renewed
	keeping    map[string]bool       // segments whose launcher cannot be started, and is tried again
}

// A host is one launcher with modules.
type host struct {
	incarnation uint64
	options     moduleOptions
	launcher    *launch.Launcher
	segment     int                   // descriptor, for the launcher's later lives
	pending     []launch.Registration // of the launcher's present life; the poller's
	ready       atomic.Bool           // its modules are loaded
	ended       sync.Once
}

// moduleOptions are what a launcher is started with; another one needs another launcher.
type moduleOptions struct {
	release, path string
	max           int
	libraries     string // joined by NULs: comparable
	settings      string // as written for them: a parameter may decide what _PG_init registers
}

func newModules(d *Daemon) *modules {
	return &modules{daemon: d, hosts: map[string]*host{}, newest: map[string]uint64{}, keeping: map[string]bool{}}
}

// segmentBase is where segments are mapped by modules, apart from each other:
// an address that neither the kernel nor the C library gives out.
const (
	segmentBase = 0x2000_0000_0000
	segmentStep = 1 << 40 // the largest segment
)

// moduleSegment is the segment of the modules that are preloaded.
const moduleSegment = units.DefaultSegment

var releaseForm = regexp.MustCompile(`^libpgbgw-pg([0-9]+)\.so$`)

// release finds the library of a major release, or of the newest for 0.
func release(major int) (string, error) {
	dir := filepath.Dir(launcherPath())
	names, err := os.ReadDir(dir)
	if err != nil {
		return "", fmt.Errorf("cannot look for PostgreSQL's releases: %w", err)
	}
	best, have := 0, []string{}
	for _, e := range names {
		if m := releaseForm.FindStringSubmatch(e.Name()); m != nil {
			n, _ := strconv.Atoi(m[1]) // digits
			best = max(best, n)
			have = append(have, m[1])
		}
	}
	if major == 0 {
		major = best
	}
	if slices.Contains(have, strconv.Itoa(major)) {
		return filepath.Join(dir, fmt.Sprintf("libpgbgw-pg%d.so", major)), nil
	}
	if best == 0 {
		return "", fmt.Errorf("modules cannot run: %s has no libpgbgw-pgNN.so of any release of PostgreSQL", dir)
	}
	return "", fmt.Errorf("modules of PostgreSQL %d cannot run: there is a library for %s in %s", major, strings.Join(have, ", "), dir)
}

// present are the options of the configuration that holds. They are looked up once
// for each: a release that is installed meanwhile is found by the next reload, or
// by the next worker if none was found before. m.mu is held.
func (m *modules) present() (moduleOptions, error) {
	c := m.daemon.config()
	if m.asked == c {
		return m.options, nil
	}
	path, err := release(c.Settings.PostgreSQL)
	if err != nil {
		return moduleOptions{}, err
	}
	m.asked, m.options = c, moduleOptions{
		release: path, path: c.Settings.DynamicLibraryPath, max: c.Settings.MaxWorkerProcesses,
		libraries: strings.Join(c.Settings.SharedPreloadLibraries, "\x00"), settings: settingsText(c.Settings.Parameters),
	}
	return m.options, nil
}

// configure has the modules of the configuration that holds loaded. Launchers of
// other options are replaced when the next worker needs one; running workers
// stay. A launcher that cannot be started now is tried again.
func (m *modules) configure(c *config.Config) {
	if len(c.Settings.SharedPreloadLibraries) == 0 {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.registered = nil
		if h := m.hosts[moduleSegment]; h != nil && h.options.libraries != "" {
			delete(m.hosts, moduleSegment) // what it says from now on does not count
			go h.end()
		}
		return
	}
	m.keep(moduleSegment)
}

// host returns the launcher of a segment's incarnation, 0 for the newest, and
// starts it where there is none. It does not wait for the modules to be loaded.
func (m *modules) host(segment string, incarnation uint64) (*launch.Launcher, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, launch.ErrClosed
	}
	return m.obtain(segment, incarnation)
}

// obtain is host with m.mu held.
func (m *modules) obtain(segment string, incarnation uint64) (*launch.Launcher, error) {
	o, err := m.present()
	if err != nil {
		return nil, err
	}
	have := m.hosts[segment]
	if incarnation == 0 {
		incarnation = max(1, m.newest[segment])
	}
	if have != nil && have.incarnation == incarnation && have.options == o {
		return have.launcher, nil
	}
	if have != nil && have.incarnation > incarnation {
		return nil, fmt.Errorf("segment %q was renewed meanwhile", segment)
	}
	h, err := m.start(segment, incarnation, o)
	if err != nil {
		return nil, err
	}
	if have != nil {
		go have.end() // it serves first what it was sent
	}
	m.hosts[segment] = h
	return h.launcher, nil
}

func (h *host) end() {
	h.ended.Do(func() {
		h.launcher.Close()
		unix.Close(h.segment)
	})
}

// start starts a launcher. m.mu is held.
func (m *modules) start(segment string, incarnation uint64, o moduleOptions) (*host, error) {
	d := m.daemon
	memory, err := d.segments.get(segment, incarnation)
	if err != nil {
		return nil, err
	}
	fd, err := unix.FcntlInt(uintptr(memory.Fd()), unix.F_DUPFD_CLOEXEC, 3) // for the launcher's later lives
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	h := &host{incarnation: incarnation, options: o, segment: fd}
	list := &launch.Modules{
		Release: o.release, Path: o.path, Settings: m.settingsPath(), MaxWorkers: o.max,
		Segment: fd, Address: segmentBase + uintptr(d.segments.number(segment))*segmentStep,
		Registered: func(r launch.Registration) { h.pending = append(h.pending, r) },
		Died:       func(string) { h.pending = nil; h.ready.Store(false) },
	}
	if o.libraries != "" {
		list.Libraries = strings.Split(o.libraries, "\x00")
	}
	list.Ready = func() {
		h.ready.Store(true)
		registered := h.pending
		h.pending = nil
		if segment == moduleSegment {
			go m.hear(h, registered)
		}
	}
	h.launcher, err = launch.New(launcherPath(), launch.Options{
		Cgroups: d.launch.Cgroups(), Poller: d.exits, Modules: list, Notice: d.launchNotice,
	})
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	d.log.Debug("loading modules", "segment", segment, "release", o.release, slog.Any("libraries", list.Libraries))
	return h, nil
}

// hear makes what the modules of h registered definitions: what they registered
// before is updated, and what they do not register any more is gone. A launcher
// that has been replaced meanwhile is not heard.
func (m *modules) hear(h *host, registered []launch.Registration) {
	d := m.daemon
	d.reloads.Lock()
	defer d.reloads.Unlock()
	m.mu.Lock()
	current := m.hosts[moduleSegment] == h
	if current {
		m.registered = registered
	}
	m.mu.Unlock()
	if !current {
		return
	}
	if _, err := d.define(d.config()); err != nil && err != supervise.ErrShuttingDown {
		d.log.Error("cannot register the modules' workers", "error", err)
	}
}

// definitions are what the modules registered, as workers whose labels are not
// among those taken, and as the configuration that holds would have them.
func (m *modules) definitions(taken map[string]bool) []*units.Worker {
	m.mu.Lock()
	registered := m.registered
	m.mu.Unlock()
	d := m.daemon
	var workers []*units.Worker
	for _, r := range registered {
		w, err := d.moduleWorker(r, taken)
		if err != nil { // as PostgreSQL: said, skipped, and all the rest goes on
			d.log.Log(d.ctx, journal.LevelNotice, "a module's registration was refused", "library", r.Library, "name", r.Name, "error", err)
			continue
		}
		taken[w.Label] = true
		workers = append(workers, w)
	}
	return workers
}

// moduleWorker makes a worker of a registration. Its label is its name as far as
// a label can have it, with a number where that is taken, so that the
// same registration in another life of the launcher has the same one.
func (d *Daemon) moduleWorker(r launch.Registration, taken map[string]bool) (*units.Worker, error) {
	w := units.Worker{
		Label: freeLabel(r.Name, taken), Name: r.Name, Type: r.Type, Flags: units.Flags(r.Flags),
		StartTime: units.StartTime(r.StartTime), RestartTime: units.RestartTime(r.RestartTime),
		LibraryName: r.Library, FunctionName: r.Function, MainArg: r.MainArg, Extra: r.Extra,
		Server: d.defaultServer(),
	}
	w = w.WithDefaults()
	if faults := w.Validate(); faults != nil {
		return nil, fmt.Errorf("%s", faultText(faults))
	}
	return &w, nil
}

var notOfLabel = regexp.MustCompile(`[^A-Za-z0-9_.@-]+`)

func freeLabel(name string, taken map[string]bool) string {
	const room = units.MaxLabel - 4
	base := strings.Trim(notOfLabel.ReplaceAllString(name, "_"), "_.@-")
	if base == "" {
		base = "module"
	}
	base = base[:min(len(base), room)]
	label := base
	for n := 2; taken[label]; n++ {
		label = base + "-" + strconv.Itoa(n)
	}
	return label
}

// hangUp has modules' workers read their parameters again.
func (m *modules) hangUp() {
	for _, i := range m.daemon.supervisor.List() {
		if i.Worker.Module() && i.Pid > 0 {
			_ = m.daemon.supervisor.Signal(i.Handle, units.Signal(unix.SIGHUP)) // one that has ended meanwhile reads them at its next start
		}
	}
}

// abandon ends the launchers that have not come to an end of loading, so that a
// shutdown does not wait for who waits for them.
func (m *modules) abandon() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	for _, h := range m.hosts {
		if !h.ready.Load() {
			go h.end()
		}
	}
}

func (m *modules) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	for _, h := range m.hosts {
		h.end()
	}
	m.hosts = map[string]*host{}
}
