package control

import (
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func pair(t *testing.T) (supervisor, worker int) {
	t.Helper()
	s, w, err := NewPair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(s); unix.Close(w) })
	return s, w
}

func openFds(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestNewPairFlags(t *testing.T) {
	s, w := pair(t)
	for fd, nonblock := range map[int]int{s: unix.O_NONBLOCK, w: 0} {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		if err != nil || flags&unix.O_NONBLOCK != nonblock {
			t.Errorf("descriptor %d has flags %#x, error %v", fd, flags, err)
		}
		flags, err = unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("descriptor %d is not close-on-exec (error %v)", fd, err)
		}
	}
}

func TestSendReceive(t *testing.T) {
	s, w := pair(t)
	buf := make([]byte, MaxRecord)
	if _, err := Receive(s, buf); !errors.Is(err, unix.EAGAIN) {
		t.Fatalf("nothing to read: got %v", err)
	}
	// The largest record goes through in one piece.
	big := Record{Type: Ready, ID: 1, Text: strings.Repeat("x", MaxRecord-HeaderSize-4)}
	b, err := big.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := Send(w, b, -1); err != nil {
		t.Fatal(err)
	}
	n, err := Receive(s, buf)
	if err != nil || n != MaxRecord {
		t.Fatalf("got %d bytes, error %v", n, err)
	}
	var back Record
	if err := back.Decode(buf[:n]); err != nil || back.Text != big.Text {
		t.Fatalf("decoded %d bytes of text, error %v", len(back.Text), err)
	}
	// A longer packet is cut, and noticed.
	if err := unix.Send(w, make([]byte, MaxRecord+1), 0); err != nil {
		t.Fatal(err)
	}
	n, err = Receive(s, buf)
	if err != nil {
		t.Fatal(err)
	}
	if err := back.Decode(buf[:n]); !errors.Is(err, ErrMalformed) {
		t.Fatalf("a packet that was cut: got %v", err)
	}
}

func TestReceiveEnd(t *testing.T) {
	s, w := pair(t)
	unix.Close(w)
	if _, err := Receive(s, make([]byte, 100)); err != io.EOF {
		t.Errorf("got %v, want EOF", err)
	}
	if err := Send(s, []byte("x"), -1); !errors.Is(err, unix.EPIPE) {
		t.Errorf("got %v, want EPIPE and no signal", err)
	}
}

// TestReceiveLast: what a worker says before its end counts, also when it has not
// read all that it was told.
func TestReceiveLast(t *testing.T) {
	s, w := pair(t)
	for _, step := range []error{Send(s, []byte("unread"), -1), Send(w, []byte("last"), -1), unix.Close(w)} {
		if step != nil {
			t.Fatal(step)
		}
	}
	buf := make([]byte, 100)
	if n, err := Receive(s, buf); err != nil || string(buf[:n]) != "last" {
		t.Errorf("got %q, %v", buf[:n], err)
	}
	if _, err := Receive(s, buf); err != io.EOF {
		t.Errorf("got %v, want EOF", err)
	}
}

// TestReceiveDropsDescriptors: a worker cannot fill the supervisor's table.
func TestReceiveDropsDescriptors(t *testing.T) {
	s, w := pair(t)
	before := openFds(t)
	buf := make([]byte, 100)
	for range 50 {
		rights := unix.UnixRights(w, w, w, w)
		if err := unix.Sendmsg(w, []byte("hello"), rights, nil, 0); err != nil {
			t.Fatal(err)
		}
		if n, err := Receive(s, buf); err != nil || n != 5 {
			t.Fatalf("got %d, %v", n, err)
		}
	}
	if after := openFds(t); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

// TestReceiveWithTakesOne: of many descriptors one arrives, close-on-exec.
func TestReceiveWithTakesOne(t *testing.T) {
	s, w := pair(t)
	before := openFds(t)
	if err := unix.Sendmsg(s, []byte("hello"), unix.UnixRights(s, s, s), nil, 0); err != nil {
		t.Fatal(err)
	}
	n, fd, err := ReceiveWith(w, make([]byte, 100))
	if err != nil || n != 5 || fd < 0 {
		t.Fatalf("got %d bytes, descriptor %d, error %v", n, fd, err)
	}
	if after := openFds(t); after != before+1 {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("it is not close-on-exec (flags %#x, error %v)", flags, err)
	}
	unix.Close(fd)
	// A cut record closes what came with it.
	if err := Send(s, []byte("hello"), s); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ReceiveWith(w, make([]byte, 4)); !errors.Is(err, ErrMalformed) {
		t.Errorf("cut record: got %v", err)
	}
	if err := Send(s, []byte("hello"), -1); err != nil {
		t.Fatal(err)
	}
	if _, fd, err := ReceiveWith(w, make([]byte, 9)); err != nil || fd != -1 {
		t.Errorf("without a descriptor: got %d, %v", fd, err)
	}
	if _, _, err := ReceiveWith(w, make([]byte, 9)); !errors.Is(err, syscall.EAGAIN) {
		t.Errorf("nothing there: got %v", err)
	}
	if after := openFds(t); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

// TestSendFull: a peer that does not read makes an error, not a wait.
func TestSendFull(t *testing.T) {
	s, _ := pair(t)
	for range 100000 {
		if err := Send(s, make([]byte, 1000), -1); err != nil {
			if !errors.Is(err, unix.EAGAIN) {
				t.Errorf("got %v, want EAGAIN", err)
			}
			return
		}
	}
	t.Error("never full")
}

func TestSocketAllocations(t *testing.T) {
	s, w := pair(t)
	buf := make([]byte, MaxRecord)
	record := []byte("record")
	if n := testing.AllocsPerRun(100, func() {
		if Send(w, record, -1) != nil {
			t.Fatal("send")
		}
		if _, err := Receive(s, buf); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	s, w, err := NewPair()
	if err != nil {
		b.Fatal(err)
	}
	defer unix.Close(s)
	defer unix.Close(w)
	buf := make([]byte, MaxRecord)
	request := Record{Type: GetPid, ID: 1, Handle: Handle{1, 2}}
	out := make([]byte, 0, 100)
	b.ReportAllocs()
	for b.Loop() {
		out, _ = request.Append(out[:0])
		if err := Send(w, out, -1); err != nil {
			b.Fatal(err)
		}
		n, err := Receive(s, buf)
		if err != nil {
			b.Fatal(err)
		}
		var r Record
		if err := r.Decode(buf[:n]); err != nil {
			b.Fatal(err)
		}
	}
}
