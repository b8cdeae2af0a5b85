package server

import (
	"context"
	"sync/atomic"
	"time"
)

// A Watcher follows one server.
type Watcher struct {
	config  Config
	changed func(State)
	wake    chan struct{} // holds one; one of these has changed:

	relaxed   atomic.Bool
	counting  atomic.Bool
	suspected atomic.Bool  // until the loop has taken note
	grace     atomic.Int64 // Config.SmartStopGrace, or what came after
}

// New returns a watcher that calls changed once with the first thing it finds
// out and then at each change, in order, on one goroutine (that of
// [Watcher.Run]). changed must not block for long: while it runs the watcher
// sees nothing. Nothing is opened before Run. A conninfo that cannot be used
// becomes an Unknown state that says why; [Config.Check] tells beforehand.
func New(c Config, changed func(State)) *Watcher {
	if c.Interval <= 0 {
		c.Interval = 50 * time.Millisecond
	}
	w := &Watcher{config: c, changed: changed, wake: make(chan struct{}, 1)}
	w.grace.Store(int64(c.SmartStopGrace))
	return w
}

// SetSmartStopGrace puts d in place of [Config].SmartStopGrace, also for a
// smart stop that has begun. It may be called at any time on any goroutine.
func (w *Watcher) SetSmartStopGrace(d time.Duration) {
	if w.grace.Swap(int64(d)) != int64(d) {
		w.nudge()
	}
}

func (w *Watcher) smartStopGrace() time.Duration { return time.Duration(w.grace.Load()) }

// Relax says that nobody waits for a promotion (or, with false, that somebody
// does, which is the beginning): a standby then has it noticed within some
// seconds only. It may be called at any time on any goroutine.
func (w *Watcher) Relax(relaxed bool) {
	w.set(&w.relaxed, relaxed)
}

// Suspect says that something outside makes a change of the server likely, as
// the unexpected end of a process that had a session does: the server is asked
// now, or a second after the last time that this was said. It may be called at any
// time on any goroutine.
func (w *Watcher) Suspect() {
	w.set(&w.suspected, true)
}

// CountClients says whether State.Clients is wanted outside SmartStop too, as
// it is while pg-bgw itself is in a smart shutdown. It may be called at any
// time on any goroutine.
func (w *Watcher) CountClients(count bool) {
	w.set(&w.counting, count)
}

func (w *Watcher) set(b *atomic.Bool, v bool) {
	if b.Swap(v) != v {
		w.nudge()
	}
}

func (w *Watcher) nudge() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Run watches until ctx is done, then closes everything and returns; changed
// is not called after that. It is called once.
func (w *Watcher) Run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	l := &loop{
		Watcher:  w,
		ctx:      ctx,
		hints:    newHints(),
		answers:  make(chan answer),
		messages: make(chan message),
		timer:    time.NewTimer(0),
		budget:   budget{tokens: maxHints, last: time.Now()},
	}
	l.run()
	cancel()
	l.close()
}

// A budget spreads the questions that hints lead to: maxHints at once, then
// one in each hintEvery, so that nobody makes us flood the server by touching
// files.
type budget struct {
	tokens float64
	last   time.Time
}

const (
	maxHints  = 40
	hintEvery = 100 * time.Millisecond
)

// take returns how long a question has to wait for its turn.
func (b *budget) take(now time.Time) time.Duration {
	b.tokens = min(maxHints, b.tokens+float64(now.Sub(b.last))/float64(hintEvery))
	b.last = now
	if b.tokens < 1 {
		return time.Duration((1 - b.tokens) * float64(hintEvery))
	}
	b.tokens--
	return 0
}
