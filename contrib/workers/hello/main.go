// Hello is a background worker in Go: it attaches to its segment, counts its
// starts in a named area that outlives it, says that it is ready, and works
// when its latch is set or ten seconds have passed, until it is asked to end.
//
//	worker "hello" {
//	  command      = ["/usr/lib/pg-bgw/workers/hello"]
//	  flags        = ["shmem_access"]
//	  restart_time = "10s"
//	}
package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/pg-bgw/pg-bgw/shm"
)

func main() { os.Exit(run()) }

// run returns PostgreSQL's exit codes: 0 is done and never again, 1 is to be
// started again after restart_time.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	w, err := shm.Open()
	if err != nil {
		fmt.Fprintln(os.Stderr, "<3>hello:", err)
		return 1
	}
	defer w.Close() // detaches: an end without it is a crash of the segment
	if err := w.Attach(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "<3>hello:", err)
		return 1
	}
	area, _, err := w.Area("hello starts", 8)
	if err != nil {
		fmt.Fprintln(os.Stderr, "<3>hello:", err)
		return 1
	}
	starts := binary.LittleEndian.Uint64(area) + 1
	binary.LittleEndian.PutUint64(area, starts)
	if err := w.Ready(ctx, fmt.Sprintf("start %d in this segment", starts)); err != nil {
		return 1
	}
	for {
		fmt.Printf("hello from %s, start %d in this segment\n", w.Self().Name, starts)
		switch event, err := w.Latch().Wait(ctx, 10*time.Second); {
		case err != nil: // SIGTERM
			return 1
		case event == shm.SupervisorDied:
			return 1
		case event == shm.LatchSet:
			w.Latch().Reset()
		}
	}
}
