package server

import (
	"context"
)

// A Watcher follows one server.
type Watcher struct {
	config Config
	emit   func(State)
}

// New returns a watcher that calls changed once with the first thing it finds
// out and then at each change, in order, on one goroutine (that of
// [Watcher.Run]). changed must not block for long: while it runs the watcher
// sees nothing. Nothing is opened before Run. A conninfo that cannot be used
// becomes an Unknown state that says why; [Config.Check] tells beforehand.
func New(c Config, changed func(State)) *Watcher {
	return &Watcher{config: c, emit: changed}
}

// Run watches until ctx is done, then closes everything and returns. It is
// called once.
func (w *Watcher) Run(ctx context.Context) {
	<-ctx.Done()
}

// Relax says that nobody waits for a promotion (or, with false, that somebody
// does, which is the beginning): a standby is then asked every 2 s only. It
// may be called at any time on any goroutine.
func (w *Watcher) Relax(relaxed bool) {}

// Check reports what is wrong with c without asking the server.
func (c Config) Check() error { return nil }

// LibpqEnv returns the libpq environment ("PGHOST=...") that makes a worker
// reach the server of c. It never holds a password.
func LibpqEnv(c Config) ([]string, error) { return nil, nil }
