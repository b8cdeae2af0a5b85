package dbusapi

import (
	"context"
	"os"

	"golang.org/x/sys/unix"
)

// openCaller returns a pidfd of the process behind c (pidfd_open(2), Linux 5.3). The pid could have been given to another process
// before it was opened; that the name is still on the bus afterwards says that it was not, unless the process ended and left
// its connection to a child. (The broker's own pidfd, ProcessFD, would need descriptor passing; see credentials.)
func (s *session) openCaller(ctx context.Context, c Caller) (*os.File, error) {
	if c.PID == 0 {
		return nil, Errorf(ErrorNotSupported, "the bus does not say the caller's process, so it cannot be signalled")
	}
	fd, err := unix.PidfdOpen(int(c.PID), 0)
	if err != nil {
		return nil, Errorf(ErrorNotSupported, "cannot open the caller's process %d to signal it: %v", c.PID, os.NewSyscallError("pidfd_open", err))
	}
	file := os.NewFile(uintptr(fd), "pidfd")
	again, err := s.credentials(ctx, c.Name)
	if err == nil && (again.PID != c.PID || again.UID != c.UID) {
		err = Errorf(ErrorAccessDenied, "cannot tell who is calling: %s changed its process", c.Name)
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}
