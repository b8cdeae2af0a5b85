package launch

import (
	"syscall"
	"time"
)

// A Spec says what a worker process is at its first instruction. Start copies
// what it needs: the caller may change or close everything in it once Start
// has returned.
type Spec struct {
	// ID names this start: "slot.generation.start", such as "3.17.2". Letters,
	// digits, '.', '_' and '-', at most 100 bytes, different from that of every
	// worker that has not ended. It names the cgroup (worker-ID), and is put
	// into the environment as PGBGW_START.
	ID string

	// Argv is the program and its arguments. Argv[0] is the file that is
	// executed; it contains a slash, PATH is not searched.
	Argv []string

	// Main is the function that runs instead of a program; Argv is then not
	// looked at. Only a launcher with Modules can start it.
	Main *Main

	// Env is the whole environment, "NAME=value" each. Nothing is inherited;
	// PGBGW_START is added, or replaced where it is given.
	Env []string

	// Dir is the working directory, absolute; "" is "/".
	Dir string

	// Files are the descriptors that become 0, 1, 2, 3 and so on in the worker,
	// at most 240, in that order. The same one may be given more than once. -1
	// stands for /dev/null, as does every one of the first three that is
	// missing. The worker has no other descriptor.
	Files []int

	// Limits are cgroup attributes and their values, such as "memory.max":
	// "67108864" or "cpu.max": "50000 100000". Names that are allowed: see
	// [LimitNames]. Without cgroups a Spec that has any is refused. They can be
	// changed later: [Process.SetLimits].
	Limits map[string]string

	// Rlimits are set in the order given.
	Rlimits []Rlimit

	// OOMScoreAdj is written to oom_score_adj: -1000 to 1000.
	// Lowering it below the daemon's own minimum needs CAP_SYS_RESOURCE (proc_pid_oom_score_adj(5)).
	OOMScoreAdj int

	// Nice is the nice value: -20 to 19; 0 is that of the daemon. Lowering it needs CAP_SYS_NICE.
	Nice int

	// Umask is the file mode creation mask, at most 0777; nil is 0077.
	Umask *uint32

	// Credential is who the worker runs as; nil is the user of the daemon.
	// Another user needs CAP_SETUID and CAP_SETGID.
	Credential *Credential

	// NoNewPrivileges sets no_new_privs (PR_SET_NO_NEW_PRIVS).
	NoNewPrivileges bool

	// ReadOnlyCgroups takes away the worker's right to write to the cgroup
	// file systems, by Landlock, and where these are below /sys, to all of it but
	// SELinux's files. Best effort: it has no effect where the kernel
	// lacks Landlock, and none without NoNewPrivileges for a user other than root.
	ReadOnlyCgroups bool
}

// A Rlimit is one resource limit as of setrlimit(2).
type Rlimit struct {
	Resource   int    // RLIMIT_NOFILE and so on
	Soft, Hard uint64 // RLIM_INFINITY is ^uint64(0)
}

// A Credential is a user, a group, and the whole list of supplementary groups.
type Credential struct {
	UID, GID uint32
	Groups   []uint32 // at most 1,024
}

// An Exit says how a worker ended. It is made when the whole tree is gone.
type Exit struct {
	Pid    int                // the leader's; the number may be in use again
	Status syscall.WaitStatus // Exited, ExitStatus, Signaled, Signal, CoreDump
	At     time.Time          // when the leader's end was seen
	OOM    bool               // the kernel killed a process of the tree for want of memory; false where the memory controller is not delegated
	Rusage *syscall.Rusage    // of the leader and the children that it waited for
}
