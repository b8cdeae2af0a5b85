package daemon

import (
	"context"
	"slices"

	"github.com/pg-bgw/pg-bgw/dbusapi"
	"github.com/pg-bgw/pg-bgw/policy"
	"github.com/pg-bgw/pg-bgw/units"
	"github.com/pg-bgw/pg-bgw/units/supervise"
)

// backend is dbusapi.Backend: each method asks the policy, then the
// supervisor.
type backend struct{ d *Daemon }

func (b backend) allow(c dbusapi.Caller, a policy.Action) error {
	if err := policy.Decide(policy.Caller{UID: c.UID}, a, b.d.uid); err != nil {
		return dbusapi.Errorf(dbusapi.ErrorAccessDenied, "%v", err)
	}
	return nil
}

// Register implements dbusapi.Backend.
func (b backend) Register(_ context.Context, c dbusapi.Caller, def dbusapi.Definition, flags dbusapi.RegisterFlags) (dbusapi.Handle, error) {
	if err := b.allow(c, policy.Register); err != nil {
		return dbusapi.Handle{}, err
	}
	w, err := b.d.workerOf(def)
	if err != nil {
		return dbusapi.Handle{}, err
	}
	return b.register(c, w, def, flags)
}

// Instantiate implements dbusapi.Backend.
func (b backend) Instantiate(_ context.Context, c dbusapi.Caller, template, argument string, over dbusapi.Definition, flags dbusapi.RegisterFlags) (dbusapi.Handle, error) {
	if err := b.allow(c, policy.Instantiate); err != nil {
		return dbusapi.Handle{}, err
	}
	w, err := b.d.instanceOf(template, argument, over)
	if err != nil {
		return dbusapi.Handle{}, err
	}
	return b.register(c, w, over, flags)
}

// RegisterAll implements dbusapi.Backend.
func (b backend) RegisterAll(_ context.Context, c dbusapi.Caller, defs []dbusapi.Definition, flags dbusapi.RegisterFlags) ([]dbusapi.Registration, error) {
	if err := b.allow(c, policy.Register); err != nil {
		return nil, err
	}
	answers := make([]dbusapi.Registration, len(defs))
	all, of := make([]supervise.Registrant, 0, len(defs)), make([]int, 0, len(defs)) // and where their answers go
	for i, def := range defs {
		w, err := b.d.workerOf(def)
		if err == nil {
			var o supervise.Owner
			if o, err = b.owner(c, def, flags); err == nil {
				all, of = append(all, supervise.Registrant{Worker: w, Owner: o}), append(of, i)
			}
		}
		answers[i].Err = err
	}
	signal := false
	handles, errs := b.d.supervisor.RegisterAll(all)
	for k, err := range errs {
		answers[of[k]] = dbusapi.Registration{Handle: dbusapi.Handle(handles[k]), Err: busError(err)}
		b.settle(c, all[k].Owner, err)
		signal = signal || err == nil && all[k].Owner.Signal
	}
	if signal {
		c.PIDFD.Close() // owners has its own
	}
	return answers, nil
}

// register registers one worker.
func (b backend) register(c dbusapi.Caller, w *units.Worker, def dbusapi.Definition, flags dbusapi.RegisterFlags) (dbusapi.Handle, error) {
	o, err := b.owner(c, def, flags)
	if err != nil {
		return dbusapi.Handle{}, err
	}
	h, err := b.d.supervisor.Register(w, o)
	b.settle(c, o, err)
	if err != nil {
		return dbusapi.Handle{}, busError(err)
	}
	if o.Signal {
		c.PIDFD.Close() // owners has its own
	}
	return dbusapi.Handle(h), nil
}

// owner makes the caller the owner, unless it said NotifyPid 0; any other
// pid is accepted and not notified (BGW-047): nobody is made to hear of a
// worker who did not ask. settle must follow when the registration was tried.
func (b backend) owner(c dbusapi.Caller, def dbusapi.Definition, flags dbusapi.RegisterFlags) (supervise.Owner, error) {
	o := supervise.Owner{UID: c.UID}
	if !def.Set.Has(dbusapi.KeyNotifyPid) || def.NotifyPid == c.PID && c.PID != 0 {
		o.Kind, o.Bus, o.Pid = supervise.BusOwner, c.Name, c.PID
	}
	if flags&dbusapi.RegisterSignalCaller == 0 {
		return o, nil
	}
	if o.Kind == supervise.NoOwner {
		return o, invalid("flags: a signal was asked for, but NotifyPid does not name the caller")
	}
	if err := b.d.owners.add(c.Name, c.PIDFD); err != nil { // before the first start can be told
		return o, err
	}
	o.Signal = true
	return o, nil
}

// settle forgets the signal to an owner whose registration has failed with err.
func (b backend) settle(c dbusapi.Caller, o supervise.Owner, err error) {
	if err != nil && o.Signal {
		b.d.owners.remove(c.Name)
	}
}

// Worker implements dbusapi.Backend.
func (b backend) Worker(_ context.Context, c dbusapi.Caller, h dbusapi.Handle) (dbusapi.WorkerInfo, error) {
	i, ok := b.d.supervisor.Lookup(units.Handle(h))
	if !ok {
		return dbusapi.WorkerInfo{}, dbusapi.Errorf(dbusapi.ErrorNoSuchWorker, "no worker has the handle %s", h)
	}
	return b.shown(c, i), nil
}

// Workers implements dbusapi.Backend.
func (b backend) Workers(_ context.Context, c dbusapi.Caller) ([]dbusapi.WorkerInfo, error) {
	list := append(b.d.supervisor.List(), b.d.supervisor.Ended()...)
	infos := make([]dbusapi.WorkerInfo, len(list))
	for n, i := range list {
		infos[n] = b.shown(c, i)
	}
	return infos, nil
}

// Labelled implements dbusapi.Backend.
func (b backend) Labelled(_ context.Context, c dbusapi.Caller, label string) ([]dbusapi.WorkerInfo, error) {
	list := b.d.supervisor.ByLabel(label)
	infos := make([]dbusapi.WorkerInfo, len(list))
	for n, i := range list {
		infos[n] = b.shown(c, i)
	}
	return infos, nil
}

// shown leaves out what only those may see who may change a worker: an
// environment can hold secrets.
func (b backend) shown(c dbusapi.Caller, i supervise.Info) dbusapi.WorkerInfo {
	w := b.d.workerInfo(i)
	if policy.Decide(policy.Caller{UID: c.UID}, policy.Dump, b.d.uid) != nil {
		w.Definition.Environment, w.Definition.Extra = nil, nil
	}
	return w
}

// Manager implements dbusapi.Backend.
func (b backend) Manager(context.Context, dbusapi.Caller) (dbusapi.ManagerInfo, error) {
	return b.d.managerInfo(), nil
}

// Terminate implements dbusapi.Backend.
func (b backend) Terminate(_ context.Context, c dbusapi.Caller, h dbusapi.Handle) error {
	return b.change(c, policy.Terminate, func() error { return b.d.supervisor.Terminate(units.Handle(h)) })
}

// Stop implements dbusapi.Backend.
func (b backend) Stop(_ context.Context, c dbusapi.Caller, h dbusapi.Handle) error {
	return b.change(c, policy.Control, func() error { return b.d.supervisor.Stop(units.Handle(h)) })
}

// Start implements dbusapi.Backend.
func (b backend) Start(_ context.Context, c dbusapi.Caller, h dbusapi.Handle) (dbusapi.Handle, error) {
	var now units.Handle
	err := b.change(c, policy.Control, func() (err error) {
		now, err = b.d.supervisor.Start(units.Handle(h))
		return err
	})
	return dbusapi.Handle(now), err
}

// Restart implements dbusapi.Backend.
func (b backend) Restart(_ context.Context, c dbusapi.Caller, h dbusapi.Handle) error {
	return b.change(c, policy.Control, func() error { return b.d.supervisor.Restart(units.Handle(h)) })
}

// Signal implements dbusapi.Backend.
func (b backend) Signal(_ context.Context, c dbusapi.Caller, h dbusapi.Handle, sig int32) error {
	return b.change(c, policy.Signal, func() error { return b.d.supervisor.Signal(units.Handle(h), units.Signal(sig)) })
}

func (b backend) change(c dbusapi.Caller, a policy.Action, f func() error) error {
	if err := b.allow(c, a); err != nil {
		return err
	}
	return busError(f())
}

// Reload implements dbusapi.Backend.
func (b backend) Reload(ctx context.Context, c dbusapi.Caller) error {
	if err := b.allow(c, policy.Reload); err != nil {
		return err
	}
	return b.d.reload(ctx)
}

// Dump implements dbusapi.Backend.
func (b backend) Dump(_ context.Context, c dbusapi.Caller) (string, error) {
	if err := b.allow(c, policy.Dump); err != nil {
		return "", err
	}
	return b.d.supervisor.Dump(), nil
}

// Shutdown implements dbusapi.Backend.
func (b backend) Shutdown(_ context.Context, c dbusapi.Caller, mode dbusapi.ShutdownMode) error {
	if err := b.allow(c, policy.Shutdown); err != nil {
		return err
	}
	m, err := supervise.ParseMode(string(mode))
	if err != nil {
		return invalid("mode: %v", err)
	}
	b.d.shutdown(m)
	return nil
}

// OwnerGone implements dbusapi.Backend.
func (b backend) OwnerGone(name string) {
	b.d.supervisor.OwnerGone(name, false)
	b.d.owners.drop(name)
}

// BusLost implements dbusapi.Backend: every unique name is void, but who had
// one may live on, so nothing is stopped on its account.
func (b backend) BusLost() {
	var names []string
	for _, i := range b.d.supervisor.List() {
		if n := i.Owner.Bus; n != "" && !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	for _, n := range names {
		b.d.supervisor.OwnerGone(n, true)
		b.d.owners.drop(n)
	}
}

var _ dbusapi.Backend = backend{}
