package daemon

import (
	"context"
	"log/slog"
	"maps"
	"sync"

	"github.com/pg-bgw/pg-bgw/cmd/internal/journal"
	"github.com/pg-bgw/pg-bgw/dbusapi"
	"github.com/pg-bgw/pg-bgw/units"
	"github.com/pg-bgw/pg-bgw/units/config"
	"github.com/pg-bgw/pg-bgw/units/server"
	"github.com/pg-bgw/pg-bgw/units/supervise"
)

// servers are the watchers of the configured servers.
type servers struct {
	mu      sync.Mutex
	watched map[string]*watched // by label
}

type watched struct {
	config  config.Server
	watcher *server.Watcher
	stop    context.CancelFunc
	done    chan struct{} // closed when the watcher has returned
	state   server.State  // guarded by servers.mu
}

// watchServers follows the servers of c: those whose block is unchanged are
// left alone, but for the settings of all servers. For who follows none, beside
// others or alone, every phase is reached.
func (d *Daemon) watchServers(c *config.Config) {
	want := map[string]config.Server{}
	for _, s := range c.Servers {
		want[s.Label] = s
	}
	d.supervisor.Phase("", units.PhaseRunning)
	d.servers.mu.Lock()
	old := maps.Clone(d.servers.watched)
	d.servers.mu.Unlock()
	for label, w := range old {
		if want[label] == w.config {
			w.watcher.SetSmartStopGrace(c.Settings.SmartStopGrace)
			delete(want, label)
			continue
		}
		d.unwatch(label, w)
	}
	for _, s := range want {
		d.watch(s)
	}
}

func (d *Daemon) watch(s config.Server) {
	ctx, cancel := context.WithCancel(d.ctx)
	w := &watched{config: s, stop: cancel, done: make(chan struct{}), state: server.State{Label: s.Label, Clients: -1}}
	w.watcher = server.New(d.serverConfig(s), func(st server.State) { d.serverChanged(w, st) })
	d.servers.mu.Lock()
	d.servers.watched[s.Label] = w
	d.servers.mu.Unlock()
	if d.bus != nil {
		d.bus.ServerAdded(d.serverInfo(w.state))
	}
	go func() {
		defer close(w.done)
		w.watcher.Run(ctx)
	}()
}

// unwatch stops a watcher; nothing is known of its server from then on.
func (d *Daemon) unwatch(label string, w *watched) {
	w.stop()
	<-w.done
	d.servers.mu.Lock()
	delete(d.servers.watched, label)
	d.servers.mu.Unlock()
	d.supervisor.Phase(label, units.PhaseUnknown)
	if d.bus != nil {
		d.bus.ServerRemoved(d.serverInfo(w.state))
	}
}

// stopWatching stops all watchers; their sessions are closed when it returns.
func (d *Daemon) stopWatching() {
	d.servers.mu.Lock()
	all := maps.Clone(d.servers.watched)
	d.servers.mu.Unlock()
	for _, w := range all {
		w.stop()
	}
	for _, w := range all {
		<-w.done
	}
}

// relaxWatching lets the watchers of servers whose promotion nobody waits for
// look for it less often.
func (d *Daemon) relaxWatching() {
	d.servers.mu.Lock()
	all := maps.Clone(d.servers.watched)
	d.servers.mu.Unlock()
	for label, w := range all {
		w.watcher.Relax(!d.census.awaitsPromotion(label))
	}
}

// suspect has the watcher of a server look at it, after an end of a worker
// with a session that nobody asked for: the server may have had to do with it,
// and may not say so by itself.
func (d *Daemon) suspect(c supervise.Change) {
	if c.Kind != supervise.Exited || c.Before.State != units.Running || !c.Info.Worker.Connects() {
		return
	}
	d.servers.mu.Lock()
	defer d.servers.mu.Unlock()
	if w := d.servers.watched[c.Info.Worker.Server]; w != nil {
		w.watcher.Suspect()
	}
}

// countClients asks every watcher how many clients its server has, for a smart
// shutdown of ours.
func (d *Daemon) countClients() {
	d.servers.mu.Lock()
	defer d.servers.mu.Unlock()
	for _, w := range d.servers.watched {
		w.watcher.CountClients(true)
	}
}

// serverLabels are those of the configured servers, in their order.
func (d *Daemon) serverLabels() []string {
	var labels []string
	for _, s := range d.config().Servers {
		labels = append(labels, s.Label)
	}
	return labels
}

// serverOfLabel is what is configured of a server; nil for the standalone one.
func (d *Daemon) serverOfLabel(label string) *server.Config {
	for _, s := range d.config().Servers {
		if s.Label == label {
			c := d.serverConfig(s)
			return &c
		}
	}
	return nil
}

// serverConfig is a server block as its watcher takes it.
func (d *Daemon) serverConfig(s config.Server) server.Config {
	return server.Config{
		Label: s.Label, Conninfo: s.Conninfo, Cluster: s.Cluster, DataDirectory: s.DataDirectory,
		IsOurs: d.census.isWorker, SmartStopGrace: d.config().Settings.SmartStopGrace,
	}
}

// serverChanged passes on what a watcher has found out, in order.
func (d *Daemon) serverChanged(w *watched, st server.State) {
	d.servers.mu.Lock()
	before := w.state
	w.state = st
	d.servers.mu.Unlock()
	d.supervisor.Phase(st.Label, st.Phase())
	if st.Kind == server.SmartStop || st.Clients >= 0 {
		d.supervisor.Clients(st.Label, st.Clients)
	}
	if before.Kind != st.Kind || before.Since.IsZero() {
		d.log.Log(d.ctx, journal.LevelNotice, "server "+st.Label+" is "+st.Kind.String(),
			slog.String("server", st.Label), slog.String("phase", st.Phase().String()), slog.String("evidence", st.Evidence))
	}
	if d.bus != nil {
		d.bus.ServerChanged(d.serverInfo(before), d.serverInfo(st))
	}
	d.statusChanged()
}

// serverInfo is a server as the bus shows it.
func (d *Daemon) serverInfo(st server.State) dbusapi.ServerInfo {
	i := dbusapi.ServerInfo{
		Name: st.Label, Phase: st.Kind.String(), Evidence: st.Evidence, Changed: d.clock.stamp(st.Since),
		Demoted: st.Demoted, Clients: int32(st.Clients), Version: st.Version, PostmasterPID: uint32(st.Postmaster), Conninfo: st.Conninfo,
	}
	for t := units.PostmasterStart; t <= units.RecoveryFinished; t++ {
		if st.Phase().Permits(t) {
			i.Permits = append(i.Permits, t.String())
		}
	}
	return i
}

// Servers implements dbusapi.Backend.
func (b backend) Servers(context.Context, dbusapi.Caller) ([]dbusapi.ServerInfo, error) {
	b.d.servers.mu.Lock()
	defer b.d.servers.mu.Unlock()
	var all []dbusapi.ServerInfo
	for _, w := range b.d.servers.watched {
		all = append(all, b.d.serverInfo(w.state))
	}
	return all, nil
}

func (d *Daemon) serverState(label string) (server.State, bool) {
	d.servers.mu.Lock()
	defer d.servers.mu.Unlock()
	w, ok := d.servers.watched[label]
	if !ok {
		return server.State{}, false
	}
	return w.state, true
}

// waitsFor says what of its server a registration waits for; "" if there is
// nothing, or it cannot be known.
func (d *Daemon) waitsFor(i supervise.Info) string {
	if i.Worker == nil || i.State != units.Waiting || !i.NextStart.IsZero() {
		return ""
	}
	st, ok := d.serverState(i.Worker.Server)
	if !ok {
		return ""
	}
	switch p := st.Phase(); {
	case !p.Permits(i.Worker.StartTime):
		return i.Worker.StartTime.String() + " of " + st.Label + ": " + st.Kind.String()
	case p&units.SmartStop != 0 && i.Worker.Connects():
		return "the return of " + st.Label + ": " + st.Kind.String()
	}
	return ""
}

// phases are the servers' phases as the bus shows them.
func (d *Daemon) phases() map[string]string {
	d.servers.mu.Lock()
	defer d.servers.mu.Unlock()
	m := make(map[string]string, len(d.servers.watched))
	for label, w := range d.servers.watched {
		m[label] = w.state.Kind.String()
	}
	return m
}
