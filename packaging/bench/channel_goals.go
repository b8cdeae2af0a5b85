package main

import "fmt"

// Metrics beside the throughputs, in ns; waiters is a number of threads.
const (
	tripAsleep = "round trip of 64 bytes, both asleep in between"
	tripAwake  = "round trip of 64 bytes, one after the other"
	wakeUp     = "wake-up on one processor"
	waiters    = "threads that 1,000 waiting goroutines add"

	linePeer  = "cache line"
	futexPeer = "C futex"
	oursShm   = "pg-bgw"
	oursInC   = "pg-bgw in C"
	mqPeer    = "shm_mq"
)

// channelGoals are those of queues and latches. The server plays no part in
// them: PostgreSQL's queue is a peer by its own name.
func channelGoals() []goal {
	var goals []goal
	throughput := func(ring, size int, limit float64, peer, base string) {
		metric := channelCase{ring, size}.metric()
		goals = append(goals, goal{
			what: fmt.Sprintf("%s B, ring of %d KiB: %s, against %s", sizeName(size), ring>>10, peer, base), limit: limit, unit: "x", atLeast: true,
			value: func(r results, _ string) spread { return r.ratio(metric, peer, metric, base) },
		})
	}
	for _, ring := range rings {
		for _, size := range messageSizes {
			switch {
			case size <= 64:
				throughput(ring, size, 1, queueEach, mqEach)
				throughput(ring, size, 3, queueBatched, mqEach)
			case ring == rings[0]:
				throughput(ring, size, 2.5, queueEach, mqEach)
			default:
				throughput(ring, size, 0.9, queueEach, mqEach)
			}
		}
	}
	throughput(1<<20, 64, 20, queueBatched, pipePeer)
	throughput(1<<20, 8<<10, 2, queueBatched, pipePeer)
	time := func(metric string, limit float64, base string) {
		goals = append(goals, goal{
			what: metric + ": pg-bgw, against " + base, limit: limit, unit: "x",
			value: func(r results, _ string) spread { return r.ratio(metric, oursShm, metric, base) },
		})
	}
	time(tripAsleep, 1, mqPeer)
	time(tripAwake, 3, linePeer)
	time(wakeUp, 1.8, futexPeer)
	return append(goals, goal{
		what: waiters, limit: 4, unit: "threads",
		value: func(r results, _ string) spread { return r.medians(waiters, oursShm) },
	})
}

// sizeName is "64", "8 Ki".
func sizeName(n int) string {
	if n >= 1<<10 {
		return fmt.Sprintf("%d Ki", n>>10)
	}
	return fmt.Sprint(n)
}
