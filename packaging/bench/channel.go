package main

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// A channelCase is what is sent: messages of size bytes through a ring of so
// many; a peer without a ring ignores that.
type channelCase struct{ ring, size int }

func (c channelCase) metric() string { return fmt.Sprintf("%dK/%d", c.ring>>10, c.size) }

var (
	rings        = []int{64 << 10, 1 << 20}
	messageSizes = []int{8, 64, 1 << 10, 8 << 10, 64 << 10}
)

// The names by which goals find their peers.
const (
	queueEach    = "pg-bgw, each published"
	queueBatched = "pg-bgw, batched"
	cEach        = "pg-bgw in C, each published"
	cBatched     = "pg-bgw in C, batched"
	mqEach       = "shm_mq, each published"
	mqBatched    = "shm_mq, batched"
	pipePeer     = "pipe"
	socketPeer   = "seqpacket"
	goPeer       = "Go channel"
)

// A channel is one way for two processes to exchange messages; a Go channel is
// the hint of what two threads of one process can. Both sides copy.
type channel struct {
	name string
	// ringless channels are measured once, and not once a ring.
	ringless bool
	// transfer is the time that n messages take.
	transfer func(ctx context.Context, c channelCase, n int) (time.Duration, error)
	rate     map[channelCase]float64 // messages a second, as measured last
}

// measureFor is how long one measurement is to take.
const measureFor = 60 * time.Millisecond

// measure returns messages a second. How many it sends follows from the
// measurement before.
func (ch *channel) measure(ctx context.Context, c channelCase) (float64, error) {
	rate, ok := ch.rate[c]
	if !ok {
		rate = min(2e5, 2e8/float64(c.size)) // a first guess, on the low side
	}
	n := max(64, int(rate*measureFor.Seconds()))
	took, err := ch.transfer(ctx, c, n)
	if err != nil {
		return 0, err
	}
	if took <= 0 {
		return 0, fmt.Errorf("%d messages took %v", n, took)
	}
	ch.rate[c] = float64(n) / took.Seconds()
	return ch.rate[c], nil
}

// newChannels are those of the machine, whatever else is there.
func newChannels(b *lab) []*channel {
	return []*channel{
		{name: pipePeer, ringless: true, transfer: inC(b, "pipe"), rate: map[channelCase]float64{}},
		{name: socketPeer, ringless: true, transfer: inC(b, "seqpacket"), rate: map[channelCase]float64{}},
		{name: goPeer, transfer: goChannel, rate: map[channelCase]float64{}},
	}
}

// channels are by what the members are called that publish each message, and
// not each.
func (m *members) channels(each, batched string) []*channel {
	with := func(flush int) func(context.Context, channelCase, int) (time.Duration, error) {
		return func(ctx context.Context, c channelCase, n int) (time.Duration, error) {
			return m.throughput(ctx, c, flush, n)
		}
	}
	return []*channel{
		{name: each, transfer: with(1), rate: map[channelCase]float64{}},
		{name: batched, transfer: with(0), rate: map[channelCase]float64{}},
	}
}

// mq is PostgreSQL's queue, by c/pgmq.c.
func (p *postgres) mq() []*channel {
	with := func(flush bool) func(context.Context, channelCase, int) (time.Duration, error) {
		return func(ctx context.Context, c channelCase, n int) (time.Duration, error) {
			var ns int64
			err := p.conn.QueryRow(ctx, "SELECT bench_mq($1, $2, $3, $4)", c.ring, c.size, int64(n), flush).Scan(&ns)
			return time.Duration(ns), err
		}
	}
	return []*channel{
		{name: mqEach, transfer: with(true), rate: map[channelCase]float64{}},
		{name: mqBatched, transfer: with(false), rate: map[channelCase]float64{}},
	}
}

// mqTrip is the median of n round trips of 64 bytes through PostgreSQL's queues.
func (p *postgres) mqTrip(ctx context.Context, n, gap int) (time.Duration, error) {
	var ns int64
	err := p.conn.QueryRow(ctx, "SELECT bench_mq_ping(64, $1, $2, true)", int64(n), gap).Scan(&ns)
	return time.Duration(ns), err
}

// newMQ is a server with the extension that measures its queues.
func newMQ(at seat, major int) *postgres {
	p := newPostgres(at, major).(*postgres)
	p.source = "pgmq.c"
	p.functions = []string{
		"bench_mq(int, int, bigint, boolean) RETURNS bigint",
		"bench_mq_ping(int, bigint, int, boolean) RETURNS bigint",
	}
	return p
}

// inC runs c/channels.c.
func inC(b *lab, what string) func(context.Context, channelCase, int) (time.Duration, error) {
	return func(ctx context.Context, c channelCase, n int) (time.Duration, error) {
		return channels(ctx, b, what, c.size, n)
	}
}

func channels(ctx context.Context, b *lab, what string, numbers ...int) (time.Duration, error) {
	args := []string{what}
	for _, n := range numbers {
		args = append(args, strconv.Itoa(n))
	}
	out, err := exec.CommandContext(ctx, b.path("channels"), args...).Output()
	if err != nil {
		return 0, fmt.Errorf("cannot measure %s: %w", what, err)
	}
	ns, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	return time.Duration(ns), err
}

// goChannel passes the numbers of buffers, as many as the ring would hold.
func goChannel(ctx context.Context, c channelCase, n int) (time.Duration, error) {
	room := max(1, c.ring/(c.size+8))
	buffers := make([][]byte, room+2) // one is being filled, one read
	for i := range buffers {
		buffers[i] = make([]byte, c.size)
	}
	full := make(chan int, room)
	begun := time.Now()
	go func() {
		defer close(full)
		from := make([]byte, c.size)
		for i := range n {
			copy(buffers[i%len(buffers)], from)
			select {
			case full <- i % len(buffers):
			case <-ctx.Done():
				return
			}
		}
	}()
	to := make([]byte, c.size)
	for i := range full {
		copy(to, buffers[i])
	}
	return time.Since(begun), ctx.Err()
}
