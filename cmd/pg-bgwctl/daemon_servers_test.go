package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/pg-bgw/pg-bgw/dbusapi"
	"github.com/pg-bgw/pg-bgw/policy"
)

// serve reads the servers of a JSON file; Age is in seconds, as for workers.
func (d *daemon) serve(text string) {
	var fs []struct {
		dbusapi.ServerInfo
		Age int64
	}
	if err := json.Unmarshal([]byte(text), &fs); err != nil {
		panic(err)
	}
	d.manager.Standalone, d.manager.Phases = false, map[string]string{}
	for _, f := range fs {
		if f.Age != 0 {
			f.Changed.Realtime = uint64(time.Now().Add(-time.Duration(f.Age) * time.Second).UnixMicro())
		}
		d.servers = append(d.servers, f.ServerInfo)
		d.manager.Phases[f.Name] = f.Phase
	}
}

// setPhase is what a server does by itself.
func (d *daemon) setPhase(name, phase string) {
	d.mu.Lock()
	i := slices.IndexFunc(d.servers, func(s serverInfo) bool { return s.Name == name })
	before := d.servers[i]
	d.servers[i].Phase = phase
	after := d.servers[i]
	d.mu.Unlock()
	d.server.ServerChanged(before, after)
}

func (d *daemon) Servers(context.Context, dbusapi.Caller) ([]serverInfo, error) {
	d.note("Servers")
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.servers), nil
}

// TerminateForDatabase takes all workers of a database, whatever their server.
func (d *daemon) TerminateForDatabase(_ context.Context, c dbusapi.Caller, server, database string) (terminated, remaining []handle, err error) {
	if err := d.decide(policy.Terminate); err != nil {
		return nil, nil, err
	}
	d.note(fmt.Sprintf("TerminateForDatabase %q %q", server, database))
	if server == "nosuch" {
		return nil, nil, dbusapi.Errorf(dbusapi.ErrorInvalidArgs, "server: there is no server %q; the servers are main", server)
	}
	d.mu.Lock()
	all := workers(mapped(d.workers)).where(func(w *workerInfo) bool { return w.Definition.Database == database && !hasEnded(w) })
	d.mu.Unlock()
	slices.SortFunc(all, func(a, b workerInfo) int { return int(a.Handle.Slot) - int(b.Handle.Slot) })
	for _, w := range all {
		if slices.Contains(w.Definition.Flags, "interruptible") {
			terminated = append(terminated, w.Handle)
			d.halt(w.Handle, "ended", "terminated")
		} else {
			remaining = append(remaining, w.Handle)
		}
	}
	return terminated, remaining, nil
}
