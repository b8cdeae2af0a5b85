package shm

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// Segment is a segment as its supervisor holds it: a sealed memfd, which it
// passes to workers and never maps, because after the first worker nothing in
// it can be trusted. Its name, size and incarnation are the supervisor's own
// memory. The methods may be called concurrently, but for Close.
type Segment struct {
	file        *os.File
	name        string
	size        int64
	incarnation uint64
}

// Create makes the memory of a segment and seals its size. name has 1 to
// MaxSegmentName bytes without NUL; size is in bytes, MinSize to MaxSize, and
// rounded up to 64 KiB. All of it is allocated here (and charged to the
// caller's cgroup): about 0.35 µs per 4 KiB. The error wraps syscall.ENOSPC,
// ENOMEM or EFBIG where memory or a limit forbids it.
func Create(name string, size int64) (*Segment, error) {
	return newSegment(name, size, (*Segment).create)
}

// CreateHuge is Create with huge pages of the machine's default size, up to
// which size is rounded. ENOSPC or ENOMEM (wrapped) where not so many are free,
// ENOSYS or EINVAL where the kernel has none.
func CreateHuge(name string, size int64) (*Segment, error) {
	return newSegment(name, size, (*Segment).createHuge)
}

func newSegment(name string, size int64, create func(*Segment) error) (*Segment, error) {
	if err := checkSegmentName(name); err != nil {
		return nil, err
	}
	if size < MinSize || size > MaxSize {
		return nil, fmt.Errorf("cannot create segment %q: its size is %d bytes, %d to %d are allowed", name, size, MinSize, int64(MaxSize))
	}
	size = (size + sizeUnit - 1) / sizeUnit * sizeUnit
	incarnation, err := randomID()
	if err != nil {
		return nil, fmt.Errorf("cannot create segment %q: %w", name, err)
	}
	s := &Segment{name: name, size: size, incarnation: incarnation}
	if err := create(s); err != nil {
		return nil, fmt.Errorf("cannot create segment %q of %d bytes: %w%s", name, size, err, advice(err))
	}
	return s, nil
}

func (s *Segment) create() error {
	if err := checkRoom(s.size); err != nil {
		return err
	}
	f, err := newMemfd("pgbgw-"+s.name, 0o600)
	if err != nil {
		return err
	}
	if err := allocate(f, s.size); err != nil {
		f.Close()
		return err
	}
	return s.finish(f)
}

func (s *Segment) createHuge() error {
	f, size, err := newHugeMemfd("pgbgw-"+s.name, s.size)
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.ENOMEM):
		return fmt.Errorf("not so many huge pages are free (vm.nr_hugepages): %w", err)
	case err != nil:
		return fmt.Errorf("huge pages: %w", err)
	}
	s.size = size
	return s.finish(f)
}

// finish fills and takes over f, whose memory is allocated.
func (s *Segment) finish(f *os.File) error {
	h := newSegmentHeader(s.name, uint64(s.size), s.incarnation)
	if err := errors.Join(writeHeader(f, h.bytes()), seal(f)); err != nil {
		f.Close()
		return err
	}
	s.file = f
	return nil
}

// advice says what would help, where something would.
func advice(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.ENOMEM):
		return "; make it smaller, or give the service more memory"
	case errors.Is(err, syscall.EFBIG):
		return "; make it smaller, or raise the limit on file sizes (LimitFSIZE=)"
	}
	return ""
}

// FromFile takes over a segment from its descriptor, which an earlier image of
// this process made with Create; name and incarnation are what that image wrote
// down, since nothing in the memory itself can be trusted. ErrDamaged if it is
// not that segment, or if a worker has overwritten its header: such a segment
// has to be renewed. On success the Segment owns f.
func FromFile(f *os.File, name string, incarnation uint64) (*Segment, error) {
	if err := checkSegmentName(name); err != nil {
		return nil, err
	}
	size, err := sealedSize(int(f.Fd()))
	if err != nil {
		return nil, fmt.Errorf("cannot take over segment %q: %w", name, err)
	}
	var have [headerSize]byte
	if err := readHeader(int(f.Fd()), &have); err != nil {
		return nil, fmt.Errorf("cannot take over segment %q: %w", name, err)
	}
	if size < MinSize || size > MaxSize {
		return nil, fmt.Errorf("cannot take over segment %q: %w", name, damaged("it has %d bytes", size))
	}
	want := newSegmentHeader(name, size, incarnation)
	if have != *want.bytes() {
		return nil, fmt.Errorf("cannot take over segment %q: %w", name, damaged("the header is not that of incarnation %#x", incarnation))
	}
	return &Segment{file: f, name: name, size: int64(size), incarnation: incarnation}, nil
}

func checkSegmentName(name string) error {
	if n := len(name); n == 0 || n > MaxSegmentName || !printable(name) {
		return fmt.Errorf("segment name %q has to have 1 to %d bytes, none of them NUL", name, MaxSegmentName)
	}
	return nil
}

// Name is the segment's name in definitions.
func (s *Segment) Name() string { return s.name }

// Size is in bytes.
func (s *Segment) Size() int64 { return s.size }

// Incarnation tells this memory from that of the same name before and after a
// crash: random, never 0.
func (s *Segment) Incarnation() uint64 { return s.incarnation }

// File is the memfd; the Segment owns it.
func (s *Segment) File() *os.File { return s.file }

// Fd is the memfd's number, to be passed to a worker as "segment"; valid until
// Close.
func (s *Segment) Fd() int { return int(s.file.Fd()) }

// Close gives the supervisor's descriptor up; the memory lives as long as a
// worker still has it.
func (s *Segment) Close() error { return s.file.Close() }
