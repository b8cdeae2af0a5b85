package daemon

import (
	"os"
	"sync"

	"github.com/pg-bgw/pg-bgw/dbusapi"
	"golang.org/x/sys/unix"
)

// owners holds a pidfd for each connection on the bus that asked for SIGUSR1
// beside its notifications.
type owners struct {
	mu    sync.Mutex
	files map[string]*os.File // by unique name
}

func newOwners() *owners { return &owners{files: map[string]*os.File{}} }

// probe says whether we may signal the process: an unprivileged daemon may
// only signal its own user's.
func (o *owners) probe(pidfd *os.File) error {
	if pidfd == nil {
		return dbusapi.Errorf(dbusapi.ErrorNotSupported, "flags: the bus does not tell which process is calling, so it cannot be signalled")
	}
	if err := unix.PidfdSendSignal(int(pidfd.Fd()), 0, nil, 0); err != nil {
		return dbusapi.Errorf(dbusapi.ErrorNotSupported, "flags: this process cannot be signalled: %v; use the signal WorkerStateChanged", err)
	}
	return nil
}

// add takes over pidfd.
func (o *owners) add(name string, pidfd *os.File) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.files[name] != nil {
		pidfd.Close()
		return
	}
	o.files[name] = pidfd
}

// signal sends SIGUSR1 to whoever had that name; one that is gone is no error.
func (o *owners) signal(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if f := o.files[name]; f != nil {
		_ = unix.PidfdSendSignal(int(f.Fd()), unix.SIGUSR1, nil, 0)
	}
}

func (o *owners) drop(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if f := o.files[name]; f != nil {
		f.Close()
		delete(o.files, name)
	}
}
