// Ring is PostgreSQL's test_shm_mq in shape: a worker that registers others,
// puts them into a ring of n members and n + 1 queues, and sends messages
// around it, one after the other or as many at once as fit, with the sizes of
// test_shm_mq. Its members may be of any language:
//
//	worker "ring" {
//	  command      = ["/usr/lib/pg-bgw/workers/ring", "/usr/lib/pg-bgw/workers/ring-member"]
//	  flags        = ["shmem_access"]
//	  restart_time = "never"
//	}
//
// A member is a program without arguments. It learns by its extra data, text in
// UTF-8 as in "in=AREA out=AREA size=BYTES", the areas of the queue that it reads
// and of the one that it writes, and their size. It attaches, copies every message
// until the other side detaches, detaches, and exits with 0. Programs that are
// named more than once, or fewer than members are needed, take turns.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/pg-bgw/pg-bgw/shm"
)

func main() { os.Exit(run()) }

// run returns 0 also after a failure that was reported: to do it again would
// change nothing.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	members := flag.Int("members", 3, "`number` of members of the ring of each case, 0: as test_shm_mq has")
	part := flag.Int("part", 1, "of the messages of each case send only one in so `many`")
	forever := flag.Bool("stress", false, "send checksummed messages around rings of random shape, for ever")
	limit := flag.Duration("limit", 2*time.Minute, "give up after this time")
	flag.Parse()
	if flag.NArg() == 0 || *members < 0 || *part < 1 {
		fmt.Fprintln(os.Stderr, "usage: ring [flags] MEMBER...")
		flag.PrintDefaults()
		return 0
	}
	w, err := shm.Open()
	if err != nil {
		fmt.Fprintln(os.Stderr, "<3>ring:", err)
		return 1
	}
	defer w.Close()
	if *forever {
		if err := stress(ctx, w, flag.Args()); err != nil && ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, "<3>ring:", err)
			return 1
		}
		return 1 // by a signal: it is to be started again
	}
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	if err := drive(ctx, w, *members, *part, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "<3>ring:", err)
		if errors.Is(err, context.Canceled) {
			return 1
		}
	}
	return 0
}

// drive runs all cases.
func drive(ctx context.Context, w *shm.Worker, members, part int, programs []string) error {
	if err := w.Attach(ctx); err != nil {
		return err
	}
	for i, c := range cases() {
		if members > 0 {
			c.members = members
		}
		c.loops = (c.loops + part - 1) / part
		begun := time.Now()
		if err := c.run(ctx, w, i, programs); err != nil {
			return fmt.Errorf("%v: %w", c, err)
		}
		fmt.Printf("%v: ok, %.1f ms\n", c, float64(time.Since(begun).Microseconds())/1e3)
	}
	fmt.Println("all cases: ok")
	return w.Ready(ctx, "all cases: ok")
}
