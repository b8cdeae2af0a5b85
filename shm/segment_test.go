package shm

import (
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func create(t testing.TB, name string, size int64) *Segment {
	t.Helper()
	s, err := Create(name, size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestCreate(t *testing.T) {
	s := create(t, "main", MinSize+1)
	if s.Size() != MinSize+sizeUnit || s.Name() != "main" || s.Incarnation() == 0 {
		t.Errorf("size %d, name %q, incarnation %d", s.Size(), s.Name(), s.Incarnation())
	}
	have, err := unix.FcntlInt(uintptr(s.Fd()), unix.F_GET_SEALS, 0)
	if err != nil || have&seals != seals {
		t.Errorf("seals %#x, error %v", have, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(s.Fd(), &st); err != nil || st.Size != s.Size() || st.Blocks*512 < s.Size() {
		t.Errorf("%d bytes, %d of them allocated, error %v", st.Size, st.Blocks*512, err)
	}
	if err := s.File().Truncate(MinSize); !errors.Is(err, unix.EPERM) {
		t.Errorf("shrinking: got %v", err)
	}
	if err := s.File().Truncate(2 * MinSize); !errors.Is(err, unix.EPERM) {
		t.Errorf("growing: got %v", err)
	}
	flags, err := unix.FcntlInt(uintptr(s.Fd()), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("it is not close-on-exec (error %v)", err)
	}
}

func TestCreateRefuses(t *testing.T) {
	before := openFds(t)
	tests := []struct {
		name string
		size int64
		want string
	}{
		{"", MinSize, "1 to 63 bytes"},
		{strings.Repeat("x", 64), MinSize, "1 to 63 bytes"},
		{"a\x00b", MinSize, "none of them NUL"},
		{"main", 0, "its size is 0 bytes"},
		{"main", -1, "its size is -1 bytes"},
		{"main", MinSize - 1, "2097152 to 1099511627776 are allowed"},
		{"main", MaxSize + 1, "its size is"},
		{"main", MaxSize, "make it smaller"}, // no machine of ours has it
	}
	for _, test := range tests {
		s, err := Create(test.name, test.size)
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("Create(%q, %d): got %v, want %q", test.name, test.size, err, test.want)
		}
	}
	if after := openFds(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

// TestCreateFileSizeLimit: RLIMIT_FSIZE is an error and no SIGXFSZ.
func TestCreateFileSizeLimit(t *testing.T) {
	if os.Getenv("SHM_TEST_CHILD") == "" {
		out, err := child(t, "TestCreateFileSizeLimit").CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	limit := unix.Rlimit{Cur: MinSize, Max: MinSize}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	_, err := Create("main", 2*MinSize)
	if !errors.Is(err, syscall.EFBIG) || !strings.Contains(err.Error(), "LimitFSIZE=") {
		t.Errorf("got %v", err)
	}
}

func TestFromFile(t *testing.T) {
	s := create(t, "main", MinSize)
	dup, err := unix.Dup(s.Fd())
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(dup), "segment")
	defer f.Close()
	again, err := FromFile(f, "main", s.Incarnation())
	if err != nil {
		t.Fatal(err)
	}
	if again.Size() != s.Size() || again.Name() != "main" || again.Incarnation() != s.Incarnation() {
		t.Errorf("got %+v of %+v", again, s)
	}
	if _, err := FromFile(f, "other", s.Incarnation()); !errors.Is(err, ErrDamaged) {
		t.Errorf("another name: got %v", err)
	}
	if _, err := FromFile(f, "main", s.Incarnation()+1); !errors.Is(err, ErrDamaged) {
		t.Errorf("another incarnation: got %v", err)
	}
	if _, err := s.File().WriteAt([]byte{1}, 300); err != nil {
		t.Fatal(err)
	}
	if _, err := FromFile(f, "main", s.Incarnation()); !errors.Is(err, ErrDamaged) {
		t.Errorf("a header that a worker has overwritten: got %v", err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if _, err := FromFile(null, "main", 1); !errors.Is(err, ErrDamaged) {
		t.Errorf("/dev/null: got %v", err)
	}
}

// memfd makes a file of content with the seals, for attach.
func memfd(t testing.TB, content []byte, seals int) *os.File {
	t.Helper()
	f, err := newMemfd("test", 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.Write(content); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		t.Fatal(err)
	}
	return f
}

// sealedHeader is a sparse file of size bytes with h as it is, and its checksum
// made right unless it was changed on purpose.
func sealedHeader(t testing.TB, h []byte, size int64) *os.File {
	t.Helper()
	f := memfd(t, h, 0)
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	if err := seal(f); err != nil {
		t.Fatal(err)
	}
	return f
}

func fixChecksum(h []byte) { binary.LittleEndian.PutUint32(h[508:], checksum((*[512]byte)(h))) }

// badHeader is a header that was changed, in a file of size bytes.
type badHeader struct {
	change func(h []byte)
	size   int64
	want   string // of the error
}

// badHeaders are headers that nobody may attach; they are vectors, too.
func badHeaders() map[string]badHeader {
	const sections = 112
	put := func(at int, v uint64) func([]byte) {
		return func(h []byte) { binary.LittleEndian.PutUint64(h[at:], v); fixChecksum(h) }
	}
	put32 := func(at int, v uint32) func([]byte) {
		return func(h []byte) { binary.LittleEndian.PutUint32(h[at:], v); fixChecksum(h) }
	}
	return map[string]badHeader{
		"wrong magic":            {put(0, 1), MinSize, "magic number is 0x1"},
		"slot table":             {put(0, slotsMagic), MinSize, "magic number"},
		"next major":             {put32(8, 2), MinSize, "version 2.0"},
		"unknown feature":        {put(16, 1<<32), MinSize, "features 0x100000000"},
		"wrong checksum":         {func(h []byte) { h[508]++ }, MinSize, "checksum"},
		"reserved byte":          {func(h []byte) { h[497] = 1 }, MinSize, "checksum"},
		"shorter than it says":   {put(24, MinSize+sizeUnit), MinSize, "the file has 2097152"},
		"longer than it says":    {put(24, MinSize-sizeUnit), MinSize, "the file has 2097152"},
		"size of nothing":        {put(24, 0), 512, "the file has 512"},
		"no incarnation":         {put(32, 0), MinSize, "incarnation is 0"},
		"room of 0":              {put32(12, 0), MinSize, "it takes 0 bytes"},
		"huge room":              {put32(12, 1<<31), MinSize, "it takes 2147483648 bytes"},
		"more sections":          {put32(104, 1<<30), MinSize, "1073741824 sections"},
		"no sections":            {put32(104, 0), MinSize, "0 sections"},
		"section in the header":  {put(sections, 512), MinSize, "section 0 (offset 512"},
		"section at the end":     {put(sections, MinSize), MinSize, "section 0 (offset 2097152"},
		"section far away":       {put(sections, 1<<63), MinSize, "section 0"},
		"length around":          {put(sections+8, 1<<64-4096), MinSize, "section 0"},
		"odd offset":             {put(sections, 4097), MinSize, "no multiple of 128"},
		"stride of 0":            {put32(sections+16, 0), MinSize, "1024 entries of 0 bytes"},
		"huge stride":            {put32(sections+16, 1<<31), MinSize, "section 0 has 1024 entries"},
		"huge count":             {put32(sections+20, 1<<32-1), MinSize, "section 0 has 4294967295 entries"},
		"count of 0":             {put32(sections+20, 0), MinSize, "section 0 has 0 entries"},
		"more latches":           {put32(sections+3*24+20, MaxSlots+1), MinSize, "section 3 has 16385 entries"},
		"overlap":                {put(sections+24, headerRoom), MinSize, "sections 0 and 1 overlap"},
		"no data":                {func(h []byte) { clear(h[sections+48 : sections+72]); fixChecksum(h) }, MinSize, "no room for areas"},
		"absent with a count":    {put32(sections+9*24+20, 1), MinSize, "section 9 is absent"},
		"file of 512":            {func([]byte) {}, 512, "the file has 512"},
		"file that is too large": {put(24, MaxSize+4096), MaxSize + 4096, "the file has 1099511631872"},
	}
}

func TestAttachRefuses(t *testing.T) {
	for name, test := range badHeaders() {
		t.Run(name, func(t *testing.T) {
			h := newSegmentHeader("main", MinSize, 1)
			b := h.bytes()[:]
			test.change(b)
			_, err := attach(int(sealedHeader(t, b, test.size).Fd()))
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want ErrDamaged with %q", err, test.want)
			}
		})
	}
}

func TestAttachForeign(t *testing.T) {
	h := newSegmentHeader("main", MinSize, 1)
	whole := append(h.bytes()[:], make([]byte, MinSize-headerSize)...)
	file, err := os.Create(t.TempDir() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Write(whole); err != nil {
		t.Fatal(err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	tests := map[string]struct {
		f    *os.File
		want string
	}{
		"regular file":  {file, "no memfd"},
		"/dev/null":     {null, "no memfd"},
		"pipe":          {r, "no memfd"},
		"not sealed":    {memfd(t, whole, 0), "not sealed against shrinking"},
		"sealed growth": {memfd(t, whole, unix.F_SEAL_GROW), "not sealed against shrinking"},
		"empty":         {memfd(t, nil, seals), "0 bytes"},
		"short":         {memfd(t, whole[:511], seals), "511 bytes"},
		"zeros":         {memfd(t, make([]byte, MinSize), seals), "magic"},
		"text":          {memfd(t, []byte(strings.Repeat("shared memory ", 1000)), seals), "magic"},
	}
	for name, test := range tests {
		if _, err := attach(int(test.f.Fd())); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want ErrDamaged with %q", name, err, test.want)
		}
		if _, err := openSlots(int(test.f.Fd())); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s as slot table: got %v", name, err)
		}
	}
	if _, err := attach(-1); err == nil {
		t.Error("descriptor -1 was attached")
	}
	good := memfd(t, whole, unix.F_SEAL_SHRINK)
	a, err := attach(int(good.Fd()))
	if err != nil {
		t.Fatalf("the same, whole and sealed: %v", err)
	}
	a.mem.unmap()
	// A descriptor that cannot write is refused by the kernel.
	ro, err := reopenReadOnly(good)
	if err != nil {
		t.Fatal(err)
	}
	defer ro.Close()
	if _, err := attach(int(ro.Fd())); !errors.Is(err, unix.EACCES) {
		t.Errorf("read-only descriptor: got %v", err)
	}
}

// FuzzAttach changes a good header and the index behind it, at places and to
// values that the input gives (12 bytes each: u32 place, u64 value): there is
// an error, or everything works, and never a fault. The checksum is made right,
// or is part of it.
func FuzzAttach(f *testing.F) {
	const words = headerRoom
	const records = headerRoom + 8*MaxAreas
	good := newSegmentHeader("main", MinSize, 1)
	data, tranches := good.section[sectionData].offset, good.section[sectionTrancheWords].offset
	change := func(list ...uint64) (b []byte) {
		for i := 0; i < len(list); i += 2 {
			b = binary.LittleEndian.AppendUint32(b, uint32(list[i]))
			b = binary.LittleEndian.AppendUint64(b, list[i+1])
		}
		return b
	}
	f.Add([]byte{}, false)
	f.Add(change(0, 0), false)
	f.Add(change(112, 1<<63), true)
	f.Add(change(120, 1<<64-1), true)
	f.Add(change(112+16, 1<<32|8), true)
	f.Add(change(stateOffset, 1<<32-1), true)
	f.Add(change(words, 1), true)
	f.Add(change(words, 1, records, 'a', records+48, 1<<63, records+56, data), true)
	f.Add(change(words, 1, words+8, 1, records, 'a', records+48, 100, records+56, data), true)
	f.Add(change(tranches, 1, tranches+8, 1<<63), true)
	f.Add(change(tranches, 1, tranches+8*MaxTranches, 'a'), true)
	f.Fuzz(func(t *testing.T, changes []byte, fix bool) {
		h := newSegmentHeader("main", MinSize, 1)
		content := append(h.bytes()[:], make([]byte, data-headerSize)...)
		for ; len(changes) >= 12; changes = changes[12:] {
			at := binary.LittleEndian.Uint32(changes) % uint32(len(content)-8)
			copy(content[at:], changes[4:12])
		}
		if fix {
			fixChecksum(content[:headerSize])
		}
		file := sealedHeader(t, content, MinSize)
		defer file.Close()
		if s, err := openSlots(int(file.Fd())); err == nil {
			s.mem.unmap()
		}
		a, err := attach(int(file.Fd()))
		if err != nil {
			return
		}
		defer a.mem.unmap()
		for _, size := range []int{1, 4096, MinSize} {
			if data, _, err := a.areas.find("area", size); err == nil {
				data[0], data[size-1] = 1, 1
			}
		}
		for _, name := range []string{"a", "b"} {
			_, _ = a.tranches.find(name) // an error or not
		}
		if _, err := Inspect(int(file.Fd())); err != nil {
			t.Fatal(err)
		}
		if offset, ok := a.latch(MaxSlots - 1); ok {
			a.mem.word32(offset).Or(latchSet)
		}
	})
}
