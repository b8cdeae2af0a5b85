// Package systemtest tests the installed program on a real systemd: it boots one
// as process 1 of a container over an overlay of a Debian root, installs what
// packaging/dev installs, and uses it as an administrator would.
//
// A container shares its host's kernel, where the cgroup controllers may belong to
// cgroups of version 1. What needs them runs on an emulated machine: there the test
// program finds itself inside, and works on the machine that it is on.
//
// It holds tests only. They need root, systemd-nspawn and a cgroup v2 mount, or qemu, and
// say so when they skip; with CI=true they fail instead. The roots are the machine's own
// and, for systemd 257, the one that `packaging/dev test` makes of Debian 13.
//
// A machine that a test leaves behind cannot outlive the test's process: its
// supervisor dies with it, its mounts are in a namespace of their own, and its
// processes are in one cgroup that the next run removes.
package systemtest
