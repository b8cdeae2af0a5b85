// Ring-member is a worker in a ring of queues, in Go: it copies every message
// from one queue to another until the first is detached, and then ends. The
// ring's driver registers it; see the command ring. ring-member.py and
// c/ring-member.c do the same.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/pg-bgw/pg-bgw/shm"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "<3>ring-member:", err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	w, err := shm.Open()
	if err != nil {
		return err
	}
	defer w.Close() // detaches: an end without it is a crash of the segment
	if err := w.Attach(ctx); err != nil {
		return err
	}
	in, err := queue(w, "in")
	if err != nil {
		return err
	}
	out, err := queue(w, "out")
	if err != nil {
		return err
	}
	r, err := in.AttachReceiver()
	if err != nil {
		return err
	}
	s, err := out.AttachSender()
	if err != nil {
		return err
	}
	return copyAll(ctx, r, s)
}

// queue opens the queue that the extra data names, as in "in=area out=area".
func queue(w *shm.Worker, key string) (*shm.Queue, error) {
	for word := range strings.FieldsSeq(string(w.Self().Extra)) {
		name, ok := strings.CutPrefix(word, key+"=")
		if !ok {
			continue
		}
		data, found, err := w.FindArea(name)
		if err != nil {
			return nil, err
		}
		if !found {
			return nil, fmt.Errorf("there is no area %q", name)
		}
		return w.OpenQueue(data)
	}
	return nil, fmt.Errorf("the extra data %q has no %s=", w.Self().Extra, key)
}

// copyAll ends without an error when either side has detached.
func copyAll(ctx context.Context, r *shm.Receiver, s *shm.Sender) error {
	defer s.Detach()
	defer r.Detach()
	for {
		message, err := r.Receive(ctx)
		if err == nil {
			err = s.Send(ctx, shm.Flush, message)
		}
		if errors.Is(err, shm.ErrDetached) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
