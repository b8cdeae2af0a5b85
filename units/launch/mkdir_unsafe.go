//go:build linux

package launch

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// mkdirat is mkdirat(2) as a system call of which Go's scheduler does not know. To
// make a cgroup takes the kernel some 30 microseconds, just longer than what the
// scheduler takes for a call that waits: it would have another thread go on
// meanwhile, which costs more than the call, and that thread would do what can wait
// before the starts that are next.
func mkdirat(dir int, name string, mode uint32) error {
	p, err := unix.BytePtrFromString(name)
	if err != nil {
		return err
	}
	_, _, e := unix.RawSyscall(unix.SYS_MKDIRAT, uintptr(dir), uintptr(unsafe.Pointer(p)), uintptr(mode))
	if e != 0 {
		return e
	}
	return nil
}
