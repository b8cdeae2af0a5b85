package daemon

import (
	"os"

	"golang.org/x/sys/unix"
)

// workersApart reports whether the launcher can put each worker into a Landlock
// domain of its own, so that those of one user cannot read each other's memory,
// environment and descriptors: the kernel has it, and the daemon is root or
// cannot gain privileges, which its children inherit (landlock(7)).
func workersApart() bool {
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 || abi < 2 { // the launcher's ABI_NEEDED
		return false
	}
	locked, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	return os.Geteuid() == 0 || err == nil && locked == 1
}
