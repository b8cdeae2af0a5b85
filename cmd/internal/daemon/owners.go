package daemon

import (
	"fmt"
	"os"
	"sync"

	"github.com/pg-bgw/pg-bgw/dbusapi"
	"golang.org/x/sys/unix"
)

// owners holds a pidfd for each connection on the bus that asked for SIGUSR1
// beside its notifications.
type owners struct {
	mu        sync.Mutex
	signalled map[string]signalled // by unique name
}

// signalled is a process that gets SIGUSR1, until its connection is gone.
type signalled struct {
	pidfd         int
	registrations int // that asked for it, ended ones included
}

func newOwners() *owners { return &owners{signalled: map[string]signalled{}} }

// add counts a registration of the connection name, whose process pidfd is;
// pidfd stays the caller's. It is refused where we may not signal the process: an
// unprivileged daemon may signal its own user's only.
func (o *owners) add(name string, pidfd *os.File) error {
	if pidfd == nil {
		return dbusapi.Errorf(dbusapi.ErrorNotSupported, "flags: the bus does not tell which process is calling, so it cannot be signalled")
	}
	if err := unix.PidfdSendSignal(int(pidfd.Fd()), 0, nil, 0); err != nil {
		return dbusapi.Errorf(dbusapi.ErrorNotSupported, "flags: this process cannot be signalled: %v; use the signal WorkerStateChanged", err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.signalled[name]
	if s.registrations == 0 {
		fd, err := unix.FcntlInt(pidfd.Fd(), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			return fmt.Errorf("cannot keep the caller's process to signal it: %w", os.NewSyscallError("fcntl", err))
		}
		s.pidfd = fd
	}
	s.registrations++
	o.signalled[name] = s
	return nil
}

// remove takes back an add whose registration has failed.
func (o *owners) remove(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	s, ok := o.signalled[name]
	if s.registrations--; ok && s.registrations > 0 {
		o.signalled[name] = s
		return
	}
	o.forget(name)
}

// signal sends SIGUSR1 to whoever had that name; one that is gone is no error.
func (o *owners) signal(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s, ok := o.signalled[name]; ok {
		_ = unix.PidfdSendSignal(s.pidfd, unix.SIGUSR1, nil, 0)
	}
}

// drop forgets a connection that is gone.
func (o *owners) drop(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.forget(name)
}

// forget is drop with o.mu held.
func (o *owners) forget(name string) {
	if s, ok := o.signalled[name]; ok {
		unix.Close(s.pidfd)
		delete(o.signalled, name)
	}
}
