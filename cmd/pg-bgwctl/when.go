package main

import (
	"fmt"
	"math"
	"time"
)

// moment returns the time of a D-Bus timestamp, CLOCK_REALTIME µs; ok is false for 0, never.
func moment(usec uint64) (t time.Time, ok bool) {
	return time.UnixMicro(int64(min(usec, math.MaxInt64))), usec != 0
}

// stamp writes a moment as systemd does, in now's time zone; "-" for never.
func stamp(usec uint64, now time.Time) string {
	t, ok := moment(usec)
	if !ok {
		return "-"
	}
	return t.In(now.Location()).Format("Mon 2006-01-02 15:04:05 MST")
}

// relative writes a moment as seen from now: "3min ago", "in 7s", "-" for never. Times to come are rounded up, so that
// what is "in 1s" has not come.
func relative(usec uint64, now time.Time) string {
	t, ok := moment(usec)
	if !ok {
		return "-"
	}
	const far = 290 * 365 * 24 * time.Hour // Sub ends at 292 years; leave room for rounding
	switch d := max(min(now.Sub(t), far), -far); {
	case d < 0:
		return "in " + span((-d + time.Second - 1).Truncate(time.Second))
	case d < time.Second:
		return "just now"
	default:
		return span(d) + " ago"
	}
}

// span writes a duration by its largest unit, hours with minutes.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	whole := func(unit time.Duration) int { return int(d / unit) }
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", whole(time.Second))
	case d < time.Hour:
		return fmt.Sprintf("%dmin", whole(time.Minute))
	case d < day:
		if m := int(d % time.Hour / time.Minute); m != 0 {
			return fmt.Sprintf("%dh %dmin", whole(time.Hour), m)
		}
		return fmt.Sprintf("%dh", whole(time.Hour))
	case d < 60*day:
		return count(whole(day), "day")
	case d < 730*day:
		return count(whole(30*day), "month")
	default:
		return count(whole(365*day), "year")
	}
}
