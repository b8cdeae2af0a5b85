package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pg-bgw/pg-bgw/cmd/internal/journal"
	"github.com/pg-bgw/pg-bgw/cmd/internal/sdnotify"
	"github.com/pg-bgw/pg-bgw/dbusapi"
	"github.com/pg-bgw/pg-bgw/shm"
	"github.com/pg-bgw/pg-bgw/units"
	"github.com/pg-bgw/pg-bgw/units/config"
	"github.com/pg-bgw/pg-bgw/units/launch"
	"github.com/pg-bgw/pg-bgw/units/server"
	"github.com/pg-bgw/pg-bgw/units/supervise"
	"golang.org/x/sys/unix"
)

// A Daemon is one life of pg-bgwd.
type Daemon struct {
	opts     Options
	ctx      context.Context // ends when everything has ended
	uid      uint32
	clock    clock
	level    *slog.LevelVar
	logFile  *journal.Log
	log      *slog.Logger
	notifier *sdnotify.Notifier

	lock  *os.File
	death *os.File // write end of the death pipe; never written

	exits      *launch.Poller // pidfds and cgroups: what must not wait for a worker
	sockets    *launch.Poller // control sockets and output
	launch     *launch.Launcher
	launcher   *launcher
	modules    *modules
	slots      *shm.SlotTable // written by Publish only, but for its limit
	segments   *segments
	dynamics   *dynamics
	control    *controlServer
	supervisor *supervise.Supervisor
	bus        *dbusapi.Server // nil with --bus none
	owners     *owners
	servers    servers
	passed     server.Passed // never changed after build
	census     *census

	current atomic.Pointer[config.Config]
	outcome atomic.Pointer[reloadOutcome]
	reloads sync.Mutex
	applied chan struct{} // closed when the first configuration holds
	looking chan struct{} // has room for one, who looks into shared memory
	again   chan struct{} // SIGHUP has asked for a reload that has not begun
	dirty   chan struct{}
	changes atomic.Uint64 // told so far
	undo    []func()      // in the order of what they undo

	announce sync.Mutex // orders what the manager is told of reloads and the end
	unready  int        // reloads that were announced
	stopping bool
}

// endings are the signals that ask the daemon to end.
var endings = []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT}

// errNotWanted says that the daemon was asked to end before it was ready.
var errNotWanted = errors.New("asked to end during the start")

// gcPercent has a heap of 8 MiB, or three times what is in use, collected: what a
// hundred starts allocate, most of it garbage at once, is none of that time. An
// idle daemon gives the rest back (keepStatus).
const gcPercent = 200

// processors is how many goroutines run at a time. The daemon's work is in
// short pieces that wait for each other; on more processors its idle threads
// would spin, and wake, at the cost of the very worker that is being started.
const processors = 1

// Run is one life of the daemon: it returns when a shutdown has ended every
// worker, or with an error that ExitCode has a code for.
func Run(opts Options) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	d := &Daemon{
		opts: opts, ctx: ctx, uid: uint32(os.Geteuid()), clock: newClock(), level: new(slog.LevelVar),
		segments: newSegments(), dynamics: newDynamics(), owners: newOwners(), servers: servers{watched: map[string]*watched{}},
		census: newCensus(), applied: make(chan struct{}), looking: make(chan struct{}, 1),
		again: make(chan struct{}, 1), dirty: make(chan struct{}, 1),
	}
	debug.SetGCPercent(gcPercent)
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(processors)
	}
	if opts.LogLevel != nil {
		d.level.Set(*opts.LogLevel)
	}
	if err := d.openLog(); err != nil {
		fmt.Fprintln(os.Stderr, "pg-bgwd: cannot open the log:", err)
		return err
	}
	defer d.closeLog()
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, append(endings, syscall.SIGHUP)...)
	signal.Ignore(syscall.SIGPIPE)
	defer signal.Stop(signals)

	err := d.build()
	defer d.tearDown()
	if err == nil {
		err = d.serve(signals)
	}
	if errors.Is(err, errNotWanted) {
		d.log.Info("stopped before it was ready", journal.Event(journal.DaemonStopping))
		return nil
	}
	if err != nil {
		d.fail(err)
	}
	return err
}

func (d *Daemon) openLog() error {
	l, err := journal.Open(journal.Options{
		Stderr: os.Stderr, Stream: os.Getenv("JOURNAL_STREAM"), Identifier: "pg-bgwd", Level: d.level,
	})
	if err != nil {
		return err
	}
	d.logFile, d.log = l, slog.New(l.Handler())
	d.notifier, err = sdnotify.New(os.LookupEnv)
	if err != nil {
		d.log.Warn("running without the service manager", "error", err)
	}
	return nil
}

func (d *Daemon) closeLog() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = d.logFile.Close(ctx) // nowhere left to say it
	_ = d.notifier.Close()
}

// fail says why the daemon ends: to the log, the manager and its STATUS.
func (d *Daemon) fail(err error) {
	d.log.Log(d.ctx, journal.LevelCritical, err.Error())
	d.tell(d.notifier.Status(firstLine(err)))
	if e := sdnotify.ErrnoOf(err); e != 0 {
		d.tell(d.notifier.Errno(e))
	}
}

// build makes every part, in the order in which they need each other; what is
// made is undone by tearDown, also after an error.
func (d *Daemon) build() error {
	c, err := d.load()
	if err != nil {
		return &exitError{ExitConfig, fmt.Errorf("the configuration is not valid:\n%w", err)}
	}
	d.current.Store(c)
	if d.opts.LogLevel == nil {
		d.level.Set(c.Settings.LogLevel)
	}
	if err := d.takeRuntimeDir(); err != nil {
		return err
	}
	epoch, err := nextEpoch(d.opts.stateDirectory())
	if err != nil {
		return err
	}
	if d.passed, err = passedFiles(os.Getenv); err != nil {
		return err
	}
	sdnotify.Scrub()
	d.modules = newModules(d)
	d.supervisor = supervise.New(supervise.Options{
		Launcher: (*starter)(d), Sink: d, Show: d.show, Epoch: epoch, Seed: rand.Uint64(),
	})
	for _, f := range []func() error{d.buildMemory, d.buildPollers, d.buildLaunch, d.buildBus} {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

// takeRuntimeDir makes the runtime directory and locks it: one daemon for each.
func (d *Daemon) takeRuntimeDir() error {
	if err := os.MkdirAll(d.opts.RuntimeDir, 0o755); err != nil {
		return fmt.Errorf("cannot make the runtime directory: %w", err)
	}
	path := filepath.Join(d.opts.RuntimeDir, "pg-bgwd.lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("cannot lock the runtime directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return &exitError{ExitTempFail, fmt.Errorf("another pg-bgwd runs in %s; stop it, or give --runtime-dir", d.opts.RuntimeDir)}
		}
		return fmt.Errorf("cannot lock %s: %w", path, os.NewSyscallError("flock", err))
	}
	d.lock = f
	d.undo = append(d.undo, func() { f.Close() })
	return nil
}

func (d *Daemon) buildMemory() (err error) {
	d.segments.log = d.log
	if d.slots, err = shm.CreateSlots(d.config().Settings.MaxWorkerProcesses); err != nil {
		return err
	}
	d.undo = append(d.undo, d.segments.close, d.dynamics.close, func() { d.slots.Close() })
	return nil
}

func (d *Daemon) buildPollers() (err error) {
	if d.exits, err = launch.NewPoller(); err != nil {
		return err
	}
	if d.sockets, err = launch.NewPoller(); err != nil {
		return err
	}
	d.undo = append(d.undo, func() { d.exits.Close(); d.sockets.Close() }, d.stopWatching)
	d.control = &controlServer{daemon: d, poller: d.sockets, log: d.log, conns: map[units.Run]*conn{}}
	return nil
}

func (d *Daemon) buildBus() error {
	if d.opts.Bus == "none" {
		return nil
	}
	d.bus = dbusapi.NewServer(backend{d}, dbusapi.Options{
		Address: d.opts.Bus,
		Log:     d.log,
		Lost:    func() { d.log.Warn("lost the message bus", journal.Event(journal.BusLost)) },
		Regained: func() {
			d.log.Log(d.ctx, journal.LevelNotice, "found the message bus again", journal.Event(journal.BusRegained))
		},
	})
	wanted, unwatch := signal.NotifyContext(d.ctx, endings...)
	defer unwatch()
	ctx, cancel := context.WithTimeout(wanted, 20*time.Second)
	defer cancel()
	if err := d.bus.Start(ctx); err != nil {
		if wanted.Err() != nil {
			return errNotWanted
		}
		if errors.Is(err, dbusapi.ErrNameOwned) {
			return &exitError{ExitTempFail, fmt.Errorf("%w; is another pg-bgwd running?", err)}
		}
		return fmt.Errorf("%w; is the message bus running? --bus none does without", err)
	}
	d.undo = append(d.undo, func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		_ = d.bus.Close(ctx) // what was not sent was a hint
	})
	return nil
}

// tearDown undoes build, last things first.
func (d *Daemon) tearDown() {
	for i := len(d.undo) - 1; i >= 0; i-- {
		d.undo[i]()
	}
}

// serve runs the built daemon until a shutdown is complete.
func (d *Daemon) serve(signals <-chan os.Signal) error {
	ctx, cancel := context.WithCancel(d.ctx)
	defer cancel()
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) // so that no worker of our user reads our memory
	ended := make(chan error, 1)
	go func() { ended <- d.supervisor.Run(d.ctx) }()
	d.reloads.Lock() // modules may be loaded, and register, before this one holds
	_, err := d.apply(d.config())
	d.reloads.Unlock()
	if err != nil && !errors.Is(err, supervise.ErrShuttingDown) {
		d.supervisor.Shutdown(supervise.Immediate)
		return errors.Join(err, <-ended)
	}
	close(d.applied)
	go d.keepStatus(ctx)
	go d.keepReloading(ctx)
	if every := d.notifier.WatchdogInterval(); every > 0 {
		go d.watchdog(ctx, every)
	}
	debug.FreeOSMemory() // what reading the configuration took
	d.sendStatus()
	d.announceReady()
	healthy := time.AfterFunc(healthyTime, func() { d.tell(d.notifier.Healthy()) })
	defer healthy.Stop()
	d.log.Info("ready", journal.Event(journal.DaemonStarted), slog.String("version", d.opts.Version))
	asked := 0
	for {
		select {
		case err := <-ended:
			d.announceStop()   // a crash may have been the reason (BGW-073)
			d.reloads.Lock()   // one that is under way writes what tearDown unmaps;
			d.reloads.Unlock() // none begins any more
			d.log.Info("stopped", journal.Event(journal.DaemonStopping))
			return err
		case s := <-signals:
			if s != syscall.SIGHUP {
				asked++
			}
			d.onSignal(s, asked)
		}
	}
}

// onSignal does what a signal means to the daemon. SIGTERM is fast, as
// `systemctl stop` is (PostgreSQL: smart); a second request is immediate.
func (d *Daemon) onSignal(s os.Signal, asked int) {
	switch {
	case s == syscall.SIGHUP:
		select {
		case d.again <- struct{}{}:
		default: // one that has not begun yet does for both
		}
	case s == syscall.SIGQUIT || asked > 1:
		d.shutdown(supervise.Immediate)
	default:
		d.shutdown(supervise.Fast)
	}
}

func (d *Daemon) launchNotice(err error) {
	d.log.Warn(err.Error(), journal.Event(journal.LauncherReplaced))
}
