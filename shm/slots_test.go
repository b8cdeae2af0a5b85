package shm

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func tables(t testing.TB) (*SlotTable, *Slots) {
	t.Helper()
	table, err := CreateSlots(128)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { table.Close() })
	slots, err := openSlots(int(table.ReadOnlyFile().Fd()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slots.mem.unmap() })
	return table, slots
}

func testEntry() Entry {
	return Entry{
		Generation: 5<<32 | 17, Start: 2, Pid: 4711, State: StateRunning, Status: StatusStarted,
		Flags: EntryAttached | EntryReady, ExitCode: -1, ExitSignal: 9, Restarts: 1,
		Registered: time.UnixMicro(1700000000000001), Changed: time.UnixMicro(1700000000000002), NextStart: time.UnixMicro(1700000000000003),
		Name: "logical replication worker", Type: "worker", Segment: strings.Repeat("s", MaxSegmentName),
	}
}

func TestSlots(t *testing.T) {
	table, slots := tables(t)
	if slots.Max() != 128 || slots.Used() != 0 {
		t.Errorf("max %d, used %d", slots.Max(), slots.Used())
	}
	want := testEntry()
	table.Set(3, want)
	got, err := slots.Entry(3)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("entry (-want +got):\n%s", diff)
	}
	if e, err := slots.Entry(2); err != nil || e != (Entry{}) {
		t.Errorf("a slot before it: %+v, %v", e, err)
	}
	if _, err := slots.Entry(MaxSlots); err == nil {
		t.Error("there is a slot too many")
	}
	// A shorter name leaves nothing of the longer one; too long ones are cut.
	table.Set(3, Entry{State: StateWaiting, Pid: -1, Name: strings.Repeat("n", 200), Type: "t"})
	got, err = slots.Entry(3)
	if err != nil || got.Name != strings.Repeat("n", MaxName) || got.Type != "t" || got.Segment != "" || got.Pid != -1 {
		t.Errorf("got %+v, %v", got, err)
	}
	table.Set(MaxSlots-1, want)
	var seen []uint32
	for slot := range slots.All() {
		seen = append(seen, slot)
	}
	if diff := cmp.Diff([]uint32{3, MaxSlots - 1}, seen); diff != "" {
		t.Errorf("slots in use (-want +got):\n%s", diff)
	}
	if err := table.SetMax(MaxSlots + 1); err == nil {
		t.Error("more slots than there are were accepted")
	}
	if err := table.SetMax(16); err != nil || slots.Max() != 16 {
		t.Errorf("max %d, error %v", slots.Max(), err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a slot too high was written")
		}
	}()
	table.Set(MaxSlots, want)
}

// TestSlotsReadOnly: what a worker is passed cannot be mapped for writing, and
// whoever is not root cannot open it again for that.
func TestSlotsReadOnly(t *testing.T) {
	table, _ := tables(t)
	fd := int(table.ReadOnlyFile().Fd())
	if m, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); !errors.Is(err, unix.EACCES) {
		t.Errorf("mapped for writing: %v", err)
		unix.Munmap(m)
	}
	m, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(m)
	if err := unix.Mprotect(m, unix.PROT_READ|unix.PROT_WRITE); !errors.Is(err, unix.EACCES) {
		t.Errorf("made writable later: %v", err)
	}
	if _, err := unix.Pwrite(fd, []byte{1}, 0); !errors.Is(err, unix.EBADF) {
		t.Errorf("written: %v", err)
	}
	if err := unix.Ftruncate(fd, 0); err == nil {
		t.Error("truncated")
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&0o777 != 0o400 {
		t.Errorf("mode %#o, error %v", st.Mode&0o777, err)
	}
}

// TestSlotsUnprivileged: the supervisor's own user, which is not root, can make
// a table though it cannot be dumped, and cannot open what workers get for
// writing.
func TestSlotsUnprivileged(t *testing.T) {
	if os.Getenv("SHM_TEST_CHILD") == "" {
		if os.Getuid() != 0 {
			needs(t, "root, to become somebody else")
		}
		if out, err := child(t, "TestSlotsUnprivileged").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	if err := errors.Join(syscall.Setgid(65534), syscall.Setuid(65534)); err != nil {
		t.Fatal(err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	table, slots := tables(t)
	table.Set(1, testEntry())
	if e, err := slots.Entry(1); err != nil || e.Pid != testEntry().Pid {
		t.Errorf("got %+v, %v", e, err)
	}
	path := fmt.Sprintf("/proc/self/fd/%d", table.ReadOnlyFile().Fd())
	if f, err := os.OpenFile(path, os.O_RDWR, 0); !errors.Is(err, unix.EACCES) {
		f.Close()
		t.Errorf("opened for writing: %v", err)
	}
	create(t, "main", MinSize)
}

// TestSlotsSparse: 16,384 entries are there, and only what was used takes
// memory, also after somebody has looked at all of them.
func TestSlotsSparse(t *testing.T) {
	table, slots := tables(t)
	for slot := range uint32(100) {
		table.Set(slot, testEntry())
	}
	for slot := range uint32(MaxSlots) {
		if _, err := slots.Entry(slot); err != nil {
			t.Fatal(err)
		}
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(table.File().Fd()), &st); err != nil {
		t.Fatal(err)
	}
	if st.Size != slotsSize || st.Blocks*512 > headerRoom+100*slotEntrySize+8192 {
		t.Errorf("%d bytes, %d of them allocated", st.Size, st.Blocks*512)
	}
}

// TestSlotsConsistent reads an entry that is written over and over: each copy
// has all fields of the same write.
func TestSlotsConsistent(t *testing.T) {
	table, slots := tables(t)
	entry := func(i uint64) Entry {
		digit := string(rune('a' + i%26))
		return Entry{
			Generation: i, Start: i, Restarts: i, Pid: int32(i), State: StateRunning,
			Name: strings.Repeat(digit, int(i%90)+1), Segment: strings.Repeat(digit, int(i%60)+1),
		}
	}
	var entries [1000]Entry
	for i := range entries {
		entries[i] = entry(uint64(i))
	}
	table.Set(0, entries[0])
	const copies = 100000
	var stop atomic.Bool
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := 0; !stop.Load(); i++ {
			table.Set(0, entries[i%len(entries)])
			if i%8 == 0 {
				runtime.Gosched()
			}
		}
	})
	for range copies {
		got, err := slots.Entry(0)
		if err != nil || got != entries[got.Generation%1000] {
			t.Errorf("got %+v, error %v", got, err)
			break
		}
	}
	stop.Store(true)
	writer.Wait()
}

// TestSlotsHalfWritten: a supervisor that died in the middle of an entry makes
// an error for that one, and no reader waits for ever.
func TestSlotsHalfWritten(t *testing.T) {
	table, slots := tables(t)
	table.Set(0, testEntry())
	table.Set(1, testEntry())
	table.mem.word64(headerRoom).Store(table.seq + 1)
	synctest.Test(t, func(t *testing.T) {
		if _, err := slots.Entry(0); err == nil || !strings.Contains(err.Error(), "half written") {
			t.Errorf("got %v", err)
		}
		n := 0
		for slot := range slots.All() {
			n++
			if slot != 1 {
				t.Errorf("slot %d", slot)
			}
		}
		if n != 1 {
			t.Errorf("%d slots", n)
		}
	})
}

// TestSlotTableFromFile: a later image goes on where the first was, and no
// version comes twice.
func TestSlotTableFromFile(t *testing.T) {
	table, slots := tables(t)
	table.Set(7, testEntry())
	at := uint64(headerRoom + 7*slotEntrySize)
	before := table.mem.word64(at).Load()
	dup, err := unix.FcntlInt(table.File().Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Fatal(err)
	}
	again, err := SlotTableFromFile(os.NewFile(uintptr(dup), "slots"), table.Used(), 64)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	e := testEntry()
	e.State = StateEnded
	again.Set(7, e)
	if got, err := slots.Entry(7); err != nil || got.State != StateEnded || slots.Used() != 8 || slots.Max() != 64 {
		t.Errorf("got %+v, error %v, used %d, max %d", got, err, slots.Used(), slots.Max())
	}
	if after := table.mem.word64(at).Load(); after <= before {
		t.Errorf("version %d after %d", after, before)
	}
	if _, err := SlotTableFromFile(create(t, "x", MinSize).File(), 0, 1); !errors.Is(err, ErrDamaged) {
		t.Errorf("a segment as slot table: got %v", err)
	}
}

func TestSlotTableHeaderRefuses(t *testing.T) {
	for name, change := range map[string]func(h *slotsHeader){
		"magic":   func(h *slotsHeader) { h.magic = segmentMagic },
		"major":   func(h *slotsHeader) { h.major = 2 },
		"entry":   func(h *slotsHeader) { h.entry = 1 << 31 },
		"count":   func(h *slotsHeader) { h.count = 1 << 31 },
		"no room": func(h *slotsHeader) { h.room = 0 },
		"feature": func(h *slotsHeader) { h.features = 1 << 63 },
	} {
		h := newSlotsHeader()
		change(&h)
		h.checksum = checksum(h.bytes())
		if _, err := openSlots(int(sealedHeader(t, h.bytes()[:], slotsSize).Fd())); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	h := newSlotsHeader()
	if _, err := openSlots(int(sealedHeader(t, h.bytes()[:], slotsSize-1).Fd())); !errors.Is(err, ErrDamaged) {
		t.Errorf("a table that is too short: got %v", err)
	}
}

func TestSlotAllocations(t *testing.T) {
	table, slots := tables(t)
	e := testEntry()
	if n := testing.AllocsPerRun(100, func() { table.Set(1, e) }); n != 0 {
		t.Errorf("Set: %v allocations", n)
	}
	e.Name, e.Type, e.Segment = "", "", ""
	table.Set(1, e)
	if n := testing.AllocsPerRun(100, func() { slots.Entry(1) }); n != 0 {
		t.Errorf("Entry without texts: %v allocations", n)
	}
}

func TestStateWords(t *testing.T) {
	if StateRestarting.String() != "restarting" || State(99).String() != "unknown" ||
		StatusNotYetStarted.String() != "not_yet_started" || Status(99).String() != "unknown" {
		t.Error("words differ")
	}
}
