package journal

import "log/slog"

// Levels between and above those of slog. Notice is for changes of state that
// are part of normal life, Critical for what ends the daemon.
const (
	LevelNotice   = slog.Level(2)
	LevelCritical = slog.Level(12)
)

// priority is a level in the numbers of syslog(3).
func priority(l slog.Level) int {
	switch {
	case l >= LevelCritical:
		return 2
	case l >= slog.LevelError:
		return 3
	case l >= slog.LevelWarn:
		return 4
	case l >= LevelNotice:
		return 5
	case l >= slog.LevelInfo:
		return 6
	}
	return 7
}

// levelName is a level in text.
func levelName(l slog.Level) string {
	return [...]string{2: "CRITICAL", 3: "ERROR", 4: "WARNING", 5: "NOTICE", 6: "INFO", 7: "DEBUG"}[priority(l)]
}

// ParseLevel reads the --log-level flag: debug, info, notice, warning, error
// or critical. ok is false for anything else.
func ParseLevel(text string) (l slog.Level, ok bool) {
	switch text {
	case "debug":
		return slog.LevelDebug, true
	case "info":
		return slog.LevelInfo, true
	case "notice":
		return LevelNotice, true
	case "warning":
		return slog.LevelWarn, true
	case "error":
		return slog.LevelError, true
	case "critical":
		return LevelCritical, true
	}
	return 0, false
}
