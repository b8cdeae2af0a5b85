package dbusapi

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/godbus/dbus/v5"
)

// Client calls a Server. Its methods may be used from any goroutine; each returns when ctx ends, with ctx's error. An
// error from the bus is an [*Error]; IsError and IsNoDaemon decide. Only a registration has the bus start the daemon.
type Client struct {
	conn    *busConn
	signals *clientSignals
	calls   *pendingCalls
}

// ListEntry is one row of ListWorkers.
type ListEntry struct {
	Handle  Handle
	Label   string
	Name    string
	Type    string
	State   string
	PID     uint32 // 0 without a process
	Segment string
	Since   uint64 // CLOCK_REALTIME µs of the last change of State
}

// dialTimeout bounds connecting where the caller gave no deadline.
const dialTimeout = 10 * time.Second

// Dial connects to the bus at address: "system", "session" or a D-Bus address. It does not need a daemon to be there.
func Dial(address string) (*Client, error) {
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	c := &Client{signals: newClientSignals(), calls: &pendingCalls{waiting: map[uint32]chan answer{}}}
	var err error
	if c.conn, err = dialBus(ctx, address, nil, c.heard, dbus.WithSignalHandler(c.signals)); err != nil {
		return nil, fmt.Errorf("cannot connect to bus %q: %w", address, err)
	}
	return c, nil
}

// Close leaves the bus. Calls under way fail, and channels of events are closed.
func (c *Client) Close() error { return c.conn.Close() }

// RegisterDynamicBackgroundWorker registers a worker. def needs Flags and RestartTime.
func (c *Client) RegisterDynamicBackgroundWorker(ctx context.Context, def Definition, flags RegisterFlags) (Handle, error) {
	return c.register(ctx, "RegisterDynamicBackgroundWorker", def, uint64(flags))
}

// RegisterDynamicBackgroundWorkers registers many workers, MaxRegistrations at most, with one call, and returns an answer
// for each. An error is of the call: nothing is registered. For more, and where all definitions are longer than a message
// may be, it is to be called again.
func (c *Client) RegisterDynamicBackgroundWorkers(ctx context.Context, defs []Definition, flags RegisterFlags) ([]Registration, error) {
	return c.registerAll(ctx, defs, flags)
}

// Instantiate registers a worker from a template.
func (c *Client) Instantiate(ctx context.Context, template, argument string, overrides Definition, flags RegisterFlags) (Handle, error) {
	return c.register(ctx, "Instantiate", template, argument, overrides, uint64(flags))
}

// GetBackgroundWorkerPid returns the status and, if started, the pid. StatusPostmasterDied when the name has no owner.
func (c *Client) GetBackgroundWorkerPid(ctx context.Context, h Handle) (Status, uint32, error) {
	return c.statusAndPID(c.manager(ctx, "GetBackgroundWorkerPid", h.Path()))
}

// WaitForBackgroundWorkerStartup returns when the start of the worker was tried (StatusStarted with a pid, or
// StatusStopped), or the daemon is gone (StatusPostmasterDied). It repeats the 20 s waits until ctx ends.
func (c *Client) WaitForBackgroundWorkerStartup(ctx context.Context, h Handle) (Status, uint32, error) {
	for {
		status, pid, err := c.statusAndPID(c.manager(ctx, "WaitForBackgroundWorkerStartup", h.Path(), microseconds(ctx)))
		if err != nil || status != StatusNotYetStarted {
			return status, pid, err
		}
		if ctx.Err() != nil {
			return "", 0, ctx.Err()
		}
	}
}

// WaitForBackgroundWorkerShutdown returns at the next exit of the worker, also one that a restart follows (BGW-042):
// StatusStopped, or StatusPostmasterDied when the daemon is gone.
func (c *Client) WaitForBackgroundWorkerShutdown(ctx context.Context, h Handle) (Status, error) {
	first, err := c.startNumber(ctx, h)
	for {
		if err != nil {
			return statusOfError(err)
		}
		var status Status
		err = c.manager(ctx, "WaitForBackgroundWorkerShutdown", h.Path(), microseconds(ctx)).Store(&status)
		if err != nil || status == StatusStopped {
			return statusOr(status, err)
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		// Between two waits the worker can end and be back; its start number, 1 for the first start, tells.
		var now uint64
		if now, err = c.startNumber(ctx, h); err == nil && now > max(first, 1) {
			return StatusStopped, nil
		}
	}
}

// TerminateBackgroundWorker has the worker ended and unregistered. No error for a stale handle.
func (c *Client) TerminateBackgroundWorker(ctx context.Context, h Handle) error {
	_, err := c.direct(ctx, "TerminateBackgroundWorker", dbus.FlagNoAutoStart, h.Path(), uint64(0))
	return err
}

// TerminateBackgroundWorkersForDatabase has the interruptible workers of a database of a server ended and unregistered.
// An empty server is the only one. remaining are the database's workers that are not interruptible.
func (c *Client) TerminateBackgroundWorkersForDatabase(ctx context.Context, server, database string) (terminated, remaining []Handle, err error) {
	var gone, left []dbus.ObjectPath
	err = c.manager(ctx, "TerminateBackgroundWorkersForDatabase", server, database, uint64(0)).Store(&gone, &left)
	if err != nil {
		return nil, nil, fromBus(err)
	}
	if terminated, err = handles(gone); err == nil {
		remaining, err = handles(left)
	}
	return terminated, remaining, err
}

// ListWorkers returns one row per worker, ordered by slot and generation.
func (c *Client) ListWorkers(ctx context.Context) ([]ListEntry, error) {
	var rows []listRow
	if err := c.manager(ctx, "ListWorkers").Store(&rows); err != nil {
		return nil, fromBus(err)
	}
	out := make([]ListEntry, len(rows))
	for i, r := range rows {
		h, err := ParseHandle(r.Handle)
		if err != nil {
			return nil, err
		}
		out[i] = ListEntry{h, r.Label, r.Name, r.Type, r.State, r.PID, r.Segment, r.Since}
	}
	return out, nil
}

// GetWorker returns the handle of the one worker with that label: ErrorNoSuchWorker, ErrorAmbiguousLabel.
func (c *Client) GetWorker(ctx context.Context, label string) (Handle, error) {
	return c.handle(c.manager(ctx, "GetWorker", label))
}

// Subscribe asks for all signals, not only an owner's. Events does it for its caller.
func (c *Client) Subscribe(ctx context.Context) error {
	return fromBus(c.manager(ctx, "Subscribe").Err)
}

// Unsubscribe is the reverse of Subscribe. Leaving the bus does the same.
func (c *Client) Unsubscribe(ctx context.Context) error {
	return fromBus(c.manager(ctx, "Unsubscribe").Err)
}

// Reload has the configuration read again. ErrorConfigurationInvalid carries the diagnostics.
func (c *Client) Reload(ctx context.Context) error { return fromBus(c.manager(ctx, "Reload").Err) }

// Dump returns the daemon's state as text for a person.
func (c *Client) Dump(ctx context.Context) (text string, err error) {
	err = c.manager(ctx, "Dump").Store(&text)
	return text, fromBus(err)
}

// Shutdown ends the daemon; it returns when that has begun.
func (c *Client) Shutdown(ctx context.Context, mode ShutdownMode) error {
	return fromBus(c.manager(ctx, "Shutdown", string(mode), uint64(0)).Err)
}

// Manager returns the daemon's properties.
func (c *Client) Manager(ctx context.Context) (ManagerInfo, error) {
	all, err := c.getAll(ctx, ManagerPath, ManagerInterface)
	if err != nil {
		return ManagerInfo{}, err
	}
	return readProperties(managerProperties, all)
}

// Worker returns a worker's properties; ErrorUnknownObject when there is none with that handle. Every key of its
// Definition is set.
func (c *Client) Worker(ctx context.Context, h Handle) (WorkerInfo, error) {
	all, err := c.getAll(ctx, h.Path(), WorkerInterface)
	if err != nil {
		return WorkerInfo{}, err
	}
	return readWorker(all)
}

// Workers returns the properties of all workers, ordered by slot and generation.
func (c *Client) Workers(ctx context.Context) ([]WorkerInfo, error) {
	var objects map[dbus.ObjectPath]map[string]map[string]dbus.Variant
	call := c.call(ctx, ManagerPath, objectManagerInterface, "GetManagedObjects", dbus.FlagNoAutoStart)
	if err := call.Store(&objects); err != nil {
		return nil, fromBus(err)
	}
	out := make([]WorkerInfo, 0, len(objects))
	for _, interfaces := range objects {
		properties, ok := interfaces[WorkerInterface]
		if !ok {
			continue // a server
		}
		w, err := readWorker(properties)
		if err != nil {
			return nil, err
		}
		out = append(out, w)
	}
	slices.SortFunc(out, func(a, b WorkerInfo) int { return a.Handle.compare(b.Handle) })
	return out, nil
}

// Servers returns the properties of all servers, ordered by label.
func (c *Client) Servers(ctx context.Context) ([]ServerInfo, error) {
	var rows []serverRow
	if err := c.manager(ctx, "ListServers").Store(&rows); err != nil {
		return nil, fromBus(err)
	}
	var out []ServerInfo
	for _, r := range rows {
		all, err := c.getAll(ctx, r.Path, ServerInterface)
		if IsError(err, ErrorUnknownObject) {
			continue // a reload has removed it meanwhile
		}
		if err != nil {
			return nil, err
		}
		s, err := readProperties(serverProperties, all)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// Stop holds a worker until Start.
func (c *Client) Stop(ctx context.Context, h Handle) error { return c.worker(ctx, h, "Stop") }

// Start releases a held worker, skips a restart wait, or registers an ended definition again, then under a new handle.
func (c *Client) Start(ctx context.Context, h Handle) (Handle, error) {
	return c.handle(c.call(ctx, h.Path(), WorkerInterface, "Start", dbus.FlagNoAutoStart, uint64(0)))
}

// Restart ends the worker's process and starts it again.
func (c *Client) Restart(ctx context.Context, h Handle) error { return c.worker(ctx, h, "Restart") }

// Terminate is TerminateBackgroundWorker as a method of the worker's object.
func (c *Client) Terminate(ctx context.Context, h Handle) error { return c.worker(ctx, h, "Terminate") }

// Signal sends a signal to the worker's main process; sig is 1 to 64.
func (c *Client) Signal(ctx context.Context, h Handle, sig int32) error {
	return fromBus(c.call(ctx, h.Path(), WorkerInterface, "Signal", dbus.FlagNoAutoStart, sig, uint64(0)).Err)
}
