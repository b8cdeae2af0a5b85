package daemon

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/pg-bgw/pg-bgw/units/server"
	"golang.org/x/sys/unix"
)

// firstPassed is the number of the first descriptor that a service manager
// passes (SD_LISTEN_FDS_START).
const firstPassed = 3

// passedFiles takes over the descriptors that the service manager has started
// this process with, OpenFile= of its unit, by their names; no worker inherits
// them. Of a name that is there twice the first counts.
func passedFiles(getenv func(string) string) (server.Passed, error) {
	if getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	n, err := strconv.Atoi(getenv("LISTEN_FDS"))
	if err != nil || n < 0 || n > 4096 {
		return nil, fmt.Errorf("LISTEN_FDS=%q is no number of descriptors", getenv("LISTEN_FDS"))
	}
	names := strings.Split(getenv("LISTEN_FDNAMES"), ":")
	passed := server.Passed{}
	for i := range n {
		if _, err := unix.FcntlInt(uintptr(firstPassed+i), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
			return nil, fmt.Errorf("cannot take over descriptor %d of LISTEN_FDS: %w", firstPassed+i, err)
		}
		name := ""
		if i < len(names) {
			name = names[i]
		}
		if _, twice := passed[name]; !twice {
			passed[name] = os.NewFile(uintptr(firstPassed+i), name)
		}
	}
	return passed, nil
}
