package dbusapi

import (
	"context"
	"math"
	"time"

	"github.com/godbus/dbus/v5"
)

// listRow is ListEntry as it travels.
type listRow struct {
	Handle  dbus.ObjectPath
	Label   string
	Name    string
	Type    string
	State   string
	PID     uint32
	Segment string
	Since   uint64
}

// manager calls a method of the manager. The bus does not start the daemon for it: all but a registration is about what a
// running daemon has.
func (c *Client) manager(ctx context.Context, member string, args ...any) *dbus.Call {
	return c.call(ctx, ManagerPath, ManagerInterface, member, dbus.FlagNoAutoStart, args...)
}

func (c *Client) worker(ctx context.Context, h Handle, member string) error {
	return fromBus(c.call(ctx, h.Path(), WorkerInterface, member, dbus.FlagNoAutoStart, uint64(0)).Err)
}

func (c *Client) call(ctx context.Context, path dbus.ObjectPath, iface, member string, flags dbus.Flags, args ...any) *dbus.Call {
	return c.conn.Object(BusName, path).CallWithContext(ctx, iface+"."+member, flags, args...)
}

func (c *Client) getAll(ctx context.Context, path dbus.ObjectPath, iface string) (map[string]dbus.Variant, error) {
	var all map[string]dbus.Variant
	err := c.call(ctx, path, propertiesInterface, "GetAll", dbus.FlagNoAutoStart, iface).Store(&all)
	return all, fromBus(err)
}

func handles(paths []dbus.ObjectPath) ([]Handle, error) {
	out := make([]Handle, len(paths))
	for i, p := range paths {
		h, err := ParseHandle(p)
		if err != nil {
			return nil, err
		}
		out[i] = h
	}
	return out, nil
}

func (c *Client) handle(call *dbus.Call) (Handle, error) {
	var path dbus.ObjectPath
	if err := call.Store(&path); err != nil {
		return Handle{}, fromBus(err)
	}
	return ParseHandle(path)
}

// startNumber returns the start number of a worker.
func (c *Client) startNumber(ctx context.Context, h Handle) (n uint64, err error) {
	call := c.call(ctx, h.Path(), propertiesInterface, "Get", dbus.FlagNoAutoStart, WorkerInterface, "StartNumber")
	err = call.Store(&n)
	return n, err
}

func (c *Client) statusAndPID(call *dbus.Call) (Status, uint32, error) {
	var status Status
	var pid uint32
	err := call.Store(&status, &pid)
	status, err = statusOr(status, err)
	return status, pid, err
}

func statusOr(status Status, err error) (Status, error) {
	if err != nil {
		return statusOfError(err)
	}
	return status, nil
}

// statusOfError turns the errors that are statuses into them: the daemon is not there, or not any more; the worker's
// object is gone.
func statusOfError(err error) (Status, error) {
	err = fromBus(err)
	switch {
	case IsNoDaemon(err):
		return StatusPostmasterDied, nil
	case IsError(err, ErrorUnknownObject):
		return StatusStopped, nil
	}
	return "", err
}

func readWorker(all map[string]dbus.Variant) (WorkerInfo, error) {
	w, err := readProperties(workerProperties, all)
	w.Definition.Set = allKeys
	return w, err
}

// microseconds returns the time that ctx leaves, for a timeout_usec argument; no deadline is the largest number.
func microseconds(ctx context.Context) uint64 {
	deadline, ok := ctx.Deadline()
	if !ok {
		return math.MaxUint64
	}
	return uint64(max(time.Until(deadline), 0) / time.Microsecond)
}
