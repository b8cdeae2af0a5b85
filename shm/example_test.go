package shm_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/pg-bgw/pg-bgw/shm"
)

// The life of a worker that counts its wake-ups in an area that all workers of
// the segment share.
func Example() {
	ctx := context.Background()
	w, err := shm.Open()
	if errors.Is(err, shm.ErrNotWorker) {
		fmt.Println("not a worker:", err)
		return
	}
	if err != nil {
		log.Fatal(err)
	}
	defer w.Close() // ending without it is a crash once attached
	if err := w.Attach(ctx); err != nil {
		log.Fatal(err)
	}
	counter, _, err := w.Area("wake-ups", 8)
	if err != nil {
		log.Fatal(err)
	}
	if err := w.Ready(ctx, "counting"); err != nil {
		log.Fatal(err)
	}
	for {
		w.Latch().Reset()
		counter[0]++
		event, err := w.Latch().Wait(ctx, 10*time.Second)
		if err != nil || event == shm.SupervisorDied {
			return
		}
	}
	// Output: not a worker: not started by pg-bgw: PGBGW_FDS is not set
}

// A supervisor's side: the memory of a segment, and the table of all slots.
func ExampleCreate() {
	segment, err := shm.Create("main", shm.MinSize)
	if err != nil {
		log.Fatal(err)
	}
	defer segment.Close()
	slots, err := shm.CreateSlots(128)
	if err != nil {
		log.Fatal(err)
	}
	defer slots.Close()
	slots.Set(3, shm.Entry{Generation: 17, Pid: -1, State: shm.StateWaiting, Status: shm.StatusNotYetStarted, Name: "hello"})
	fmt.Println(segment.Name(), segment.Size(), slots.Used())
	// Output: main 2097152 4
}

func ExampleRestartAfter() {
	d := shm.Definition{
		Name:        "hourly",
		Flags:       []string{shm.FlagShmemAccess},
		RestartTime: shm.RestartAfter(10 * time.Second),
		Command:     []string{"/usr/bin/true"},
	}
	fmt.Println(d.RestartTime, d.KillTimeout == 0)
	// Output: 10s true
}

// One worker answers another through two queues, which lie in areas of both.
// The other one makes them, registers this one and calls Expect with its
// handle.
func ExampleQueue() {
	ctx := context.Background()
	w, err := shm.Open()
	if errors.Is(err, shm.ErrNotWorker) {
		fmt.Println("not a worker")
		return
	}
	if err != nil {
		log.Fatal(err)
	}
	defer w.Close()
	if err := w.Attach(ctx); err != nil {
		log.Fatal(err)
	}
	open := func(name string) *shm.Queue {
		data, _, err := w.Area(name, 256<<10)
		if err != nil {
			log.Fatal(err)
		}
		q, err := w.OpenQueue(data)
		if err != nil {
			log.Fatal(err)
		}
		return q
	}
	questions, err := open("questions").AttachReceiver()
	if err != nil {
		log.Fatal(err)
	}
	answers, err := open("answers").AttachSender()
	if err != nil {
		log.Fatal(err)
	}
	for {
		question, err := questions.Receive(ctx)
		if errors.Is(err, shm.ErrDetached) {
			answers.Detach()
			return
		}
		if err != nil {
			log.Fatal(err)
		}
		if err := answers.Send(ctx, shm.Flush, []byte("re: "), question); err != nil {
			log.Fatal(err)
		}
	}
	// Output: not a worker
}
