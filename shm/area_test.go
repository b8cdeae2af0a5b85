package shm

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func attached(t testing.TB, s *Segment) *attachment {
	t.Helper()
	a, err := attach(s.Fd())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.mem.unmap() })
	return a
}

// TestArea holds BGW-133: the same name and size is the same memory, found on
// the second call; another size is an error.
func TestArea(t *testing.T) {
	s := create(t, "main", MinSize)
	a, b := attached(t, s), attached(t, s)
	first, found, err := a.areas.find("counters", 100)
	if err != nil || found || len(first) != 100 || cap(first) != 100 {
		t.Fatalf("BGW-133: first: %d bytes, found %v, error %v", len(first), found, err)
	}
	if !bytes.Equal(first, make([]byte, 100)) {
		t.Error("a new area is not zero")
	}
	other, found, err := b.areas.find("others", 1)
	if err != nil || found {
		t.Fatalf("another one: found %v, error %v", found, err)
	}
	copy(first, "hello")
	other[0] = 'x'
	second, found, err := b.areas.find("counters", 100)
	if err != nil || !found || string(second[:5]) != "hello" {
		t.Errorf("BGW-133: second: %.5q, found %v, error %v", second, found, err)
	}
	if _, _, err := b.areas.find("counters", 101); !errors.Is(err, ErrAreaSize) {
		t.Errorf("BGW-133: another size: got %v", err)
	}
	for name, data := range map[string][]byte{"counters": second, "others": other} {
		if offset := offsetIn(b, data); offset < 0 || offset%areaAlign != 0 {
			t.Errorf("%s begins at %d", name, offset)
		}
	}
}

// offsetIn is where data, which is part of a's memory, begins in it.
func offsetIn(a *attachment, data []byte) int {
	for i := areaStart(a); i < len(a.mem); i++ {
		if &a.mem[i] == &data[0] {
			return i
		}
	}
	return -1
}

func areaStart(a *attachment) int { return int(a.header.section[sectionData].offset) }

// TestAreaAfterCrash holds BGW-134: a segment that was made anew after a crash
// has none of the old areas, and the old memory is not touched.
func TestAreaAfterCrash(t *testing.T) {
	old := create(t, "main", MinSize)
	a := attached(t, old)
	data, _, err := a.areas.find("state", 16)
	if err != nil {
		t.Fatal(err)
	}
	copy(data, "before the crash")
	renewed := create(t, "main", MinSize)
	if renewed.Incarnation() == old.Incarnation() {
		t.Error("BGW-134: the incarnation is the same")
	}
	fresh, found, err := attached(t, renewed).areas.find("state", 16)
	if err != nil || found || !bytes.Equal(fresh, make([]byte, 16)) {
		t.Errorf("BGW-134: got %q, found %v, error %v", fresh, found, err)
	}
	old.Close()
	if string(data) != "before the crash" {
		t.Errorf("who still maps the old memory sees %q", data)
	}
}

func TestAreaNamesAndSizes(t *testing.T) {
	a := attached(t, create(t, "main", MinSize))
	for _, name := range []string{"", strings.Repeat("x", 48), "a\x00b"} {
		if _, _, err := a.areas.find(name, 1); err == nil || !strings.Contains(err.Error(), "1 to 47 bytes") {
			t.Errorf("name %q: got %v", name, err)
		}
	}
	for _, size := range []int{0, -1, -1 << 63} {
		if _, _, err := a.areas.find("a", size); err == nil || !strings.Contains(err.Error(), "1 is the least") {
			t.Errorf("size %d: got %v", size, err)
		}
	}
	for _, size := range []int{MinSize, 1<<63 - 1} {
		if _, _, err := a.areas.find("a", size); !errors.Is(err, syscall.ENOMEM) {
			t.Errorf("size %d: got %v", size, err)
		}
	}
	// Names that are prefixes of one another, and one of the full length.
	long := strings.Repeat("x", 47)
	for i, name := range []string{"x", "xx", long[:46], long} {
		if _, found, err := a.areas.find(name, i+1); err != nil || found {
			t.Errorf("%q: found %v, error %v", name, found, err)
		}
	}
	for i, name := range []string{"x", "xx", long[:46], long} {
		if _, found, err := a.areas.find(name, i+1); err != nil || !found {
			t.Errorf("%q again: found %v, error %v", name, found, err)
		}
	}
}

// TestAreaFull: the last byte and the last name can be had, and what is there
// can still be found afterwards.
func TestAreaFull(t *testing.T) {
	a := attached(t, create(t, "main", MinSize))
	for i := range MaxAreas {
		if _, found, err := a.areas.find(fmt.Sprint("area ", i), 1); err != nil || found {
			t.Fatalf("area %d: found %v, error %v", i, found, err)
		}
	}
	if _, _, err := a.areas.find("one more", 1); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("one area more: got %v", err)
	}
	if _, found, err := a.areas.find("area 1023", 1); err != nil || !found {
		t.Errorf("the last: found %v, error %v", found, err)
	}
	b := attached(t, create(t, "main", MinSize))
	room := int(b.header.section[sectionData].length)
	data, _, err := b.areas.find("all", room)
	if err != nil {
		t.Fatal(err)
	}
	data[room-1] = 1
	if _, _, err := b.areas.find("rest", 1); !errors.Is(err, syscall.ENOMEM) {
		t.Errorf("one byte more: got %v", err)
	}
	if n := b.mem.word32(stateOffset).Load(); n != 1 {
		t.Errorf("%d records were taken for one area", n)
	}
}

// TestAreaHostileIndex: whatever stands in the index, there is an error.
func TestAreaHostileIndex(t *testing.T) {
	record := func(change func(r *areaRecord)) func(a *attachment) {
		return func(a *attachment) {
			r := areaRecord{size: 10, offset: uint64(areaStart(a))}
			copy(r.name[:], "victim")
			change(&r)
			for i, w := range r.words() {
				a.mem.word64(a.areas.records.offset + uint64(i)*8).Store(w)
			}
			a.mem.word64(a.areas.words.offset).Store(1)
		}
	}
	tests := map[string]func(a *attachment){
		"record too high": func(a *attachment) { a.mem.word64(a.areas.words.offset).Store(areaRecords + 1) },
		"all ones":        func(a *attachment) { a.mem.word64(a.areas.words.offset).Store(1<<64 - 1) },
		"empty record":    func(a *attachment) { a.mem.word64(a.areas.words.offset).Store(5) },
		"offset 0":        record(func(r *areaRecord) { r.offset = 0 }),
		"offset far away": record(func(r *areaRecord) { r.offset = 1 << 63 }),
		"offset inside":   record(func(r *areaRecord) { r.offset += 128 }),
		"size 0":          record(func(r *areaRecord) { r.size = 0 }),
		"size around":     record(func(r *areaRecord) { r.size = 1<<64 - 1 }),
		"size by one":     record(func(r *areaRecord) { r.size = MinSize - r.offset + 1 }),
		"no name":         record(func(r *areaRecord) { r.name[0] = 0 }),
		"name without end": record(func(r *areaRecord) {
			for i := range r.name {
				r.name[i] = 'x'
			}
		}),
		"the same record twice": func(a *attachment) {
			record(func(*areaRecord) {})(a)
			a.mem.word64(a.areas.words.offset + 8).Store(1)
		},
	}
	for name, damage := range tests {
		a := attached(t, create(t, "main", MinSize))
		damage(a)
		if _, _, err := a.areas.find("mine", 10); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	a := attached(t, create(t, "main", MinSize))
	a.mem.word32(stateOffset).Store(1<<32 - 1)
	if _, _, err := a.areas.find("mine", 10); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("all records taken: got %v", err)
	}
	if n := a.mem.word32(stateOffset).Load(); n != 1<<32-1 {
		t.Errorf("the counter went round to %d", n)
	}
}

// TestAreaOddEnd: a section that ends in the middle of a line is no way around
// the bounds.
func TestAreaOddEnd(t *testing.T) {
	h := newSegmentHeader("main", MinSize, 1)
	h.section[sectionData].length = 300
	h.checksum = checksum(h.bytes())
	f := sealedHeader(t, h.bytes()[:], MinSize)
	a, err := attach(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer a.mem.unmap()
	if _, _, err := a.areas.find("a", 290); err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.areas.find("b", 1); !errors.Is(err, syscall.ENOMEM) {
		t.Errorf("behind the end: got %v", err)
	}
	if _, found, err := a.areas.find("a", 290); err != nil || !found {
		t.Errorf("the first again: found %v, error %v", found, err)
	}
}

// TestAreaRecordIsKept: who loses the race for a word uses its record for the next
// area, or else losers would use them up.
func TestAreaRecordIsKept(t *testing.T) {
	s := create(t, "main", MinSize)
	a, b := attached(t, s), attached(t, s)
	start := uint64(areaStart(a))
	for i := range uint32(3) {
		if _, err := a.areas.publish(0, "winner", 1, start); err != nil {
			t.Fatal(err)
		}
		have, err := b.areas.publish(0, "loser", 1, start)
		if err != nil || have != 1 {
			t.Fatalf("round %d: got %d, error %v", i, have, err)
		}
	}
	if n := a.mem.word32(stateOffset).Load(); n != 3 {
		t.Errorf("%d records were taken, 1 published and 2 kept by losers are 3", n)
	}
}

// TestAreaWriterDies: a process that took a record and never published it is in
// nobody's way.
func TestAreaWriterDies(t *testing.T) {
	s := create(t, "main", MinSize)
	dead := attached(t, s)
	for range 10 {
		if _, err := dead.areas.take(); err != nil {
			t.Fatal(err)
		}
	}
	a := attached(t, s)
	for i := range MaxAreas {
		if _, _, err := a.areas.find(fmt.Sprint("area ", i), 1); err != nil {
			t.Fatalf("area %d: %v", i, err)
		}
	}
}

// TestAreaRace has many attachments make the same areas at once: each name has
// one maker and one place, and areas do not overlap.
func TestAreaRace(t *testing.T) {
	const names, racers = 60, 8
	s := create(t, "main", MinSize)
	var makers [names]atomic.Int32
	var all sync.WaitGroup
	for r := range racers {
		a := attached(t, s)
		all.Go(func() {
			for i := range names {
				n := (i*7 + r*13) % names
				data, found, err := a.areas.find(fmt.Sprint("area ", n), 8+n)
				if err != nil {
					t.Error(err)
					return
				}
				if !found {
					makers[n].Add(1)
					copy(data, fmt.Sprintf("%08d", n))
				}
			}
		})
	}
	all.Wait()
	a := attached(t, s)
	for n := range names {
		data, found, err := a.areas.find(fmt.Sprint("area ", n), 8+n)
		if err != nil || !found || makers[n].Load() != 1 || string(data[:8]) != fmt.Sprintf("%08d", n) {
			t.Errorf("area %d: %q, found %v, %d makers, error %v", n, data, found, makers[n].Load(), err)
		}
	}
}

// TestAreaProcesses is the same with processes, some of which are killed in the
// middle: the others go on.
func TestAreaProcesses(t *testing.T) {
	if os.Getenv("SHM_TEST_CHILD") != "" {
		areaChild(t)
		return
	}
	s := create(t, "main", MinSize)
	var children []*exec.Cmd
	for i := range 6 {
		c := child(t, "TestAreaProcesses")
		c.Env = append(c.Env, fmt.Sprintf("SHM_TEST_RACER=%d", i))
		c.ExtraFiles = []*os.File{s.File()}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		children = append(children, c)
	}
	a := attached(t, s)
	// Two are killed as soon as there are areas at all.
	for a.mem.word64(a.areas.words.offset+50*8).Load() == 0 {
		if _, _, err := a.areas.find(fmt.Sprint("mine ", a.mem.word32(stateOffset).Load()), 1); err != nil {
			t.Fatal(err)
		}
	}
	for i, c := range children {
		if i < 2 {
			c.Process.Kill()
		}
		err := c.Wait()
		if i >= 2 && err != nil {
			t.Errorf("process %d: %v", i, err)
		}
	}
	for n := range 100 {
		if _, found, err := a.areas.find(fmt.Sprint("area ", n), 8+n); err != nil || !found {
			t.Errorf("area %d: found %v, error %v", n, found, err)
		}
	}
}

func areaChild(t *testing.T) {
	var racer int
	fmt.Sscan(os.Getenv("SHM_TEST_RACER"), &racer)
	a, err := attach(3)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		n := (i*7 + racer*13) % 100
		if _, _, err := a.areas.find(fmt.Sprint("area ", n), 8+n); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAreaAllocations: looking an area up costs no memory.
func TestAreaAllocations(t *testing.T) {
	a := attached(t, create(t, "main", MinSize))
	for i := range 20 {
		if _, _, err := a.areas.find(fmt.Sprint("area ", i), 100); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(100, func() {
		if _, found, err := a.areas.find("area 19", 100); err != nil || !found {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestSegmentIsNotExecutable where the kernel knows how (Linux 6.3).
func TestSegmentIsNotExecutable(t *testing.T) {
	have, err := unix.FcntlInt(uintptr(create(t, "main", MinSize).Fd()), unix.F_GET_SEALS, 0)
	if err != nil {
		t.Fatal(err)
	}
	probe, err := unix.MemfdCreate("probe", unix.MFD_CLOEXEC|unix.MFD_NOEXEC_SEAL)
	if err != nil {
		t.Skipf("this kernel has no MFD_NOEXEC_SEAL: %v", err)
	}
	unix.Close(probe)
	if have&unix.F_SEAL_EXEC == 0 {
		t.Errorf("seals %#x", have)
	}
}
