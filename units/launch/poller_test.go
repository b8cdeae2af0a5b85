package launch

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func pipe(t *testing.T) (read, write int) {
	t.Helper()
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(p[0]); unix.Close(p[1]) })
	return p[0], p[1]
}

func newTestPoller(t *testing.T) *Poller {
	t.Helper()
	p, err := NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func TestPoller(t *testing.T) {
	p := newTestPoller(t)
	read, write := pipe(t)
	got := make(chan string, 10)
	if err := p.Add(read, unix.EPOLLIN, func(uint32) {
		var b [1]byte // one byte at a time: level-triggered, so it is called again
		n, _ := unix.Read(read, b[:])
		got <- string(b[:n])
	}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := unix.Write(write, []byte("ab")); err != nil {
			t.Fatal(err)
		}
		if a, b := <-got, <-got; a+b != "ab" {
			t.Errorf("got %q", a+b)
		}
	}
	if err := p.Add(read, unix.EPOLLIN, nil); !errors.Is(err, unix.EEXIST) {
		t.Errorf("added twice: %v", err)
	}
	p.Remove(read)
	p.Remove(read)
	p.Remove(12345)
	if err := p.Modify(read, unix.EPOLLIN); err == nil {
		t.Error("modified what is not there")
	}
}

// A descriptor that is removed, closed and made again while its event is
// waiting to be delivered: the new one does not get it.
func TestPollerReusedDescriptor(t *testing.T) {
	p := newTestPoller(t)
	first, w1 := pipe(t)
	second, w2 := pipe(t)
	done := make(chan bool)
	replace := func(other int) func(uint32) {
		return func(uint32) {
			// Both are ready and in one batch, in whichever order: the first replaces the other.
			p.Remove(first)
			p.Remove(second)
			if err := p.Add(other, 0, func(uint32) { t.Error("event of the one before") }); err != nil {
				t.Error(err)
			}
			close(done)
		}
	}
	hold := make(chan bool)
	gate, gw := pipe(t)
	if err := p.Add(gate, unix.EPOLLIN, func(uint32) { p.Remove(gate); <-hold }); err != nil {
		t.Fatal(err)
	}
	_, _ = unix.Write(gw, []byte("x"))
	for fd, other := range map[int]int{first: second, second: first} {
		if err := p.Add(fd, unix.EPOLLIN, replace(other)); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = unix.Write(w1, []byte("x"))
	_, _ = unix.Write(w2, []byte("x"))
	close(hold)
	<-done
}

func TestPollerClose(t *testing.T) {
	p := newTestPoller(t)
	before := runtime.NumGoroutine()
	q, err := NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if err := q.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
	if err := q.Add(0, unix.EPOLLIN, nil); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Add after Close: %v", err)
	}
	for runtime.NumGoroutine() > before {
		runtime.Gosched()
	}
	_ = p
}

// A live worker costs one descriptor, no goroutine and no thread.
func TestCostOfWorkers(t *testing.T) {
	both(t, func(t *testing.T, r *rig) {
		_, exits := r.start(spec("exit 0"))
		<-exits
		count := func() (fds, goroutines int) {
			return strings.Count(descriptors(t), "\n"), runtime.NumGoroutine()
		}
		fds, goroutines := count()
		const n = 100
		stop := r.idle(n)
		r.eventually(func() bool { // the goroutines of starts end by themselves
			f, g := count()
			return f-fds == n && g <= goroutines
		})
		stop()
	})
}
