package units_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pg-bgw/pg-bgw/units"
	"pgregory.net/rapid"
)

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "10": 10 * time.Second, "1.5": 1500 * time.Millisecond, "10s": 10 * time.Second, " 10 s ": 10 * time.Second,
		"1m30s": 90 * time.Second, "1min 30s": 90 * time.Second, "1h 5min 2 sec": time.Hour + 5*time.Minute + 2*time.Second,
		"500 ms": 500 * time.Millisecond, "100us": 100 * time.Microsecond, "1.5h": 90 * time.Minute,
		"2days": 48 * time.Hour, "1week": 7 * 24 * time.Hour, "infinity": units.Infinity, "1000d": units.MaxRestartTime.Duration(),
	} {
		if got, err := units.ParseDuration(text); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", " ", "s", "-1", "-1s", "+1", "1e3", "1 parsec", "10 20", "0s 5", "5 3s", "1..5", ".", "1S", "1_0",
		"0x10", "NaN", "inf", "300y", "3000000000000", "10s,", "10s\x00", strings.Repeat("9", 400), strings.Repeat("9", 400) + "h", "١s"} {
		if got, err := units.ParseDuration(text); err == nil {
			t.Errorf("%q was read as %v", text, got)
		} else if len(text) < 20 && !strings.Contains(err.Error(), `"10s"`) {
			t.Errorf("%q: %v says not what would be right", text, err)
		}
	}
}

// TestDurationRoundTrip: what Go and we write of a whole number of
// microseconds is read as the same time.
func TestDurationRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, int64(24*365*time.Hour/time.Microsecond)).Draw(t, "us")) * time.Microsecond
		if d.Truncate(time.Millisecond) != d && d < time.Millisecond {
			d = d.Truncate(time.Millisecond) // Go writes a sign for "micro" that nobody types
		}
		if got, err := units.ParseDuration(d.String()); err != nil || got != d {
			t.Fatalf("%s: %v, %v", d, got, err)
		}
	})
}

func TestRestartTimeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := units.RestartTime(rapid.Int32Range(-1, int32(units.MaxRestartTime)).Draw(t, "s"))
		if got, err := units.ParseRestartTime(r.String()); err != nil || got != r {
			t.Fatalf("%d as %q: %d, %v", r, r, got, err)
		}
	})
	for _, text := range []string{"Never", "infinity", "0.5s", "1500ms", "-1", "-2", "", "2147483648", "9999999999"} {
		if got, err := units.ParseRestartTime(text); err == nil {
			t.Errorf("%q was read as %v", text, got)
		}
	}
	if _, err := units.ParseRestartTime("infinity"); !strings.Contains(err.Error(), `"never"`) {
		t.Errorf("%v", err)
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]uint64{
		"0": 0, "1": 1, "8kB": 8 << 10, "8 KB": 8 << 10, "64MB": 64 << 20, "64 MiB": 64 << 20, "64M": 64 << 20,
		"1G": 1 << 30, "1.5GiB": 3 << 29, "1TB": 1 << 40, "512B": 512, " 7 ": 7,
	} {
		if got, err := units.ParseSize(text); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "MB", "-1", "1 m", "1mb", "1PB", "1e3", "max", "infinity", "0x10", "1,5GB", "4194304TB", "1.2.3", strings.Repeat("9", 400)} {
		if got, err := units.ParseSize(text); err == nil {
			t.Errorf("%q was read as %d", text, got)
		}
	}
}

func TestSignals(t *testing.T) {
	for n := units.Signal(1); n <= units.MaxSignal; n++ {
		if got, err := units.ParseSignal(n.String()); err != nil || got != n {
			t.Errorf("%d as %q: %d, %v", int(n), n, int(got), err)
		}
	}
	for text, want := range map[string]syscall.Signal{"TERM": syscall.SIGTERM, "term": syscall.SIGTERM, "SigUsr2": syscall.SIGUSR2, "9": syscall.SIGKILL} {
		if got, err := units.ParseSignal(text); err != nil || got != units.Signal(want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "0", "65", "-9", "SIG", "SIGSIGTERM", "SIGFOO", "9 ", "TERM\n", "99999999999999999999"} {
		if got, err := units.ParseSignal(text); err == nil {
			t.Errorf("%q was read as %v", text, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"1min 30s", "64MiB", "never", "SIGTERM", "3.17", "infinity", "1e9s", "9223372036s"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if d, err := units.ParseDuration(text); err == nil && d < 0 {
			t.Errorf("%q is %v", text, d)
		}
		if r, err := units.ParseRestartTime(text); err == nil && r < units.NeverRestart {
			t.Errorf("%q is %v", text, r)
		}
		if n, err := units.ParseSize(text); err == nil && n >= 1<<62 {
			t.Errorf("%q is %d", text, n)
		}
		if s, err := units.ParseSignal(text); err == nil && (s < 1 || s > units.MaxSignal) {
			t.Errorf("%q is %d", text, int(s))
		}
		if h, ok := units.ParseHandle(text); ok && h.IsZero() {
			t.Errorf("%q is the zero handle", text)
		}
	})
}
