package server

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"
)

// A recorder holds what a watcher told, in order.
type recorder struct {
	t      testing.TB
	states chan State
	past   []State
	cancel context.CancelFunc
}

// watch runs a watcher until the end of the test.
func watch(t testing.TB, c Config) *recorder {
	t.Helper()
	r, _ := watchWith(t, c)
	return r
}

func watchWith(t testing.TB, c Config) (*recorder, *Watcher) {
	t.Helper()
	if c.SmartStopGrace == 0 {
		c.SmartStopGrace = patience
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &recorder{t: t, states: make(chan State, 10_000), cancel: cancel}
	w := New(c, func(s State) { r.states <- s })
	over := make(chan struct{})
	go func() { w.Run(ctx); close(over) }()
	t.Cleanup(func() {
		cancel()
		select {
		case <-over:
		case <-time.After(patience):
			t.Error("Run does not return")
		}
		if t.Failed() {
			for _, s := range r.past {
				t.Logf("told: %+v", s)
			}
		}
	})
	return r, w
}

// watch watches c by its socket alone.
func (c *cluster) watch() *recorder { return watch(c.t, Config{Label: "test", Conninfo: c.conninfo()}) }

// await returns the next state of one of the kinds; those before it are passed.
func (r *recorder) await(kinds ...Kind) State {
	r.t.Helper()
	return r.awaitThat(fmt.Sprint(kinds), func(s State) bool { return slices.Contains(kinds, s.Kind) })
}

func (r *recorder) awaitThat(what string, ok func(State) bool) State {
	r.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case s := <-r.states:
			r.past = append(r.past, s)
			if ok(s) {
				return s
			}
		case <-timeout:
			r.t.Fatalf("waited for %s in vain", what)
		}
	}
}

// kinds returns what was told so far.
func (r *recorder) kinds() []Kind {
	var ks []Kind
	for _, s := range r.past {
		ks = append(ks, s.Kind)
	}
	return ks
}
