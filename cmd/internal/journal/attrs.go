package journal

import (
	"errors"
	"log/slog"
	"syscall"
)

// Keys of attributes that do not become PGBGW_<KEY>.
const (
	keyMessageID = "message_id" // MESSAGE_ID
	keyPID       = "pid"        // OBJECT_PID
	keyError     = "error"      // PGBGW_ERROR, and ERRNO when it has one
)

// Worker is a worker's label: PGBGW_WORKER.
func Worker(label string) slog.Attr { return slog.String("worker", label) }

// Type is a worker's bgw_type: PGBGW_TYPE.
func Type(t string) slog.Attr { return slog.String("type", t) }

// Slot is a worker's slot: PGBGW_SLOT.
func Slot(slot uint32) slog.Attr { return slog.Uint64("slot", uint64(slot)) }

// Generation is a worker's generation: PGBGW_GENERATION.
func Generation(g uint64) slog.Attr { return slog.Uint64("generation", g) }

// StartNumber counts the processes of one registration: PGBGW_START_NUMBER.
func StartNumber(n uint64) slog.Attr { return slog.Uint64("start_number", n) }

// State is a worker's state in the words of D-Bus: PGBGW_STATE.
func State(s string) slog.Attr { return slog.String("state", s) }

// Reason says in words why something happened: PGBGW_REASON.
func Reason(s string) slog.Attr { return slog.String("reason", s) }

// Segment is a segment's name: PGBGW_SEGMENT.
func Segment(name string) slog.Attr { return slog.String("segment", name) }

// ExitCode is what a process gave to exit: PGBGW_EXIT_CODE.
func ExitCode(code int) slog.Attr { return slog.Int("exit_code", code) }

// ExitOOM says that the kernel took a process, or one of those that it had
// started, for want of memory: PGBGW_EXIT_OOM.
func ExitOOM() slog.Attr { return slog.Bool("exit_oom", true) }

// ExitSignal is the signal that ended a process: PGBGW_EXIT_SIGNAL.
func ExitSignal(sig int) slog.Attr { return slog.Int("exit_signal", sig) }

// PID is the process that a record is about: OBJECT_PID, by which `journalctl
// OBJECT_PID=` and `systemctl status` find it.
func PID(pid int) slog.Attr { return slog.Int(keyPID, pid) }

// Error is why something failed: PGBGW_ERROR, and ERRNO beside it when err
// wraps a syscall.Errno.
func Error(err error) slog.Attr { return slog.Any(keyError, err) }

func errnoOf(v slog.Value) (syscall.Errno, bool) {
	err, ok := v.Any().(error)
	if !ok {
		return 0, false
	}
	var e syscall.Errno
	return e, errors.As(err, &e)
}
