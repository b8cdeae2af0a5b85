package dbusapi

import (
	"errors"
	"fmt"
	"slices"

	"github.com/godbus/dbus/v5"
)

// Names of the errors of this API. There is no other place where an error name is written.
const (
	// ErrorNoSuchWorker: no worker has that label or handle.
	ErrorNoSuchWorker = "org.pgbgw1.Error.NoSuchWorker"
	// ErrorStaleHandle: the slot exists, but belongs to a later registration.
	ErrorStaleHandle = "org.pgbgw1.Error.StaleHandle"
	// ErrorNoFreeSlot: max_worker_processes are registered (BGW-024).
	ErrorNoFreeSlot = "org.pgbgw1.Error.NoFreeSlot"
	// ErrorAmbiguousLabel: several workers have that label; the message lists their handles.
	ErrorAmbiguousLabel = "org.pgbgw1.Error.AmbiguousLabel"
	// ErrorNoSuchTemplate: no template has that label.
	ErrorNoSuchTemplate = "org.pgbgw1.Error.NoSuchTemplate"
	// ErrorQuotaExceeded: the policy's limit for this caller is reached.
	ErrorQuotaExceeded = "org.pgbgw1.Error.QuotaExceeded"
	// ErrorShuttingDown: the daemon ends and takes nothing new.
	ErrorShuttingDown = "org.pgbgw1.Error.ShuttingDown"
	// ErrorNotAllowed: the policy does not allow this worker, whoever asks.
	ErrorNotAllowed = "org.pgbgw1.Error.NotAllowed"
	// ErrorConfigurationInvalid: a reload found mistakes and changed nothing; the message is the diagnostics.
	ErrorConfigurationInvalid = "org.pgbgw1.Error.ConfigurationInvalid"
)

// Names from the D-Bus specification that this API uses.
const (
	ErrorFailed           = "org.freedesktop.DBus.Error.Failed"
	ErrorInvalidArgs      = "org.freedesktop.DBus.Error.InvalidArgs"
	ErrorAccessDenied     = "org.freedesktop.DBus.Error.AccessDenied"
	ErrorLimitsExceeded   = "org.freedesktop.DBus.Error.LimitsExceeded"
	ErrorNotSupported     = "org.freedesktop.DBus.Error.NotSupported"
	ErrorUnknownMethod    = "org.freedesktop.DBus.Error.UnknownMethod"
	ErrorUnknownObject    = "org.freedesktop.DBus.Error.UnknownObject"
	ErrorUnknownInterface = "org.freedesktop.DBus.Error.UnknownInterface"
	ErrorUnknownProperty  = "org.freedesktop.DBus.Error.UnknownProperty"
	ErrorPropertyReadOnly = "org.freedesktop.DBus.Error.PropertyReadOnly"

	// The next come from the broker, never from a Server.
	errorServiceUnknown = "org.freedesktop.DBus.Error.ServiceUnknown"
	errorNameHasNoOwner = "org.freedesktop.DBus.Error.NameHasNoOwner"
	errorNoReply        = "org.freedesktop.DBus.Error.NoReply"
	errorProcessUnknown = "org.freedesktop.DBus.Error.UnixProcessIdUnknown"
)

// ErrNameOwned says that another process owns the bus name. The daemon exits with 75 for it.
var ErrNameOwned = errors.New("the bus name has another owner")

// maxErrorText bounds the text of an error on its way out, in bytes.
const maxErrorText = 8192

// Error is a D-Bus error. A Backend returns it to choose the name that the caller sees; any other error reaches the
// caller as ErrorFailed. A Client returns it for every error that came from the bus.
type Error struct {
	Name    string // one of the names above, or a broker's
	Message string // one sentence or several lines for a person; never parsed
}

// Errorf returns an *Error with a formatted message.
func Errorf(name, format string, args ...any) *Error {
	return &Error{Name: name, Message: fmt.Sprintf(format, args...)}
}

// Error returns the message, or the name when there is none.
func (e *Error) Error() string {
	if e.Message == "" {
		return e.Name
	}
	return e.Message
}

// DBusError gives the bus library the name and body to send.
func (e *Error) DBusError() (string, []any) {
	return e.Name, []any{clean(e.Message, maxErrorText)}
}

// IsError reports whether err is, or wraps, an *Error of that name.
func IsError(err error, name string) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Name == name
}

// IsNoDaemon reports whether err, from a Client, says that nobody owns the bus name, or that its owner left before it
// answered.
func IsNoDaemon(err error) bool {
	return IsError(err, errorServiceUnknown) || IsError(err, errorNameHasNoOwner) || IsError(err, errorNoReply)
}

// sendable are the names that a Server sends. The library drops an error with a name of bad syntax, and its caller
// would wait for ever.
var sendable = []string{
	ErrorNoSuchWorker, ErrorStaleHandle, ErrorNoFreeSlot, ErrorAmbiguousLabel, ErrorNoSuchTemplate, ErrorQuotaExceeded,
	ErrorShuttingDown, ErrorNotAllowed, ErrorConfigurationInvalid, ErrorFailed, ErrorInvalidArgs, ErrorAccessDenied,
	ErrorLimitsExceeded, ErrorNotSupported, ErrorUnknownMethod, ErrorUnknownObject, ErrorUnknownInterface,
	ErrorUnknownProperty, ErrorPropertyReadOnly,
}

// toBus turns what a Backend returned into what is sent. A name that is not of this API becomes ErrorFailed.
func toBus(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok && slices.Contains(sendable, e.Name) {
		return e
	}
	return &Error{Name: ErrorFailed, Message: err.Error()}
}

// fromBus turns an error of the bus library into an *Error, and leaves those that are not D-Bus errors (a lost
// connection, a context's end) as they are.
func fromBus(err error) error {
	if err == nil {
		return nil
	}
	e, ok := errors.AsType[dbus.Error](err)
	if !ok {
		p, ok := errors.AsType[*dbus.Error](err)
		if !ok {
			return err
		}
		e = *p
	}
	out := &Error{Name: e.Name}
	if len(e.Body) > 0 {
		out.Message, _ = e.Body[0].(string)
	}
	return out
}
