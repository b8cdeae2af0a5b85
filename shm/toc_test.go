package shm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
)

func newTestTOC(t testing.TB, size int) (*TOC, []byte) {
	t.Helper()
	data := make([]byte, size)
	toc, err := CreateTOC(42, data)
	if err != nil {
		t.Fatal(err)
	}
	return toc, data
}

// TestTOCMagic holds BGW-140: memory without a table of this magic number has
// none.
func TestTOCMagic(t *testing.T) {
	_, data := newTestTOC(t, 1024)
	if _, err := OpenTOC(42, data); err != nil {
		t.Error(err)
	}
	if _, err := OpenTOC(43, data); !errors.Is(err, ErrNoTOC) {
		t.Errorf("BGW-140: another magic: got %v", err)
	}
	if _, err := OpenTOC(0, make([]byte, 1024)); !errors.Is(err, ErrNoTOC) {
		t.Errorf("BGW-140: zeros: got %v", err)
	}
	if _, err := OpenTOC(42, data[:512]); !errors.Is(err, ErrDamaged) {
		t.Errorf("another size: got %v", err)
	}
	for _, bad := range [][]byte{nil, data[:31], data[4:500]} {
		if _, err := CreateTOC(1, bad); err == nil {
			t.Errorf("a table in %d bytes at no good place", len(bad))
		}
	}
}

// TestTOCFull holds BGW-141: chunks are taken until the table is full; the next
// one is an error, and those before it are intact, all apart.
func TestTOCFull(t *testing.T) {
	toc, data := newTestTOC(t, 1000)
	n := uint64(0)
	for ; ; n++ {
		before := toc.Free()
		c, err := toc.Allocate(50)
		if errors.Is(err, syscall.ENOMEM) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range c.Data {
			if b != 0 {
				t.Fatalf("chunk %d overlaps another", n)
			}
		}
		copy(c.Data, bytes.Repeat([]byte{byte(n + 1)}, 50))
		if err := toc.Insert(n, c); err != nil {
			t.Fatalf("BGW-141: insert %d: %v", n, err)
		}
		if got := before - toc.Free(); got != 96 {
			t.Errorf("a chunk of 50 bytes and its entry took %d", got)
		}
	}
	if want := uint64(992-32) / 96; n != want {
		t.Errorf("%d chunks fit, want %d", n, want)
	}
	other, err := OpenTOC(42, data)
	if err != nil {
		t.Fatal(err)
	}
	for key := range n {
		got, found, err := other.Lookup(key)
		if err != nil || !found || !bytes.Equal(got, bytes.Repeat([]byte{byte(key + 1)}, 50)) {
			t.Errorf("BGW-141: chunk %d is %v, %v, %v", key, got, found, err)
		}
	}
	if _, found, err := other.Lookup(n); found || err != nil {
		t.Errorf("a key that is not there: %v, %v", found, err)
	}
}

func TestTOCSize(t *testing.T) {
	toc, _ := newTestTOC(t, TOCSize(1, 32, 33, 4096))
	for i, n := range []int{1, 32, 33, 4096} {
		c, err := toc.Allocate(n)
		if err != nil {
			t.Fatal(err)
		}
		if err := toc.Insert(uint64(i), c); err != nil {
			t.Fatal(err)
		}
	}
	if toc.Free() != 0 {
		t.Errorf("%d bytes are left", toc.Free())
	}
	for _, n := range []int{0, -1, 1, 1 << 62} {
		if _, err := toc.Allocate(n); err == nil {
			t.Errorf("%d bytes were allocated", n)
		}
	}
	if err := toc.Insert(1, Chunk{}); err == nil {
		t.Error("a chunk of nowhere was inserted")
	}
}

// TestTOCWriterDies: an entry that was taken and never written is passed over.
func TestTOCWriterDies(t *testing.T) {
	toc, _ := newTestTOC(t, 1024)
	if _, err := toc.take(usage{entries: 1}); err != nil {
		t.Fatal(err)
	}
	c, err := toc.Allocate(8)
	if err != nil {
		t.Fatal(err)
	}
	if err := toc.Insert(0, c); err != nil {
		t.Fatal(err)
	}
	if data, found, err := toc.Lookup(0); !found || err != nil || len(data) != 8 {
		t.Errorf("got %v, %v, %v", data, found, err)
	}
}

// TestTOCRace: chunks of many at once do not overlap, and all are found.
func TestTOCRace(t *testing.T) {
	const users, each = 4, 100
	toc, data := newTestTOC(t, 32+users*each*64)
	var all sync.WaitGroup
	for u := range users {
		all.Go(func() {
			mine, err := OpenTOC(42, data)
			if err != nil {
				t.Error(err)
				return
			}
			for i := range each {
				c, err := mine.Allocate(8)
				if err != nil {
					t.Error(err)
					return
				}
				key := uint64(u*each + i)
				binary.LittleEndian.PutUint64(c.Data, key)
				if err := mine.Insert(key, c); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for key := range uint64(users * each) {
		got, found, err := toc.Lookup(key)
		if err != nil || !found || binary.LittleEndian.Uint64(got) != key {
			t.Fatalf("key %d is %v, %v, %v", key, got, found, err)
		}
	}
}

// FuzzTOC uses a table of hostile memory: errors, never a fault, and nothing
// outside of it.
func FuzzTOC(f *testing.F) {
	toc, data := newTestTOC(f, 256)
	c, _ := toc.Allocate(16)
	toc.Insert(7, c)
	f.Add(bytes.Clone(data))
	f.Add(append(bytes.Clone(data[:24]), bytes.Repeat([]byte{0xff}, 100)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		memory := make([]byte, max(32, len(b)))
		copy(memory, b)
		binary.LittleEndian.PutUint64(memory[0:], 42)
		binary.LittleEndian.PutUint64(memory[8:], tocMagic)
		binary.LittleEndian.PutUint64(memory[16:], uint64(len(memory)&^31))
		toc, err := OpenTOC(42, memory)
		if err != nil {
			t.Fatal(err)
		}
		toc.Free()
		for key := range uint64(3) {
			toc.Lookup(7 * key)
		}
		if c, err := toc.Allocate(16); err == nil {
			clear(c.Data)
			toc.Insert(7, c)
		}
	})
}

func ExampleTOC() {
	memory := make([]byte, TOCSize(5, 100)) // an area, in a worker
	toc, err := CreateTOC(0x79fb2447, memory)
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := toc.Allocate(5)
	if err != nil {
		fmt.Println(err)
		return
	}
	copy(c.Data, "hello")
	if err := toc.Insert(1, c); err != nil {
		fmt.Println(err)
		return
	}

	theirs, err := OpenTOC(0x79fb2447, memory)
	if err != nil {
		fmt.Println(err)
		return
	}
	data, found, err := theirs.Lookup(1)
	fmt.Printf("%s %v %v %d bytes left\n", data, found, err, theirs.Free())
	// Output: hello true <nil> 160 bytes left
}
