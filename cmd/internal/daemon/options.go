package daemon

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// Options are the flags of pg-bgwd.
type Options struct {
	Config       string   // main file
	ConfigGiven  bool     // the user named it: it must be there
	Workers      []string // directories of definitions, the one that wins first
	WorkersGiven bool
	Bus          string // "system", "session", "none" or an address
	RuntimeDir   string // made when it is not there; holds the lock
	LogLevel     *slog.Level
	Version      string
}

// The exit codes of pg-bgwd. 2 is never among them: a Go panic has it.
const (
	ExitOK        = 0
	ExitFailure   = 1
	ExitTempFail  = 75 // EX_TEMPFAIL: another pg-bgwd has the bus name or the runtime directory
	ExitConfig    = 78 // EX_CONFIG
	DefaultRunDir = "/run/pg-bgw"
	stateDir      = "/var/lib/pg-bgw"
	launcherName  = "pg-bgw-launcher"
	launcherDir   = "/usr/lib/pg-bgw"
)

// An exitError is an error that asks for an exit code of its own.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// ExitCode is the code that the process is to end with after Run has returned
// err.
func ExitCode(err error) int {
	if err == nil {
		return ExitOK
	}
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	return ExitFailure
}

// stateDirectory is where the epoch is kept: what the manager gives us
// (StateDirectory=), else beside a runtime directory of the user's choice,
// else the default.
func (o *Options) stateDirectory() string {
	if d, _, _ := strings.Cut(os.Getenv("STATE_DIRECTORY"), ":"); d != "" {
		return d
	}
	if o.RuntimeDir != DefaultRunDir {
		return filepath.Join(o.RuntimeDir, "state")
	}
	return stateDir
}

// launcherPath finds the launcher: beside our own program, as in a build
// directory, else where packages put it.
func launcherPath() string {
	if self, err := os.Executable(); err == nil {
		if p := filepath.Join(filepath.Dir(self), launcherName); isProgram(p) {
			return p
		}
	}
	return filepath.Join(launcherDir, launcherName)
}

func isProgram(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0
}
