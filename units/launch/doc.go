// Package launch starts worker processes, signals them, and says when they and
// everything they started are gone.
//
// It is called by the supervisor's adapter in cmd/internal/daemon, which alone
// knows workers. This package knows processes: a [Spec] in, a [Process] and
// one [Exit] out. It never decides whether something is started again, never
// interprets an exit code, never opens a worker's descriptors, and stores no
// process number that it signals by: every process is held by a pidfd.
//
// # How a start runs
//
//	Start --request + descriptors--> pg-bgw-launcher --clone3--> child
//	  ^                                  |                         |
//	  |<------- answer: pid, pidfd ------+                         |
//	  |<------- status pipe: failed step and errno, or end of file at exec
//
// The launcher (cmd/pg-bgw-launcher) is a small C program that forks with
// CLONE_PARENT, so each worker is a child of the calling process, which alone
// can wait for it. The launcher answers as soon as the child exists and keeps
// no state about it; what happens until exec comes to this side through the
// start's own pipe. So an exec that hangs (NFS, FUSE) delays no other start,
// and a launcher that dies takes nothing with it but the requests that it had
// not answered. Those are cleaned up and sent once more to its replacement.
//
// # The end of a worker
//
// A worker has ended when its leader, the process that was started, has exited
// and every process that came from it is gone. Whatever outlives the leader is
// killed with SIGKILL. Only then is the exited function called.
//
//   - With [Cgroups], the tree is what is in the worker's cgroup: nothing leaves
//     it that may not write to another cgroup.procs file. Orphans are reaped by
//     PID 1.
//   - Without, the calling process becomes a child subreaper and the tree is the
//     leader's session, its process group, and whatever below this process
//     carries PGBGW_START=<Spec.ID> in its environment or descends from such a
//     process. What escapes: a process that has left the session, has
//     cleared its environment, and whose parents are dead.
//
// As a subreaper this process reaps every unknown child that is in another
// session than its own; code that starts processes by other means must leave
// them in this process's session.
//
// # Cost
//
// A live worker holds one descriptor (its pidfd) and no goroutine and no
// thread. All events come through one [Poller].
package launch
