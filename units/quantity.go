package units

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// durationUnits are what PostgreSQL, systemd and Go users write. "m" is a
// minute and "ms" a millisecond in all three.
var durationUnits = []struct {
	name string
	unit time.Duration
}{
	{"us", time.Microsecond}, {"ms", time.Millisecond},
	{"s", time.Second}, {"sec", time.Second}, {"second", time.Second}, {"seconds", time.Second},
	{"m", time.Minute}, {"min", time.Minute}, {"minute", time.Minute}, {"minutes", time.Minute},
	{"h", time.Hour}, {"hr", time.Hour}, {"hour", time.Hour}, {"hours", time.Hour},
	{"d", 24 * time.Hour}, {"day", 24 * time.Hour}, {"days", 24 * time.Hour},
	{"w", 7 * 24 * time.Hour}, {"week", 7 * 24 * time.Hour}, {"weeks", 7 * 24 * time.Hour},
}

// ParseDuration reads a time as PostgreSQL, systemd and Go users write it: a
// bare number is seconds; otherwise numbers with units, spaces optional
// ("90", "1min 30s", "1m30s", "1.5h", "500 ms"); "infinity" is [Infinity].
// Negative times are refused.
func ParseDuration(s string) (time.Duration, error) {
	rest := strings.TrimSpace(s)
	if rest == "infinity" {
		return Infinity, nil
	}
	bad := func(why string) (time.Duration, error) {
		return 0, fmt.Errorf("%q is not a time: %s; write it as \"10s\", \"1min 30s\" or a number of seconds", s, why)
	}
	if rest == "" {
		return bad("it is empty")
	}
	var total float64
	for parts := 0; rest != ""; parts++ {
		digits := leading(rest, "0123456789.")
		v, err := strconv.ParseFloat(digits, 64)
		if err != nil {
			return bad(fmt.Sprintf("a number is expected at %q", rest))
		}
		rest = strings.TrimLeft(rest[len(digits):], " \t")
		word := leading(rest, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
		unit, ok := durationUnit(word)
		if !ok || word == "" && (rest != "" || parts > 0) {
			return bad(fmt.Sprintf("unit %q is not known", word+rest[len(word):]))
		}
		rest = strings.TrimLeft(rest[len(word):], " \t")
		total += v * float64(unit)
	}
	if total >= float64(Infinity) {
		return bad("it is longer than 292 years")
	}
	return time.Duration(total + 0.5), nil
}

func durationUnit(word string) (time.Duration, bool) {
	if word == "" {
		return time.Second, true
	}
	for _, u := range durationUnits {
		if u.name == word {
			return u.unit, true
		}
	}
	return 0, false
}

// ParseSize reads a number of bytes as PostgreSQL ("64MB", "8kB") and systemd
// ("64M", "1G") users write it: every unit is a power of 1024, "MiB" is "MB".
// A bare number is bytes. "infinity" and "max" are not sizes: callers that
// allow them look first.
func ParseSize(s string) (uint64, error) {
	rest := strings.TrimSpace(s)
	digits := leading(rest, "0123456789.")
	v, err := strconv.ParseFloat(digits, 64)
	word := strings.TrimSpace(rest[len(digits):])
	shift, ok := map[string]uint{
		"": 0, "B": 0,
		"K": 10, "kB": 10, "KB": 10, "KiB": 10,
		"M": 20, "MB": 20, "MiB": 20,
		"G": 30, "GB": 30, "GiB": 30,
		"T": 40, "TB": 40, "TiB": 40,
	}[word]
	if err != nil || !ok {
		return 0, fmt.Errorf("%q is not a size; write it as \"64MB\", \"1GiB\" or a number of bytes", s)
	}
	b := v * float64(uint64(1)<<shift)
	if b >= 1<<62 {
		return 0, fmt.Errorf("%q is too large for a size", s)
	}
	return uint64(b), nil
}

func leading(s, set string) string {
	return s[:len(s)-len(strings.TrimLeft(s, set))]
}
