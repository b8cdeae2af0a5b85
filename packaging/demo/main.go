// Demo is the owner of a dynamic worker in `packaging/dev run`: it registers one,
// stays, and prints each notification that it gets. Its argument is the address
// of the bus. It ends with SIGINT or SIGTERM, and its worker with it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/pg-bgw/pg-bgw/dbusapi"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return errors.New("usage: demo BUS-ADDRESS")
	}
	client, err := dbusapi.Dial(args[0])
	if err != nil {
		return err
	}
	defer client.Close()
	// Before the registration, so that its first notification is not missed.
	events, err := client.Events(ctx, false)
	if err != nil {
		return err
	}
	handle, err := client.RegisterDynamicBackgroundWorker(ctx, worker(), 0)
	if err != nil {
		return fmt.Errorf("cannot register a worker: %w", err)
	}
	fmt.Println("registered", handle.Path())
	for e := range events {
		report(e)
	}
	return ctx.Err()
}

// worker is a definition as PostgreSQL's BackgroundWorker: it sleeps, and is
// started again a second after it ended in any way but by exit status 0.
func worker() dbusapi.Definition {
	return dbusapi.Definition{
		Set: dbusapi.KeyName | dbusapi.KeyFlags | dbusapi.KeyStartTime | dbusapi.KeyRestartTime |
			dbusapi.KeyCommand | dbusapi.KeyStopWithOwner,
		Name:          "owned",
		Flags:         []string{"shmem_access"},
		StartTime:     "postmaster_start",
		RestartTime:   1,
		Command:       []string{"/bin/sleep", "infinity"},
		StopWithOwner: true,
	}
}

func report(e dbusapi.Event) {
	switch e.Kind {
	case dbusapi.EventStateChanged:
		c := e.Change
		fmt.Printf("notified %s pid=%d start=%d exit_code=%d exit_signal=%d %s\n",
			c.State, c.PID, c.StartNumber, c.ExitCode, c.ExitSignal, c.Reason)
	case dbusapi.EventDaemonGone:
		fmt.Println("notified that the supervisor is gone")
	}
}
