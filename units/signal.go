package units

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Signal is a signal number, 1..64.
type Signal int

// The signals that the rules name.
const (
	SIGTERM = Signal(syscall.SIGTERM)
	SIGINT  = Signal(syscall.SIGINT)
	SIGQUIT = Signal(syscall.SIGQUIT)
	SIGKILL = Signal(syscall.SIGKILL)
	SIGUSR1 = Signal(syscall.SIGUSR1)
)

// MaxSignal is the highest signal number of Linux.
const MaxSignal = 64

// String is the signal's name ("SIGTERM"), or its number where it has none.
func (s Signal) String() string {
	if n := unix.SignalName(syscall.Signal(s)); n != "" {
		return n
	}
	return strconv.Itoa(int(s))
}

// ParseSignal reads "SIGTERM", "TERM", "term" or a number from 1 to 64.
func ParseSignal(s string) (Signal, error) {
	if n, err := strconv.Atoi(s); err == nil {
		if n >= 1 && n <= MaxSignal {
			return Signal(n), nil
		}
		return 0, fmt.Errorf("signal %d is not between 1 and %d", n, MaxSignal)
	}
	name := strings.ToUpper(s)
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if n := unix.SignalNum(name); n != 0 {
		return Signal(n), nil
	}
	return 0, fmt.Errorf("%q is not a signal; write it as \"SIGTERM\", \"TERM\" or its number", s)
}
