package sdnotify

import "os"

// The variables that a manager sets for the daemon alone (systemd.exec(5),
// sd_listen_fds(3), sd_watchdog_enabled(3)). A worker that inherited them
// could answer in the daemon's place. INVOCATION_ID is not among them: it
// names the run of the unit, which is a worker's as well.
var own = []string{
	"NOTIFY_SOCKET",
	"WATCHDOG_USEC", "WATCHDOG_PID",
	"LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS", "LISTEN_FDNAMES",
	"FDSTORE",
	"JOURNAL_STREAM",
	"MAINPID", "MAINPIDFDID",
	"SYSTEMD_EXEC_PID",
	"MEMORY_PRESSURE_WATCH", "MEMORY_PRESSURE_WRITE",
	"CREDENTIALS_DIRECTORY",
}

// Scrub removes from the process's environment what the manager meant for the
// daemon alone and returns it as KEY=VALUE, in no useful order, for a later
// re-execution of the daemon to put back. To be called once, after New and
// whoever else reads these variables, before the first worker starts.
func Scrub() []string {
	var removed []string
	for _, key := range own {
		value, ok := os.LookupEnv(key)
		if !ok {
			continue
		}
		removed = append(removed, key+"="+value)
		os.Unsetenv(key) // fails for an empty or malformed key only
	}
	return removed
}
