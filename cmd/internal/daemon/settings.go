package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/pg-bgw/pg-bgw/cmd/internal/journal"
	"github.com/pg-bgw/pg-bgw/dbusapi"
	"github.com/pg-bgw/pg-bgw/units"
	"github.com/pg-bgw/pg-bgw/units/config"
	"github.com/pg-bgw/pg-bgw/units/server"
	"github.com/pg-bgw/pg-bgw/units/supervise"
)

// errConfig is a configuration with mistakes; Error is all of them.
type errConfig struct {
	diags *config.Diagnostics
}

func (e *errConfig) Error() string {
	var b strings.Builder
	_ = e.diags.Print(&b, 0, false) // a Builder does not fail
	return strings.TrimRight(b.String(), "\n")
}

// load reads the files. The error is an *errConfig, or about a server block.
func (d *Daemon) load() (*config.Config, error) {
	o := config.Options{MultiUser: os.Geteuid() == 0}
	if u, err := user.Current(); err == nil {
		o.User = u.Username
	}
	c, diags := config.Load(config.Paths{
		Main: d.opts.Config, MainRequired: d.opts.ConfigGiven,
		Workers: d.opts.Workers, WorkersRequired: d.opts.WorkersGiven,
	}, o)
	if diags.HasErrors() {
		return nil, &errConfig{diags}
	}
	for _, s := range c.Servers {
		if err := (server.Config{Label: s.Label, Conninfo: s.Conninfo, Cluster: s.Cluster}).Check(); err != nil {
			return nil, fmt.Errorf("server %q: %w", s.Label, err)
		}
	}
	if len(c.Settings.SharedPreloadLibraries) > 0 {
		if _, err := release(c.Settings.PostgreSQL); err != nil {
			return nil, fmt.Errorf("shared_preload_libraries: %w", err)
		}
	}
	for _, w := range diags.List() {
		d.log.Warn(w.Summary, "detail", w.Detail, "file", w.File, "line", w.Line)
	}
	return c, nil
}

// apply makes c what holds. What can fail comes first, and then nothing has changed;
// in a shutdown, which ends every worker, it does not matter what has.
func (d *Daemon) apply(c *config.Config) (supervise.ReloadResult, error) {
	if err := d.slots.SetMax(c.Settings.MaxWorkerProcesses); err != nil {
		return supervise.ReloadResult{}, err
	}
	if err := d.modules.writeSettings(c); err != nil {
		_ = d.slots.SetMax(d.config().Settings.MaxWorkerProcesses) // which it was
		return supervise.ReloadResult{}, err
	}
	d.segments.configure(c.Segments)
	d.dynamics.configure(dynamicLimits{
		perWorker: c.Settings.MaxDynamicSegmentsPerWorker, perUser: c.Settings.MaxDynamicSegments, bytes: c.Settings.DynamicMemoryMax,
	})
	d.current.Store(c)
	if d.opts.LogLevel == nil {
		d.level.Set(c.Settings.LogLevel)
	}
	d.modules.configure(c)
	r, err := d.define(c)
	d.watchServers(c)
	return r, err
}

// define gives the supervisor the definitions of c and of the modules.
func (d *Daemon) define(c *config.Config) (supervise.ReloadResult, error) {
	workers, labels := make([]*units.Worker, len(c.Workers)), map[string]bool{}
	for i := range c.Workers {
		w := c.Workers[i]
		if w.Server == "" {
			w.Server = d.defaultServer()
		}
		workers[i], labels[w.Label] = &w, true
	}
	workers = append(workers, d.modules.definitions(labels)...)
	segments := map[string]bool{}
	for _, s := range c.Segments {
		segments[s.Name] = true
	}
	return d.supervisor.Reload(workers, supervise.Settings{
		Segments:           segments,
		MaxWorkerProcesses: c.Settings.MaxWorkerProcesses,
		MaxParallelWorkers: c.Settings.MaxParallelWorkers,
		RestartAfterCrash:  c.Settings.RestartAfterCrash,
		StartSplay:         c.Settings.StartSplay,
		SmartStopGrace:     c.Settings.SmartStopGrace,
	})
}

// keepReloading reloads whenever SIGHUP has asked for it, until ctx ends.
// However many have asked meanwhile, one reload serves them.
func (d *Daemon) keepReloading(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.again:
			_ = d.reload(ctx) // it has logged its error
		}
	}
}

// reload reads the files again: all or nothing. The caller is answered when it
// is done, and the manager is told before and after. It waits for the start to
// be complete, or for ctx; in a shutdown it is refused.
func (d *Daemon) reload(ctx context.Context) error {
	select {
	case <-d.applied:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	d.reloads.Lock()
	defer d.reloads.Unlock()
	if !d.announceReload() {
		return busError(supervise.ErrShuttingDown)
	}
	defer d.announceReady()
	if d.bus != nil {
		d.bus.Reloading(true)
		defer d.bus.Reloading(false)
	}
	before := d.managerInfo()
	defer func() {
		if d.bus != nil {
			d.bus.ManagerChanged(before, d.managerInfo())
		}
	}()
	c, err := d.load()
	if err != nil {
		d.reloadFailed(err)
		return dbusapi.Errorf(dbusapi.ErrorConfigurationInvalid, "%v", err)
	}
	r, err := d.apply(c)
	if err != nil {
		if !errors.Is(err, supervise.ErrShuttingDown) { // an end has overtaken it: there is nothing to mend
			d.reloadFailed(err)
		}
		return busError(err)
	}
	d.modules.hangUp() // as PostgreSQL's postmaster does
	d.outcome.Store(&reloadOutcome{text: "ok", at: time.Now()})
	d.log.Log(d.ctx, journal.LevelNotice, "reloaded: "+r.String(), journal.Event(journal.ReloadDone))
	d.sendStatus()
	return nil
}

func (d *Daemon) reloadFailed(err error) {
	d.outcome.Store(&reloadOutcome{text: "reload failed: " + firstLine(err), at: time.Now(), failed: true})
	d.sendStatus()
	d.log.Error("reload failed, the old configuration holds:\n"+err.Error(), journal.Event(journal.ReloadFailed))
}

// reloadOutcome is how the newest load went.
type reloadOutcome struct {
	text   string
	at     time.Time
	failed bool
}

func firstLine(err error) string {
	if e, ok := errors.AsType[*errConfig](err); ok {
		if err := e.diags.Err(); err != nil {
			return err.Error()
		}
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// config is the configuration that holds.
func (d *Daemon) config() *config.Config { return d.current.Load() }

// defaultServer is the server of workers that name none: the only one, or ""
// for the standalone one.
func (d *Daemon) defaultServer() string {
	if c := d.config(); len(c.Servers) == 1 {
		return c.Servers[0].Label
	}
	return ""
}

func (d *Daemon) maxSlots() int { return d.config().Settings.MaxWorkerProcesses }

// managerInfo is what the manager object shows.
func (d *Daemon) managerInfo() dbusapi.ManagerInfo {
	c := d.config()
	n, _ := d.supervisor.Counts()
	m := dbusapi.ManagerInfo{
		Version: d.opts.Version, MaxWorkerProcesses: uint32(c.Settings.MaxWorkerProcesses),
		Workers: uint32(n.Registered), Running: uint32(n.Running), Started: d.clock.stamp(d.clock.base),
		Standalone: len(c.Servers) == 0, Phases: d.phases(), ConfigurationState: "ok",
	}
	if o := d.outcome.Load(); o != nil {
		m.ConfigurationState = o.text
	}
	return m
}

// statusLine is what `systemctl status` shows.
func (d *Daemon) statusLine() string {
	n, ok := d.supervisor.Counts()
	if !ok {
		return "stopped"
	}
	s := n.String()
	if o := d.outcome.Load(); o != nil && o.failed {
		s += fmt.Sprintf("; %s at %s, the old configuration holds", o.text, o.at.Format(time.TimeOnly))
	}
	return s
}
