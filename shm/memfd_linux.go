package shm

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL

// newMemfd makes an unsealed memfd, close-on-exec, of mode.
func newMemfd(name string, mode uint32) (*os.File, error) { return newMemfdWith(name, mode, 0) }

// newMemfdWith is newMemfd with more flags. MFD_NOEXEC_SEAL is known from Linux
// 6.3 on, and demanded by vm.memfd_noexec=2.
func newMemfdWith(name string, mode uint32, flags int) (*os.File, error) {
	flags |= unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate(name, flags|unix.MFD_NOEXEC_SEAL)
	if err == unix.EINVAL {
		fd, err = unix.MemfdCreate(name, flags)
	}
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	if err := unix.Fchmod(fd, mode); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("fchmod", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// checkRoom refuses what the machine cannot have, with ENOMEM: fallocate goes
// on until somebody is killed. A cgroup's limit is not looked at.
func checkRoom(size int64) error {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return nil // a machine that does not say
	}
	_, rest, ok := strings.Cut(string(b), "MemAvailable:")
	if !ok {
		return nil
	}
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return nil
	}
	kib, err := strconv.ParseInt(fields[0], 10, 64)
	if err == nil && size > kib<<10 {
		return fmt.Errorf("the machine has %d bytes available: %w", kib<<10, unix.ENOMEM)
	}
	return nil
}

// allocate gives the first size bytes of f their memory now: a machine without
// it says so here, and not by a SIGBUS in the middle of a worker. It goes in
// pieces, because a signal makes the kernel give up a whole piece.
func allocate(f *os.File, size int64) error {
	const piece = 16 << 20
	for at := int64(0); at < size; {
		n := min(piece, size-at) // a huge page is a whole piece, or a part of one
		switch err := unix.Fallocate(int(f.Fd()), 0, at, n); err {
		case nil:
			at += n
		case unix.EINTR:
		default:
			return os.NewSyscallError("fallocate", err)
		}
	}
	return nil
}

// seal fixes f's size for ever, and that nobody adds another seal: a shrinking
// file would be a SIGBUS in whoever maps it, a F_SEAL_WRITE the end of the
// workers.
func seal(f *os.File) error {
	_, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals)
	return os.NewSyscallError("fcntl(F_ADD_SEALS)", err)
}

// sealedSize returns the size in bytes of the memory behind fd, which cannot
// shrink from now on; ErrDamaged if it could.
func sealedSize(fd int) (uint64, error) {
	have, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
	switch {
	case errors.Is(err, unix.EINVAL):
		return 0, damaged("it is no memfd")
	case err != nil:
		return 0, os.NewSyscallError("fcntl(F_GET_SEALS)", err)
	case have&unix.F_SEAL_SHRINK == 0:
		return 0, damaged("it is not sealed against shrinking")
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, os.NewSyscallError("fstat", err)
	}
	if st.Size < 0 {
		return 0, damaged("its size is %d", st.Size)
	}
	return uint64(st.Size), nil
}

// readHeader fills h from the start of the file: one copy, which is then
// checked and used, as what is mapped may change.
func readHeader(fd int, h *[headerSize]byte) error {
	for {
		n, err := unix.Pread(fd, h[:], 0)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return os.NewSyscallError("pread", err)
		case n < headerSize:
			return damaged("it has %d bytes, a header has %d", n, headerSize)
		}
		return nil
	}
}

// readAt fills b from offset on, as far as the file goes, and returns how far.
func readAt(fd int, b []byte, offset uint64) (n int, err error) {
	for n < len(b) {
		got, err := unix.Pread(fd, b[n:], int64(offset)+int64(n))
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return n, os.NewSyscallError("pread", err)
		case got == 0:
			return n, nil
		}
		n += got
	}
	return n, nil
}

// writeHeader writes to a file that nobody else has yet. It maps it, as a file of
// huge pages cannot be written.
func writeHeader(f *os.File, h *[headerSize]byte) error {
	page, err := pageSize(f)
	if err != nil {
		return err
	}
	m, err := mapMemory(int(f.Fd()), page, true)
	if err != nil {
		return err
	}
	copy(m, h[:])
	return m.unmap()
}

// pageSize is the size in bytes of the pages that f consists of.
func pageSize(f *os.File) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return 0, os.NewSyscallError("fstat", err)
	}
	return uint64(st.Blksize), nil
}

// newHugeMemfd makes a memfd of size bytes, rounded up to whole huge pages of the
// machine's default size, all of them allocated.
func newHugeMemfd(name string, size int64) (f *os.File, rounded int64, err error) {
	if f, err = newMemfdWith(name, 0o600, unix.MFD_HUGETLB); err != nil {
		return nil, 0, err
	}
	page, err := pageSize(f)
	if err == nil {
		rounded = (size + int64(page) - 1) / int64(page) * int64(page)
		err = allocate(f, rounded)
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, rounded, nil
}

// mapMemory maps size bytes of fd, shared; size was checked against the file.
func mapMemory(fd int, size uint64, write bool) (memory, error) {
	if size == 0 || size > MaxSize || uint64(int(size)) != size {
		return nil, damaged("%d bytes cannot be mapped", size)
	}
	prot := unix.PROT_READ
	if write {
		prot |= unix.PROT_WRITE
	}
	start, err := unix.MmapPtr(fd, 0, nil, uintptr(size), prot, unix.MAP_SHARED)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	return unsafe.Slice((*byte)(start), int(size)), nil
}

func (m memory) unmap() error {
	return os.NewSyscallError("munmap", unix.MunmapPtr(m.start(), uintptr(len(m))))
}

// hollow gives the memory back, and leaves zeros in its place that nobody
// shares: who still uses it finds no fault, and changes nothing.
func (m memory) hollow() {
	const prot, flags = unix.PROT_READ | unix.PROT_WRITE, unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_NORESERVE | unix.MAP_FIXED
	_, _ = unix.MmapPtr(-1, 0, m.start(), uintptr(len(m)), prot, flags) // or it stays as it is
}

// reopenReadOnly opens f's file once more, for reading: what is passed on
// cannot be mapped for writing.
func reopenReadOnly(f *os.File) (*os.File, error) {
	fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("open", err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// randomID returns 64 random bits that are not all 0.
func randomID() (uint64, error) {
	var b [8]byte
	for {
		n, err := unix.Getrandom(b[:], 0)
		if err == unix.EINTR || err == nil && n < len(b) {
			continue
		}
		if err != nil {
			return 0, os.NewSyscallError("getrandom", err)
		}
		var id uint64
		for _, c := range b {
			id = id<<8 | uint64(c)
		}
		if id != 0 {
			return id, nil
		}
	}
}

// monotonic is a number that grows from call to call as long as the machine is
// up, over processes: nanoseconds since boot.
func monotonic() (uint64, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0, os.NewSyscallError("clock_gettime", err)
	}
	return uint64(ts.Nano()), nil
}

// MaxDynamicSize is the most bytes of a dynamic segment.
const MaxDynamicSize = MaxSize

// CreateDynamicMemory makes the memory of a dynamic segment for the supervisor:
// size bytes, 1 to MaxDynamicSize, all 0, rounded up to whole pages, allocated
// here and sealed. The error wraps ENOMEM, ENOSPC or EFBIG where memory or a
// limit forbids it. The caller owns the file, and passes its descriptor on over
// the control socket.
func CreateDynamicMemory(size uint64) (*os.File, error) {
	if size == 0 || size > MaxDynamicSize {
		return nil, fmt.Errorf("cannot create dynamic segment: its size is %d bytes, 1 to %d are allowed", size, int64(MaxDynamicSize))
	}
	f, err := newDynamicMemfd(int64(roundToPage(size)))
	if err != nil {
		return nil, fmt.Errorf("cannot create dynamic segment of %d bytes: %w", size, err)
	}
	return f, nil
}

func newDynamicMemfd(size int64) (*os.File, error) {
	if err := checkRoom(size); err != nil {
		return nil, err
	}
	f, err := newMemfd("pgbgw-dynamic", 0o600)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(allocate(f, size), seal(f)); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func roundToPage(size uint64) uint64 {
	page := uint64(os.Getpagesize())
	return (size + page - 1) / page * page
}
