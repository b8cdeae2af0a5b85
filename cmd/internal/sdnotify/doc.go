// Package sdnotify tells the service manager how the daemon is doing: the
// protocol of sd_notify(3), one datagram of KEY=VALUE lines to NOTIFY_SOCKET.
//
// Only the daemon's composition root calls it. A nil *Notifier is valid and
// does nothing, so that a daemon that no manager started needs no branches.
//
// It never reads from the manager, never hands over descriptors to keep (the
// segment dies with the daemon by design) and never changes the environment
// except in Scrub. Each call blocks for at most a second, when the manager
// does not drain its socket, which anybody on the machine may fill; the error is
// then EAGAIN, and it is for the caller to say it again. The loop therefore calls
// it through an effect.
package sdnotify
