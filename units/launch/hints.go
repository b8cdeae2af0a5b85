package launch

import (
	"os"
	"path/filepath"
	"syscall"
)

// startError describes a failed step of s with what would be right.
func startError(s *Spec, step Step, errno syscall.Errno) *StartError {
	e := &StartError{ID: s.ID, Step: step, Err: errno}
	switch step {
	case StepExec:
		e.Object, e.Hint = s.Argv[0], execHint(s, errno)
	case StepDir:
		e.Object = dir(s)
	case StepReceive:
		if errno == syscall.EMFILE {
			e.Hint = "raise LimitNOFILE= of the unit"
		}
	case StepClone:
		e.Hint = cloneHint(errno)
	case StepOOMScore, StepNice:
		if errno == syscall.EACCES || errno == syscall.EPERM {
			e.Hint = "only a privileged daemon may lower it"
		}
	case StepCredential:
		if errno == syscall.EPERM {
			e.Hint = "another user needs a daemon with CAP_SETUID and CAP_SETGID"
		}
	}
	return e
}

func cloneHint(errno syscall.Errno) string {
	switch errno {
	case syscall.ENOSYS:
		return "a system call filter forbids clone3: remove RestrictNamespaces= from the unit, or allow clone3 in the container's seccomp profile"
	case syscall.EAGAIN:
		return "a limit on the number of processes is reached: TasksMax= of the unit, or pids.max"
	case syscall.EBUSY, syscall.EACCES, syscall.EOPNOTSUPP:
		return "the worker's cgroup does not take processes: does the unit have Delegate=yes?"
	}
	return ""
}

func execHint(s *Spec, errno syscall.Errno) string {
	path := s.Argv[0]
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir(s), path)
	}
	switch errno {
	case syscall.ENOEXEC:
		return "neither a program for this machine nor a script that begins with #! and an interpreter"
	case syscall.ENOENT:
		if _, err := os.Stat(path); err == nil {
			return "the file is there, but not the interpreter or loader that it names"
		}
	case syscall.EACCES:
		return "the worker's user needs execute permission for the file and search permission for its directories, on a file system without noexec"
	case syscall.E2BIG:
		return "arguments and environment are too long"
	}
	return ""
}
