package sdnotify

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"
)

// maxStatus is the longest STATUS in bytes. A manager of release 252 reads at
// most 4096 bytes of a datagram and ignores a longer one altogether.
const maxStatus = 1024

// A Notifier sends to one manager. Its methods may be called from any
// goroutine; on a nil Notifier they do nothing and return nil.
type Notifier struct {
	socket   *socket
	watchdog time.Duration
}

// New makes the Notifier that the environment asks for. lookup has the shape
// of os.LookupEnv and is not kept. Without NOTIFY_SOCKET the answer is nil and
// no error: nobody listens. An error names the variable that cannot be used.
func New(lookup func(string) (string, bool)) (*Notifier, error) {
	address, _ := lookup("NOTIFY_SOCKET")
	if address == "" {
		return nil, nil
	}
	watchdog, err := watchdogTimeout(lookup)
	if err != nil {
		return nil, err
	}
	s, err := openSocket(address)
	if err != nil {
		return nil, fmt.Errorf("cannot use NOTIFY_SOCKET %q: %w", address, err)
	}
	return &Notifier{socket: s, watchdog: watchdog}, nil
}

// Close releases the socket. Later calls return an error.
func (n *Notifier) Close() error {
	if n == nil {
		return nil
	}
	return n.socket.close()
}

// Ready says that the start, or the reload that Reloading announced, is done.
func (n *Notifier) Ready() error { return n.send("READY=1") }

// Status shows text, one line, in `systemctl status`. Line breaks become
// spaces, since each line of the datagram is an assignment of its own; what is
// not UTF-8, which the manager would refuse, becomes U+FFFD; text beyond 1024
// bytes is cut.
func (n *Notifier) Status(text string) error { return n.send("STATUS=" + oneLine(text)) }

// Reloading says that a reload begins; Ready ends it. The time goes along
// because Type=notify-reload (systemd 253) wants it; older ones ignore it.
func (n *Notifier) Reloading() error {
	if n == nil {
		return nil
	}
	now, err := monotonic()
	if err != nil {
		return fmt.Errorf("cannot tell the manager of a reload: %w", err)
	}
	return n.send("RELOADING=1\nMONOTONIC_USEC=" + strconv.FormatInt(now.Microseconds(), 10))
}

// Stopping says that the end has begun. Since systemd 259 it is final: no
// later message takes it back.
func (n *Notifier) Stopping() error { return n.send("STOPPING=1") }

// Healthy says that the daemon has run so long that its next failure is a first
// one: the manager begins anew with the steps of RestartSteps= (systemd 258; older
// ones ignore it).
func (n *Notifier) Healthy() error { return n.send("RESTART_RESET=1") }

// Errno says why the daemon is about to exit with a status other than 0.
func (n *Notifier) Errno(e syscall.Errno) error {
	return n.send("ERRNO=" + strconv.Itoa(int(e)))
}

// ErrnoOf finds the error number inside err, for Errno; 0 when there is none.
func ErrnoOf(err error) syscall.Errno {
	var e syscall.Errno
	if errors.As(err, &e) {
		return e
	}
	return 0
}

// Watchdog says that the loop has just answered.
func (n *Notifier) Watchdog() error { return n.send("WATCHDOG=1") }

// ExtendTimeout asks the manager to wait for d from now before it calls a
// start, a reload or a stop failed. It is to be repeated before d has passed.
// A d below a microsecond asks for nothing.
func (n *Notifier) ExtendTimeout(d time.Duration) error {
	if d < time.Microsecond {
		return nil
	}
	return n.send("EXTEND_TIMEOUT_USEC=" + strconv.FormatInt(d.Microseconds(), 10))
}

// Barrier returns when the manager has dealt with everything sent before, or
// with an error that wraps ctx's when ctx ends first. It works by sending one
// end of a pipe, which the manager closes (systemd 246).
func (n *Notifier) Barrier(ctx context.Context) error {
	if n == nil {
		return nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("cannot make a barrier: %w", err)
	}
	defer r.Close()
	err = n.socket.send("BARRIER=1", w)
	w.Close()
	if err != nil {
		return fmt.Errorf("cannot send a barrier: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { r.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := r.Read(make([]byte, 1)); os.IsTimeout(err) {
		return fmt.Errorf("the manager did not answer a barrier: %w", context.Cause(ctx))
	}
	return nil
}

// WatchdogInterval is how often Watchdog is to be called: half of what the
// manager allows between two calls. 0 means that there is no watchdog.
func (n *Notifier) WatchdogInterval() time.Duration {
	if n == nil {
		return 0
	}
	return n.watchdog / 2
}

func (n *Notifier) send(text string) error {
	if n == nil {
		return nil
	}
	if err := n.socket.send(text, nil); err != nil {
		key, _, _ := strings.Cut(text, "=")
		return fmt.Errorf("cannot send %s to the manager: %w", key, err)
	}
	return nil
}

// watchdogTimeout applies the rule of sd_watchdog_enabled(3): WATCHDOG_USEC
// counts when WATCHDOG_PID is not set or names this process.
func watchdogTimeout(lookup func(string) (string, bool)) (time.Duration, error) {
	usec, _ := lookup("WATCHDOG_USEC")
	if usec == "" {
		return 0, nil
	}
	if text, _ := lookup("WATCHDOG_PID"); text != "" {
		pid, err := strconv.Atoi(text)
		if err != nil || pid <= 0 {
			return 0, fmt.Errorf("cannot use WATCHDOG_PID %q: it must be a process id", text)
		}
		if pid != os.Getpid() {
			return 0, nil
		}
	}
	n, err := strconv.ParseInt(usec, 10, 64)
	if err != nil || n <= 0 || n > int64(1<<63-1)/int64(time.Microsecond) {
		return 0, fmt.Errorf("cannot use WATCHDOG_USEC %q: it must be a number of microseconds above 0", usec)
	}
	return time.Duration(n) * time.Microsecond, nil
}

func oneLine(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
	if len(text) <= maxStatus {
		return text
	}
	end := maxStatus
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}
