package main

import (
	"context"
	"slices"
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

// index returns every worker with what tells workers apart and no more: handle, label, name, state, pid and the time of
// its last change. It stays small where definitions are large and many. doing names what it is for.
func (b *bus) index(ctx context.Context, doing string) (workers, error) {
	rows, err := b.ListWorkers(ctx)
	if err != nil {
		return nil, explain(err, doing)
	}
	ws := make(workers, len(rows))
	for i, r := range rows {
		ws[i] = workerInfo{Handle: r.Handle, Label: r.Label, State: r.State, MainPID: r.PID, Changed: dbusapi.Timestamp{Realtime: r.Since},
			Definition: dbusapi.Definition{Name: r.Name, Type: r.Type, Segment: r.Segment}}
	}
	return ws, nil
}

// withEnded adds to ws, the registered workers, those that have ended and are still readable: with all there is to know
// of them if whole is set, else as index has them.
func (b *bus) withEnded(ctx context.Context, ws workers, whole bool) (workers, error) {
	index, err := b.index(ctx, "list workers")
	if err != nil {
		return nil, err
	}
	for _, w := range index {
		if !hasEnded(&w) || slices.ContainsFunc(ws, func(o workerInfo) bool { return o.Handle == w.Handle }) {
			continue
		}
		if whole {
			if w, err = b.Worker(ctx, w.Handle); err != nil {
				continue // forgotten meanwhile
			}
		}
		ws = append(ws, w)
	}
	return ws, nil
}

// find returns all there is to know of the one worker that text means: one of ws, or an ended one that is not listed.
func (b *bus) find(ctx context.Context, ws workers, text string) (workerInfo, error) {
	found := ws.match(text)
	if len(found) == 0 && text != "" { // a dynamic worker may have the empty label
		if w, err := b.unlisted(ctx, text); err == nil || dbusapi.IsError(err, dbusapi.ErrorAmbiguousLabel) {
			return w, explain(err, "find worker "+safe(text))
		}
	}
	if len(found) > 1 {
		for i := range found[:min(len(found), ambiguousShown)] {
			if w, err := b.Worker(ctx, found[i].Handle); err == nil {
				found[i] = w
			}
		}
	}
	if err := ws.refuse(text, found); err != nil {
		return workerInfo{}, err
	}
	w, err := b.Worker(ctx, found[0].Handle)
	return w, explain(err, "find worker "+safe(text))
}

// unlisted returns a worker that has ended and is not listed any more, by its handle or its label.
func (b *bus) unlisted(ctx context.Context, text string) (workerInfo, error) {
	h, ok := parseHandle(text)
	if !ok {
		var err error
		if h, err = b.GetWorker(ctx, text); err != nil {
			return workerInfo{}, err
		}
	}
	return b.Worker(ctx, h)
}
