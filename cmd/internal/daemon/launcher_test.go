package daemon

import (
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/pg-bgw/pg-bgw/units/launch"
)

// TestStartError: what becomes the reason of a state names no worker, and a limit as the kernel does.
func TestStartError(t *testing.T) {
	for want, err := range map[string]error{
		"memory.max: needs cgroups": &launch.SpecError{ID: "1.2.3", Field: "Limits[memory.max]", Limit: "memory.max", Why: "needs cgroups"},
		"Argv[0]: is relative":      fmt.Errorf("again: %w", &launch.SpecError{ID: "1.2.3", Field: "Argv[0]", Why: "is relative"}),
		launch.StepExec.String() + " /bin/x: permission denied (mend it)": &launch.StartError{ID: "1.2.3", Step: launch.StepExec, Object: "/bin/x",
			Err: syscall.EACCES, Hint: "mend it"},
		"something else": errors.New("something else"),
	} {
		if got := startError(err).Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
