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
//	Start --request, descriptors--> pg-bgw-launcher --clone3--> child
//	  ^                                                           |
//	  +------------- status pipe: pid, failed step, end of file --+
//
// The launcher (cmd/pg-bgw-launcher) is a small C program that forks with
// CLONE_PARENT, so each worker is a child of the calling process, which alone
// can wait for it. It answers nothing and keeps no state. Each start brings a pipe of its
// own: the child's first act is to write its number there, a step that fails
// follows, and end of file says that the program runs. The pidfd is then opened
// here. That is as exact as one that clone3 makes: the child is ours and not waited
// for, so its number is its own. It saves two messages and a wake-up a start.
//
// So an exec that hangs (NFS, FUSE) delays no other start, but for a few
// milliseconds: a child shares the launcher's memory until it executes its
// program, which spares the copy, and the launcher does not wait for it. A child
// with a memory limit, a user or an oom_score_adj
// of its own is made by copying. A launcher that
// dies takes nothing with it but requests from which no child had come; those show as
// end of file without a number, and are sent once more to its replacement. No
// request is carried out twice.
//
// A launcher with modules keeps a spare: a copy of itself that it makes when it has made a
// worker of a module and then 2 ms were quiet. The spare reads the same socket and becomes
// the next such worker, for which then nothing is copied (cmd/pg-bgw-launcher/spare.c). It is
// one more child of this process, in its session and the launcher's group, and called
// pg-bgw-spare. It ends when its worker runs, or with the launcher, and is reaped then or when
// the launcher tells of the next one. The pages that it has touched stay counted in the
// launcher's cgroup (Documentation/admin-guide/cgroup-v2.rst, Memory Ownership), so workers
// with a memory limit are copies; and so are those with a user of their own, and those that
// come while there is no spare.
//
// # The end of a worker
//
// A worker has ended when its leader, the process that was started, has exited
// and every process that came from it is gone. Whatever outlives the leader is
// killed with SIGKILL. Only then is the exited function called.
//
//   - With [Cgroups], the tree is what is in the worker's cgroup: nothing leaves
//     it that may not write to another cgroup.procs file. A cgroup that somebody
//     else has removed was empty. Orphans are reaped by PID 1.
//   - Without, the calling process becomes a child subreaper and the tree is the
//     leader's session, its process group, and whatever below this process
//     carries PGBGW_START=<Spec.ID> in its environment or descends from such a
//     process. What escapes: a process that has left the session, has
//     cleared its environment or runs as another user, and whose parents are dead.
//
// As a subreaper this process reaps every unknown child that is in another
// session than its own; code that starts processes by other means must leave
// them in this process's session.
//
// # Cost
//
// A live worker holds one descriptor (its pidfd) and no goroutine and no
// thread. All events come through one [Poller]; while many starts are under way
// they are gathered for some milliseconds. The launcher has one thread, which makes
// the children in the order of the requests. A spare has some 190 KiB (PSS), of which 76 are
// private and dirty, and makes no context switch while idle.
package launch
