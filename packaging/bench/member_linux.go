package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/pg-bgw/pg-bgw/shm"
)

// memberCommand makes of this program one of two workers of pg-bgw that
// exchange messages: "bench shm-member SOCKET ROLE". It takes its orders over
// the socket: a line of words, answered by a line "ok" with numbers, or "error"
// with a text. See the methods of queueMember.
const memberCommand = "shm-member"

// roles of the two members.
var roles = [2]string{"first", "second"}

// queueMember is a worker that carries out orders.
type queueMember struct {
	w         *shm.Worker
	ctx       context.Context
	queues    map[string]*shm.Queue
	senders   map[string]*shm.Sender
	receivers map[string]*shm.Receiver
}

// member serves orders until the socket is closed.
func member(ctx context.Context, path, role string) error {
	runtime.UnlockOSThread()
	w, err := shm.Open()
	if err != nil {
		return err
	}
	if err := w.Attach(ctx); err != nil {
		return errors.Join(err, w.Close())
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		return errors.Join(err, w.Close())
	}
	context.AfterFunc(ctx, func() { conn.Close() })
	m := &queueMember{
		w: w, ctx: ctx, queues: map[string]*shm.Queue{}, senders: map[string]*shm.Sender{}, receivers: map[string]*shm.Receiver{},
	}
	fmt.Fprintf(conn, "%s %d\n", role, w.Self().Handle.Slot)
	in := bufio.NewScanner(conn)
	for in.Scan() {
		answer := "ok"
		numbers, err := m.obey(strings.Fields(in.Text()))
		if err != nil {
			answer = "error " + strings.ReplaceAll(err.Error(), "\n", " ")
		}
		for _, n := range numbers {
			answer += fmt.Sprintf(" %d", n)
		}
		if _, err := io.WriteString(conn, answer+"\n"); err != nil {
			break
		}
	}
	return w.Close()
}

func (m *queueMember) obey(words []string) ([]int64, error) {
	if len(words) == 0 {
		return nil, errors.New("no order")
	}
	name, numbers := "", []int(nil)
	for _, word := range words[1:] {
		n, err := strconv.Atoi(word)
		if err != nil {
			name = word
			continue
		}
		numbers = append(numbers, n)
	}
	orders := map[string]struct {
		numbers int
		run     func(name string, n []int) ([]int64, error)
	}{
		"create": {1, m.create}, "open": {1, m.open}, "sender": {0, m.sender}, "receiver": {0, m.receiver},
		"send": {3, m.send}, "receive": {2, m.receive}, "ping": {3, m.ping}, "pong": {1, m.pong},
		"detach": {0, m.detach}, "pin": {1, m.pin}, "latchping": {2, m.latchPing}, "latchpong": {2, m.latchPong},
		"waiters": {1, m.waiters},
	}
	o, ok := orders[words[0]]
	if !ok || len(numbers) != o.numbers {
		return nil, fmt.Errorf("unknown order %q", words)
	}
	return o.run(name, numbers)
}

// create NAME BYTES makes the queue of an area.
func (m *queueMember) create(name string, n []int) ([]int64, error) {
	data, _, err := m.w.Area(name, n[0])
	if err == nil {
		m.queues[name], err = m.w.CreateQueue(data)
	}
	return nil, err
}

// open NAME BYTES opens it.
func (m *queueMember) open(name string, n []int) ([]int64, error) {
	data, _, err := m.w.Area(name, n[0])
	if err == nil {
		m.queues[name], err = m.w.OpenQueue(data)
	}
	return nil, err
}

func (m *queueMember) sender(name string, _ []int) (_ []int64, err error) {
	m.senders[name], err = m.queues[name].AttachSender()
	return nil, err
}

func (m *queueMember) receiver(name string, _ []int) (_ []int64, err error) {
	m.receivers[name], err = m.queues[name].AttachReceiver()
	return nil, err
}

// send NAME SIZE N FLUSH sends; the answer is when it began.
func (m *queueMember) send(name string, n []int) ([]int64, error) {
	s, from, mode := m.senders[name], make([]byte, n[0]), shm.FlushMode(n[2])
	if err := s.WaitAttach(m.ctx); err != nil {
		return nil, err
	}
	begun := monotonic()
	for range n[1] {
		if err := s.Send(m.ctx, mode, from); err != nil {
			return nil, err
		}
	}
	return []int64{begun}, s.Flush()
}

// receive NAME SIZE N receives; the answer is when it ended.
func (m *queueMember) receive(name string, n []int) ([]int64, error) {
	r, to := m.receivers[name], make([]byte, n[0])
	for range n[1] {
		got, err := r.Receive(m.ctx)
		if err != nil {
			return nil, err
		}
		copy(to, got)
	}
	return []int64{monotonic()}, nil
}

// ping NAME SIZE N GAP makes round trips through NAME-forth and NAME-back, and
// sleeps so many microseconds before each. The answer is their median in ns.
func (m *queueMember) ping(name string, n []int) ([]int64, error) {
	s, r, message := m.senders[name+"-forth"], m.receivers[name+"-back"], make([]byte, n[0])
	ns := make([]int64, n[1])
	for i := range ns {
		if n[2] > 0 {
			time.Sleep(time.Duration(n[2]) * time.Microsecond)
		}
		begun := monotonic()
		if err := s.Send(m.ctx, shm.Flush, message); err != nil {
			return nil, err
		}
		got, err := r.Receive(m.ctx)
		if err != nil {
			return nil, err
		}
		copy(message, got)
		ns[i] = monotonic() - begun
	}
	slices.Sort(ns)
	return []int64{ns[len(ns)/2]}, nil
}

// pong NAME N is the other end of it.
func (m *queueMember) pong(name string, n []int) ([]int64, error) {
	r, s := m.receivers[name+"-forth"], m.senders[name+"-back"]
	for range n[0] {
		got, err := r.Receive(m.ctx)
		if err != nil {
			return nil, err
		}
		if err := s.Send(m.ctx, shm.Flush, got); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func (m *queueMember) detach(name string, _ []int) ([]int64, error) {
	if s := m.senders[name]; s != nil {
		s.Detach()
	}
	if r := m.receivers[name]; r != nil {
		r.Detach()
	}
	delete(m.senders, name)
	delete(m.receivers, name)
	return nil, nil
}

// pin N keeps all threads on one processor, those to come have it from them, and
// tells the runtime that it has no more; -1 ends that.
func (m *queueMember) pin(_ string, n []int) ([]int64, error) {
	if n[0] < 0 {
		defer runtime.SetDefaultGOMAXPROCS()
	} else {
		defer runtime.GOMAXPROCS(1)
	}
	var set unix.CPUSet
	for cpu := range runtime.NumCPU() {
		if n[0] < 0 || n[0] == cpu {
			set.Set(cpu)
		}
	}
	tasks, err := os.ReadDir("/proc/self/task")
	for _, t := range tasks {
		tid, _ := strconv.Atoi(t.Name())
		err = errors.Join(err, unix.SchedSetaffinity(tid, &set))
	}
	return nil, err
}

// turns are two counts that the members raise in turn; a latch only says that
// one was raised.
func (m *queueMember) turns() (mine, theirs *atomic.Uint64, err error) {
	area, _, err := m.w.Area("turns", 256)
	if err != nil {
		return nil, nil, err
	}
	a, b := (*atomic.Uint64)(unsafe.Pointer(&area[0])), (*atomic.Uint64)(unsafe.Pointer(&area[128]))
	return a, b, nil
}

// latchPing SLOT N raises a count, sets the latch of a slot and waits for its
// own; the answer is half the median in ns: one wake-up.
func (m *queueMember) latchPing(_ string, n []int) ([]int64, error) {
	mine, theirs, err := m.turns()
	if err != nil {
		return nil, err
	}
	peer, err := m.w.PeerLatch(m.ctx, uint32(n[0]))
	if err != nil {
		return nil, err
	}
	defer peer.Close()
	ns := make([]int64, n[1])
	for i := range ns {
		begun := monotonic()
		turn := mine.Add(1)
		if err := peer.Set(); err != nil {
			return nil, err
		}
		if err := m.await(theirs, turn); err != nil {
			return nil, err
		}
		ns[i] = monotonic() - begun
	}
	slices.Sort(ns)
	return []int64{ns[len(ns)/2] / 2}, nil
}

func (m *queueMember) latchPong(_ string, n []int) ([]int64, error) {
	theirs, mine, err := m.turns()
	if err != nil {
		return nil, err
	}
	peer, err := m.w.PeerLatch(m.ctx, uint32(n[0]))
	if err != nil {
		return nil, err
	}
	defer peer.Close()
	for range n[1] {
		if err := m.await(theirs, mine.Load()+1); err != nil {
			return nil, err
		}
		mine.Add(1)
		if err := peer.Set(); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// await waits for the latch until the count is there.
func (m *queueMember) await(count *atomic.Uint64, want uint64) error {
	for m.w.Latch().Reset(); count.Load() != want; m.w.Latch().Reset() {
		event, err := m.w.Latch().Wait(context.Background(), -1)
		if err != nil {
			return err
		}
		if event != shm.LatchSet {
			return fmt.Errorf("the latch was not set: %v", event)
		}
	}
	return nil
}

// waiters N has so many goroutines wait, each for a queue of its own; the answer
// is the number of threads before and while they do.
func (m *queueMember) waiters(_ string, n []int) ([]int64, error) {
	const room = 128
	area, _, err := m.w.Area("waiters", n[0]*room)
	if err != nil {
		return nil, err
	}
	before := threads()
	ctx, cancel := context.WithCancel(m.ctx)
	defer cancel()
	ended := make(chan error, n[0])
	for i := range n[0] {
		q, err := m.w.CreateQueue(area[i*room : (i+1)*room])
		if err != nil {
			return nil, err
		}
		r, err := q.AttachReceiver()
		if err != nil {
			return nil, err
		}
		defer r.Detach()
		go func() {
			_, err := r.Receive(ctx)
			ended <- err
		}()
	}
	time.Sleep(500 * time.Millisecond) // all of them sleep by then
	during := threads()
	cancel()
	for range n[0] {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			return nil, fmt.Errorf("a waiter ended with %v", err)
		}
	}
	return []int64{before, during}, nil
}

func threads() int64 {
	tasks, _ := os.ReadDir("/proc/self/task")
	return int64(len(tasks))
}
