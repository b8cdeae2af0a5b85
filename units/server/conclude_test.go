package server

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/pg-bgw/pg-bgw/units"
	"golang.org/x/sys/unix"
)

// TestConclude: the rows of the evidence table that answers alone do not show.
func TestConclude(t *testing.T) {
	const (
		unknown, started, consistent, running = units.PhaseUnknown, units.PhaseStarted, units.PhaseConsistent, units.PhaseRunning
	)
	for _, tt := range []struct {
		name  string
		seen  seen
		kind  Kind
		phase units.Phase
	}{
		{"a session outweighs a missing socket", seen{session: true, answer: refused}, Running, running},
		{"a session outweighs a refusal", seen{session: true, standby: true, answer: denied}, HotStandby, consistent},
		{"a session of a server that is no more", seen{session: true, answer: startingUp}, Starting, started},
		{"a session of a server that recovers", seen{session: true, answer: notConsistent}, Recovering, started},
		{"a session during a crash", seen{session: true, answer: crashed}, CrashRestart, units.PhaseCrashed},
		{"smart stop of a primary", seen{session: true, answer: shuttingDown}, SmartStop, running | units.SmartStop},
		{"smart stop of a standby", seen{session: true, standby: true, answer: shuttingDown}, SmartStop, consistent | units.SmartStop},
		{"smart stop that we left", seen{left: running, answer: shuttingDown}, SmartStop, running | units.SmartStop},
		{"down after a smart stop", seen{left: running, answer: refused}, Down, units.PhaseDown},
		{"crash before any answer", seen{ended: crashed, answer: accepted}, CrashRestart, units.PhaseCrashed},
		{"end before any answer", seen{ended: unclear, answer: accepted}, Unknown, unknown},
		{"end in a stop", seen{ended: shuttingDown, answer: shuttingDown}, Stopping, units.PhaseDown},
		{"no answer of the session", seen{ended: silent, answer: accepted}, Unreachable, unknown},
		{"full, the same primary", seen{answer: full, reached: running, wasUp: true}, Running, running},
		{"full, the same standby", seen{answer: full, reached: consistent, wasUp: true}, HotStandby, consistent},
		{"full, perhaps the same", seen{answer: full, wasUp: true}, Unknown, unknown},
		{"full, never seen", seen{answer: full}, Unknown, consistent},
		{"TLS, never seen", seen{answer: insecure}, Unknown, started},
		{"TLS, was seen", seen{answer: insecure, wasUp: true}, Unknown, unknown},
		{"another language, was up", seen{answer: notNow, wasUp: true}, Stopping, units.PhaseDown},
		{"another language", seen{answer: notNow}, Starting, started},
		{"no route", seen{answer: noRoute}, Unreachable, unknown},
		{"nothing", seen{}, Unknown, unknown},
	} {
		if s := conclude(tt.seen); s.Kind != tt.kind || s.Phase() != tt.phase {
			t.Errorf("%s: got %v, %v, want %v, %v", tt.name, s.Kind, s.Phase(), tt.kind, tt.phase)
		}
	}
}

// TestKindNames: each kind has a name of its own.
func TestKindNames(t *testing.T) {
	names := map[string]bool{}
	for k := Unknown; k <= Unreachable; k++ {
		names[k.String()] = true
	}
	if len(names) != int(Unreachable)+1 || Kind(200).String() != "unknown" {
		t.Errorf("names %v", names)
	}
}

// TestRelevant: of a busy directory only what matters is heard, and a queue
// that overflowed counts as everything.
func TestRelevant(t *testing.T) {
	event := func(mask uint32, name string) []byte {
		b := make([]byte, unix.SizeofInotifyEvent, 64)
		binary.NativeEndian.PutUint32(b[4:], mask)
		if name != "" {
			padded := append([]byte(name), make([]byte, 16-len(name)%16)...)
			binary.NativeEndian.PutUint32(b[12:], uint32(len(padded)))
			b = append(b, padded...)
		}
		return b
	}
	for name, want := range map[string]bool{
		"postmaster.pid": true, "standby.signal": true, "recovery.signal": true, "promote": true,
		".s.PGSQL.5432": true, ".s.PGSQL.5432.lock": false, "postmaster.opts": false, "promoted": false, "x": false,
	} {
		if got, promotion := relevant(append(event(unix.IN_CREATE, "other"), event(unix.IN_CREATE, name)...)); got != want || promotion != (want && !strings.ContainsAny(name, "PG") && name != "postmaster.pid") {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	for what, b := range map[string][]byte{"overflow": event(unix.IN_Q_OVERFLOW, ""), "half an event": event(unix.IN_CREATE, "promote")[:20]} {
		if heed, _ := relevant(b); !heed {
			t.Errorf("%s is not heeded", what)
		}
	}
	if heed, _ := relevant(event(unix.IN_IGNORED, "")); heed {
		t.Error("the end of a watch is heeded")
	}
}

// TestBudget: hints are heeded at once until there are too many, then in turn.
func TestBudget(t *testing.T) {
	now := time.Unix(1000, 0)
	b := budget{tokens: maxHints, last: now}
	for i := range maxHints {
		if d := b.take(now); d != 0 {
			t.Fatalf("hint %d waits %v", i, d)
		}
	}
	if d := b.take(now); d <= 0 || d > hintEvery {
		t.Errorf("one hint too many waits %v", d)
	}
	if d := b.take(now.Add(hintEvery)); d != 0 {
		t.Errorf("the next in turn waits %v", d)
	}
	if d := b.take(now.Add(-time.Hour)); d < 0 {
		t.Errorf("a clock that went back makes it %v", d)
	}
}

// TestInterval: a server that is not up is asked at once and then ever more
// rarely, one that refuses us more rarely still.
func TestInterval(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, tt := range []struct {
		reply reply
		local bool
		since time.Duration
		want  time.Duration
	}{
		{refused, true, 0, soonest}, {refused, true, time.Second, 200 * time.Millisecond}, {refused, true, time.Hour, 2 * time.Second},
		{refused, false, time.Hour, 5 * time.Second}, {denied, true, time.Hour, 15 * time.Second}, {startingUp, true, time.Hour, 2 * time.Second},
	} {
		l := &loop{Watcher: New(Config{}, nil), local: tt.local, eager: now.Add(-tt.since), seen: seen{answer: tt.reply}}
		for range 100 {
			if d := l.interval(now); d < tt.want*4/5 || d > tt.want*6/5 {
				t.Errorf("%+v: got %v", tt, d)
				break
			}
		}
	}
}

// TestClients: who is counted in a smart stop, and when nobody can be.
func TestClients(t *testing.T) {
	ours := func(app string) bool { return app == "w" }
	for _, tt := range []struct {
		rows [][]string
		want int
	}{
		{nil, 0},
		{[][]string{{"w", "client backend"}, {"psql", "client backend"}, {"pg-bgw", "client backend"}}, 1},
		{[][]string{{"w", nullText}}, 0},
		{[][]string{{"psql", nullText}}, -1},
		{[][]string{{}}, -1},
	} {
		if got := (&session{application: "pg-bgw", rows: tt.rows}).clients(ours); got != tt.want {
			t.Errorf("%q: %d, want %d", tt.rows, got, tt.want)
		}
	}
}
