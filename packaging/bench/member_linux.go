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
		"detach": {0, m.detach}, "pin": {1, m.pin}, "latchping": {2, m.latchPing}, "latchpong": {1, m.latchPong},
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
		begun := time.Now() // not monotonic(), which is a system call
		if err := s.Send(m.ctx, shm.Flush, message); err != nil {
			return nil, err
		}
		got, err := r.Receive(m.ctx)
		if err != nil {
			return nil, err
		}
		copy(message, got)
		ns[i] = time.Since(begun).Nanoseconds()
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

// wakes is what the two ends of a measurement of wake-ups share.
type wakes struct {
	set  atomic.Uint32 // how often the latch was set
	_    [31]uint32
	seen atomic.Uint32 // how often that was noticed, a futex
	_    [31]uint32
	when atomic.Int64 // when it was set last, by a clock that both have
}

func (m *queueMember) wakes() (*wakes, error) {
	area, _, err := m.w.Area("wakes", int(unsafe.Sizeof(wakes{})))
	if err != nil {
		return nil, err
	}
	return (*wakes)(unsafe.Pointer(&area[0])), nil
}

// wakeGap is the time between two wake-ups, so that who is woken sleeps.
const wakeGap = 100 * time.Microsecond

// latchPing SLOT N sets the latch of a slot, again and again, and sleeps each
// time until that was noticed. It does so without a timer: the scheduler lets
// who sets go on until it sleeps, about every other time, and setting a timer
// would be a part of such a wake-up, on a virtual machine the greater one.
func (m *queueMember) latchPing(_ string, n []int) ([]int64, error) {
	s, err := m.wakes()
	if err != nil {
		return nil, err
	}
	peer, err := m.w.PeerLatch(m.ctx, uint32(n[0]))
	if err != nil {
		return nil, err
	}
	defer peer.Close()
	for range n[1] {
		nap(wakeGap)
		s.when.Store(time.Now().UnixNano())
		before := s.set.Add(1) - 1
		if err := peer.Set(); err != nil {
			return nil, err
		}
		for s.seen.Load() == before {
			futex(&s.seen, futexWaitOp, before)
		}
	}
	return nil, nil
}

// nap sleeps as a program in C does, with its thread: what the runtime does
// before it sleeps would be in the way of who is woken.
func nap(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	_, _, _ = unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&ts)), 0, 0)
}

// futex sleeps, or wakes, as a program in C does: see nap.
func futex(word *atomic.Uint32, op int, value uint32) {
	_, _, _ = unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), uintptr(op), uintptr(value), 0, 0, 0)
}

// latchPong N waits for its latch; the answer is the median in ns of the times
// from the set until it runs.
func (m *queueMember) latchPong(_ string, n []int) ([]int64, error) {
	s, err := m.wakes()
	if err != nil {
		return nil, err
	}
	ns := make([]int64, n[0])
	for i := range ns {
		for m.w.Latch().Reset(); s.set.Load() == s.seen.Load(); m.w.Latch().Reset() {
			event, err := m.w.Latch().Wait(context.Background(), -1)
			if err == nil && event != shm.LatchSet {
				err = fmt.Errorf("the latch was not set: %v", event)
			}
			if err != nil {
				return nil, err
			}
		}
		ns[i] = time.Now().UnixNano() - s.when.Load()
		s.seen.Add(1)
		futex(&s.seen, futexWakeOp, 1)
	}
	slices.Sort(ns)
	return []int64{ns[len(ns)/2]}, nil
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
