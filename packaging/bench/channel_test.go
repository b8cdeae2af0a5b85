package main

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMembers: two workers in Go, and two in C, carry out every order in a real
// pg-bgwd, and each figure is one of something that was done.
func TestMembers(t *testing.T) {
	need(t, "dbus-daemon")
	b := newTestLab(t)
	t.Chdir("../..")
	at, err := b.seat(oursPair)
	if err != nil {
		t.Fatal(err)
	}
	p := newPgbgw(byPair)(at).(*pgbgw)
	t.Cleanup(func() {
		if err := p.close(); err != nil {
			t.Error(err)
		}
	})
	if err := p.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	check := func(what string, d time.Duration, err error) {
		t.Helper()
		if err != nil || d <= 0 {
			t.Errorf("%s: %v, %v", what, d, err)
		}
	}
	for _, m := range []*members{p.members, p.inC} {
		for _, c := range []channelCase{{64 << 10, 8}, {64 << 10, 64 << 10}, {1 << 20, 8 << 10}, {64 << 10, 8}} {
			for flush := range 2 {
				d, err := m.throughput(ctx, c, flush, 300)
				check(m.prefix+" "+c.metric(), d, err)
			}
		}
		if runtime.NumCPU() > 1 {
			d, err := m.roundTrip(ctx, 50, 10)
			check(m.prefix+" round trip", d, err)
		}
	}
	d, err := p.members.wake(ctx, 50)
	check("wake-up", d, err)
	if n, err := p.members.second.ask(ctx, "waiters 50"); err != nil || len(n) != 2 || n[1]-n[0] > 10 {
		t.Errorf("waiters: %v, %v", n, err)
	}
	if _, err := p.members.first.ask(ctx, "dance"); err == nil {
		t.Error("an order that there is not is obeyed")
	}
}

// TestChannels: those of the machine.
func TestChannels(t *testing.T) {
	b := newTestLab(t)
	for _, ch := range newChannels(b) {
		if rate, err := ch.measure(t.Context(), channelCase{64 << 10, 1 << 10}); err != nil || rate <= 0 {
			t.Errorf("%s: %v, %v", ch.name, rate, err)
		}
	}
	for _, what := range []string{"futex", "line"} {
		if what == "line" && runtime.NumCPU() < 2 {
			continue
		}
		if d, err := channels(t.Context(), b, what, 50); err != nil || d <= 0 {
			t.Errorf("%s: %v, %v", what, d, err)
		}
	}
}

// TestChannelGoals: each goal finds what it judges, and is about two peers of
// one case.
func TestChannelGoals(t *testing.T) {
	r := results{}
	for _, ring := range rings {
		for _, size := range messageSizes {
			for _, peer := range []string{queueEach, queueBatched, mqEach, pipePeer} {
				r.add(channelCase{ring, size}.metric(), peer, 0, []float64{1})
			}
		}
	}
	for metric, peers := range map[string][]string{
		tripAsleep: {oursShm, mqPeer}, tripAwake: {oursShm, linePeer}, wakeUp: {oursShm, futexPeer}, waiters: {oursShm},
	} {
		for _, peer := range peers {
			r.add(metric, peer, 0, []float64{1})
		}
	}
	goals := channelGoals()
	if len(goals) != 20 {
		t.Errorf("%d goals", len(goals))
	}
	for _, g := range goals {
		if s := g.value(r, ""); s.n != 1 || s.median != 1 {
			t.Errorf("%s is %+v", g.what, s)
		}
	}
	var text strings.Builder
	printGoals(&text, goals, results{}, "")
	if n := strings.Count(text.String(), "not measured"); n != len(goals) {
		t.Errorf("%d of %d goals are not measured where nothing was:\n%s", n, len(goals), text.String())
	}
}
