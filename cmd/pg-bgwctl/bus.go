package main

import (
	"context"
	"time"

	"github.com/pg-bgw/pg-bgw/dbusapi"
)

// Bounds on how long a call may take. The daemon answers at once; a reload reads files and waits for nobody.
const (
	callTimeout   = 25 * time.Second
	reloadTimeout = 90 * time.Second
)

// bus is a connection to the daemon. Its owner closes it.
type bus struct {
	*dbusapi.Client
}

// dial connects to the bus; there need not be a daemon.
func (a *app) dial() (*bus, error) {
	c, err := dbusapi.Dial(a.address)
	if err != nil {
		return nil, &failure{code: codeFailed, text: err.Error(), cause: err,
			hint: "see whether the bus runs: systemctl status dbus; choose another one with --address"}
	}
	return &bus{c}, nil
}

// withBus dials, gives do a context that bounds its calls, and closes.
func (a *app) withBus(do func(context.Context, *bus) error) error {
	b, err := a.dial()
	if err != nil {
		return err
	}
	defer b.Close()
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	return do(ctx, b)
}

// all returns every worker, ended ones included; doing names what for.
func (b *bus) all(ctx context.Context, doing string) (workers, error) {
	ws, err := b.Workers(ctx)
	return ws, explain(err, doing)
}

// find returns the one worker that text means: one of ws, or an ended one that is not listed any more.
func (b *bus) find(ctx context.Context, ws workers, text string) (dbusapi.WorkerInfo, error) {
	w, err := ws.find(text)
	if h, ok := parseHandle(text); ok && isNoWorker(err) {
		if w, err := b.Worker(ctx, h); err == nil {
			return w, nil
		}
	}
	return w, err
}
