package server

import (
	"testing"
	"time"
)

// A reason to ask is not lost to the answer that is on its way, also where it
// may not be heeded at once: that answer may be out of date.
func TestReasonsToAsk(t *testing.T) {
	now := time.Now()
	fresh := func() *loop {
		return &loop{Watcher: New(Config{}, func(State) {}), asking: true, askAt: now.Add(time.Hour), budget: budget{tokens: 1, last: now}, hints: &hints{}}
	}
	answered := func(l *loop) time.Duration {
		l.onAnswer(answer{reply: shuttingDown}, now)
		return l.askAt.Sub(now)
	}
	if got := answered(fresh()); got <= 0 {
		t.Errorf("without a reason the next question is due after %v", got)
	}
	l := fresh()
	l.onHint(now)
	if got := answered(l); got != 0 {
		t.Errorf("after a hint the next question is due after %v, want at once", got)
	}
	l = fresh()
	l.budget.tokens = 0.9
	l.eager = now.Add(-time.Hour) // so that there is no other reason
	l.onHint(now)
	l.eager = now.Add(-time.Hour)
	l.seen.answer = shuttingDown
	if got := answered(l).Round(time.Microsecond); got != hintEvery/10 {
		t.Errorf("after a hint that has to wait the next question is due after %v, want %v", got, hintEvery/10)
	}
}

// Suspicions are heeded at once, but no more than one in a second.
func TestSuspicions(t *testing.T) {
	now := time.Now()
	l := &loop{Watcher: New(Config{}, func(State) {}), askAt: now.Add(time.Hour)}
	for i, want := range []time.Duration{0, time.Second, time.Second} {
		l.Suspect()
		l.askAt, l.askBy = now.Add(time.Hour), time.Time{}
		l.onWake(now)
		if i == 2 {
			want = time.Hour // that of a second is still to come
		}
		if got := l.askAt.Sub(now); got != want {
			t.Errorf("suspicion %d: the next question is due after %v, want %v", i, got, want)
		}
	}
	l.onWake(now.Add(time.Minute)) // of something else
	if got := l.askAt.Sub(now); got != time.Hour {
		t.Errorf("without a suspicion the next question is due after %v", got)
	}
	later := now.Add(time.Minute)
	l.Suspect()
	l.onWake(later)
	if !l.askAt.Equal(later) {
		t.Errorf("a minute later the next question is due after %v, want at once", l.askAt.Sub(later))
	}
}
