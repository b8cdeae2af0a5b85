package main

import "golang.org/x/sys/unix"

// hide keeps this process's memory, and the passwords in it, from other processes of its user (PR_SET_DUMPABLE, prctl(2)):
// as the service's user that is every worker.
func hide() { _ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }
