package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/pg-bgw/pg-bgw/dbusapi"
)

// code is an exit code.
type code int

// The exit codes (doc.go).
const (
	codeOK         code = 0
	codeFailed     code = 1
	codeUsage      code = 2
	codeNotRunning code = 3
	codeNoWorker   code = 4
)

// failure is an error for the user: what could not be done, and what to do about it. The zero text says nothing: all was
// printed, only the code is left.
type failure struct {
	code  code
	text  string
	hint  string
	cause error // what explain made it of, or nil
}

func (f *failure) Error() string { return f.text }

func (f *failure) Unwrap() error { return f.cause }

// ended is the error of a verb that has printed everything: nil for codeOK.
func ended(c code) error {
	if c == codeOK {
		return nil
	}
	return &failure{code: c}
}

// report prints err to standard error and returns its exit code.
func (a *app) report(err error) code {
	if err == nil {
		return codeOK
	}
	f, ok := errors.AsType[*failure](err)
	if !ok {
		f = &failure{code: codeFailed, text: err.Error()}
	}
	if f.text != "" {
		fmt.Fprintln(a.err, "pg-bgwctl: "+safeLines(f.text))
	}
	if f.hint != "" {
		fmt.Fprintln(a.err, "hint: "+safeLines(f.hint))
	}
	return f.code
}

// Names of errors that come from the broker and not from the daemon.
const (
	brokerServiceUnknown = "org.freedesktop.DBus.Error.ServiceUnknown"
	brokerNameHasNoOwner = "org.freedesktop.DBus.Error.NameHasNoOwner"
	brokerNoReply        = "org.freedesktop.DBus.Error.NoReply"
	brokerTimeout        = "org.freedesktop.DBus.Error.TimedOut"
	brokerSpawnPrefix    = "org.freedesktop.DBus.Error.Spawn."
	brokerUnitPrefix     = "org.freedesktop.systemd1."
)

// hints says what to do about the errors that the daemon names.
var hints = map[string]string{
	dbusapi.ErrorNoSuchWorker:         "see: pg-bgwctl list --all",
	dbusapi.ErrorStaleHandle:          "the handle belongs to an earlier registration; see: pg-bgwctl list",
	dbusapi.ErrorUnknownObject:        "the handle is of a worker that is gone; see: pg-bgwctl list",
	dbusapi.ErrorAmbiguousLabel:       "use the handle of one of them",
	dbusapi.ErrorNoSuchTemplate:       "templates are defined in /etc/pg-bgw/workers.d; after a change: pg-bgwctl reload",
	dbusapi.ErrorNoFreeSlot:           "terminate a worker, or raise max_worker_processes in /etc/pg-bgw/pg-bgw.hcl and reload",
	dbusapi.ErrorQuotaExceeded:        "terminate a worker of the same user, or raise the quota",
	dbusapi.ErrorShuttingDown:         "wait until it has ended, then: systemctl start pg-bgw",
	dbusapi.ErrorNotAllowed:           "leave that out, or ask the administrator for a template that has it",
	dbusapi.ErrorLimitsExceeded:       "too many calls are under way; try again",
	dbusapi.ErrorConfigurationInvalid: "nothing was changed; correct the files, then: pg-bgwctl check && pg-bgwctl reload",
	dbusapi.ErrorUnknownMethod:        "the service is older than this command: systemctl restart pg-bgw",
}

// explain makes of an error of the bus one that names what could not be done ("stop worker cron") and what to do.
func explain(err error, doing string) error {
	if err == nil {
		return nil
	}
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	f := &failure{code: codeFailed, text: "cannot " + doing + ": " + err.Error(), cause: err}
	if e, ok := errors.AsType[*dbusapi.Error](err); ok {
		explainBus(f, e, doing)
		return f
	}
	if errors.Is(err, context.DeadlineExceeded) {
		f.text = "cannot " + doing + ": no answer in time"
		f.hint = "see whether the service is well: systemctl status pg-bgw; journalctl -u pg-bgw"
	}
	return f
}

func explainBus(f *failure, e *dbusapi.Error, doing string) {
	f.hint = hints[e.Name]
	switch e.Name {
	case brokerServiceUnknown, brokerNameHasNoOwner:
		f.text = "cannot " + doing + ": the pg-bgw service does not run"
		f.hint = "start it with: systemctl start pg-bgw"
	case brokerNoReply:
		f.text = "cannot " + doing + ": the pg-bgw service ended before it answered"
		f.hint = "see why: systemctl status pg-bgw; journalctl -u pg-bgw"
	case brokerTimeout:
		f.hint = "see why: systemctl status pg-bgw; journalctl -u pg-bgw"
	case dbusapi.ErrorAccessDenied:
		f.hint = "become root or the service's user: sudo pg-bgwctl ..."
		if os.Geteuid() == 0 {
			f.hint = "the bus policy forbids it: see /usr/share/dbus-1/system.d and /etc/dbus-1/system.d"
		}
	case dbusapi.ErrorNoSuchWorker, dbusapi.ErrorStaleHandle, dbusapi.ErrorUnknownObject:
		f.code = codeNoWorker
	}
	if strings.HasPrefix(e.Name, brokerSpawnPrefix) || strings.HasPrefix(e.Name, brokerUnitPrefix) {
		f.text = "cannot " + doing + ": the pg-bgw service does not run and could not be started: " + e.Error()
		f.hint = "see why: systemctl status pg-bgw; journalctl -u pg-bgw"
	}
}

// left reports whether err says that there is no daemon, or not any more.
func left(err error) bool { return absent(err) || dbusapi.IsError(err, brokerNoReply) }

// absent reports whether err says that there is no daemon.
func absent(err error) bool {
	return dbusapi.IsError(err, brokerServiceUnknown) || dbusapi.IsError(err, brokerNameHasNoOwner)
}
