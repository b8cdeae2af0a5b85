package daemon

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/pg-bgw/pg-bgw/dbusapi"
	"github.com/pg-bgw/pg-bgw/units/supervise"
)

// refusals is where an error of the supervisor meets its name on the bus and
// its number on the control socket.
var refusals = []struct {
	err   error
	name  string
	errno syscall.Errno
}{
	{supervise.ErrNoFreeSlot, dbusapi.ErrorNoFreeSlot, syscall.EAGAIN},
	{supervise.ErrParallelLimit, dbusapi.ErrorNoFreeSlot, syscall.EAGAIN},
	{supervise.ErrShuttingDown, dbusapi.ErrorShuttingDown, syscall.ESHUTDOWN},
	{supervise.ErrNoSuchWorker, dbusapi.ErrorNoSuchWorker, syscall.ENOENT},
	{supervise.ErrSegmentRenewed, dbusapi.ErrorFailed, syscall.ESTALE},
	{supervise.ErrNoSegment, dbusapi.ErrorFailed, syscall.ENODEV},
	{supervise.ErrUnknownSegment, dbusapi.ErrorInvalidArgs, syscall.EINVAL},
	{supervise.ErrNotRunning, dbusapi.ErrorFailed, syscall.ESRCH},
	{supervise.ErrDynamicEnded, dbusapi.ErrorFailed, syscall.ENOENT},
	{supervise.ErrOwnerGone, dbusapi.ErrorFailed, syscall.ESRCH},
	{errNoDynamic, dbusapi.ErrorFailed, syscall.ENOENT},
	{errNotMapped, dbusapi.ErrorFailed, syscall.ENOENT},
	{errMapped, dbusapi.ErrorFailed, syscall.EEXIST},
	{errPinned, dbusapi.ErrorFailed, syscall.EEXIST},
	{errOutside, dbusapi.ErrorFailed, syscall.ENOTCONN},
	{errDynamics, dbusapi.ErrorQuotaExceeded, syscall.EDQUOT},
	{errFilling, dbusapi.ErrorFailed, syscall.EBUSY},
	{syscall.ENOMEM, dbusapi.ErrorFailed, syscall.ENOMEM},
	{syscall.ENOSPC, dbusapi.ErrorFailed, syscall.ENOMEM},
	{syscall.EFBIG, dbusapi.ErrorFailed, syscall.ENOMEM},
	{errTooManyWaits, dbusapi.ErrorLimitsExceeded, syscall.EMLINK},
}

var errTooManyWaits = fmt.Errorf("%d waits of this process are under way, the limit", maxControlWaits)

// busError is err as the bus answers it.
func busError(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*dbusapi.Error](err); ok {
		return e
	}
	for _, c := range refusals {
		if errors.Is(err, c.err) {
			return &dbusapi.Error{Name: c.name, Message: err.Error()}
		}
	}
	return &dbusapi.Error{Name: dbusapi.ErrorFailed, Message: err.Error()}
}
