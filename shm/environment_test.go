package shm

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseEnvironment(t *testing.T) {
	env := map[string]string{
		"PGBGW_FDS": "segment:3,slots:4,control:5,death:6,latch:7,later:8", "PGBGW_SLOT": "16383",
		"PGBGW_GENERATION": "18446744073709551615", "PGBGW_NAME": "n", "PGBGW_TYPE": "t",
		"PGBGW_MAIN_ARG": "18446744073709551615", "PGBGW_EXTRA": "AAH/", "PGBGW_NOTIFY_PID": "4711", "PGBGW_START": "16383.18446744073709551615.3",
	}
	e, err := parseEnvironment(lookupIn(env))
	if err != nil {
		t.Fatal(err)
	}
	want := BackgroundWorker{
		Name: "n", Type: "t", MainArg: 1<<64 - 1, Extra: []byte{0, 1, 0xff}, NotifyPid: 4711,
		Handle: Handle{Slot: 16383, Generation: 1<<64 - 1}, Start: 3,
	}
	if diff := cmp.Diff(want, e.self); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{"segment": 3, "slots": 4, "control": 5, "death": 6, "latch": 7, "later": 8}, e.fds); diff != "" {
		t.Errorf("descriptors (-want +got):\n%s", diff)
	}
	// The least that is enough.
	e, err = parseEnvironment(lookupIn(map[string]string{"PGBGW_FDS": "", "PGBGW_SLOT": "0", "PGBGW_GENERATION": "1", "PGBGW_NAME": "n"}))
	if err != nil || e.self.Type != "n" || len(e.fds) != 0 {
		t.Errorf("got %+v, %v", e, err)
	}
	if _, err := parseEnvironment(lookupIn(nil)); !errors.Is(err, ErrNotWorker) {
		t.Errorf("no environment: got %v", err)
	}
}

func TestParseEnvironmentRefuses(t *testing.T) {
	for _, test := range []struct{ name, value, want string }{
		{"PGBGW_FDS", "segment", `"segment" should be a name, a colon`},
		{"PGBGW_FDS", "segment:", "should be a name"},
		{"PGBGW_FDS", ":3", "should be a name"},
		{"PGBGW_FDS", "segment:2", "from 3 on"},
		{"PGBGW_FDS", "segment:-3", "from 3 on"},
		{"PGBGW_FDS", "segment:03", "from 3 on"},
		{"PGBGW_FDS", "segment:+3", "from 3 on"},
		{"PGBGW_FDS", "segment:3,", `"" should be`},
		{"PGBGW_FDS", "segment:99999999999999999999", "from 3 on"},
		{"PGBGW_FDS", "segment:3,segment:4", `"segment" is there twice`},
		{"PGBGW_FDS", "segment:3,slots:3", `descriptor 3 is both "segment" and "slots"`},
		{"PGBGW_SLOT", "", "PGBGW_SLOT is not set"},
		{"PGBGW_SLOT", "16384", "from 0 to 16383"},
		{"PGBGW_SLOT", "x", "decimal number"},
		{"PGBGW_GENERATION", "-1", "PGBGW_GENERATION"},
		{"PGBGW_GENERATION", "18446744073709551616", "PGBGW_GENERATION"},
		{"PGBGW_NAME", "", "PGBGW_NAME is not set"},
		{"PGBGW_NAME", strings.Repeat("n", 96), "96 bytes, at most 95"},
		{"PGBGW_TYPE", strings.Repeat("n", 96), "PGBGW_TYPE"},
		{"PGBGW_MAIN_ARG", "0x10", "PGBGW_MAIN_ARG"},
		{"PGBGW_EXTRA", "not base64", "base64 of at most 128"},
		{"PGBGW_EXTRA", strings.Repeat("AAAA", 43), "base64 of at most 128"},
		{"PGBGW_NOTIFY_PID", "2147483648", "PGBGW_NOTIFY_PID"},
		{"PGBGW_START", "4.17.2", "not of slot 3, generation 17"},
		{"PGBGW_START", "3.17.x", "slot.generation.start"},
	} {
		env := map[string]string{"PGBGW_FDS": "segment:3", "PGBGW_SLOT": "3", "PGBGW_GENERATION": "17", "PGBGW_NAME": "n"}
		env[test.name] = test.value
		if _, err := parseEnvironment(lookupIn(env)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s=%q: got %v, want %q", test.name, test.value, err, test.want)
		}
	}
	// All at once.
	_, err := parseEnvironment(lookupIn(map[string]string{"PGBGW_FDS": "x"}))
	for _, want := range []string{"PGBGW_FDS", "PGBGW_SLOT", "PGBGW_GENERATION", "PGBGW_NAME"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s in it", err, want)
		}
	}
}

func FuzzEnvironment(f *testing.F) {
	f.Add("segment:3,slots:4", "3", "17", "name", "AAH/", "3.17.2")
	f.Fuzz(func(t *testing.T, fds, slot, generation, name, extra, start string) {
		e, err := parseEnvironment(lookupIn(map[string]string{
			"PGBGW_FDS": fds, "PGBGW_SLOT": slot, "PGBGW_GENERATION": generation, "PGBGW_NAME": name, "PGBGW_EXTRA": extra, "PGBGW_START": start,
		}))
		if err == nil && (e.self.Handle.Slot >= MaxSlots || len(e.self.Name) > MaxName || len(e.self.Extra) > MaxExtra) {
			t.Errorf("got %+v", e.self)
		}
	})
}
