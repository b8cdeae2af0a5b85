//go:build linux

package launch

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// siginfo is the kernel's siginfo_t of a SIGCHLD on a 64-bit machine:
// si_signo, si_errno, si_code, padding, si_pid, si_uid, si_status.
type siginfo struct {
	signo, errno, code, _ int32
	pid                   int32
	uid                   uint32
	status                int32
	_                     [100]byte
}

const _ = uint(128-unsafe.Sizeof(siginfo{})) + uint(unsafe.Sizeof(siginfo{})-128) // exactly 128 bytes

// waitid is waitid(2); the child has pid 0 if WNOHANG found none. rusage may be nil.
func waitid(idType, id, options int, rusage *unix.Rusage) (child, error) {
	var info siginfo
	for {
		err := unix.Waitid(idType, id, (*unix.Siginfo)(unsafe.Pointer(&info)), options, rusage)
		if err == unix.EINTR {
			continue
		}
		return child{pid: int(info.pid), code: int(info.code), status: int(info.status)}, err
	}
}
