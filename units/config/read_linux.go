package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Bounds of what is read.
const (
	maxFileSize = 256 << 10 // bytes of one file
	maxTotal    = 16 << 20  // bytes of one directory's files
	maxEntries  = 64 << 10  // names in one directory, of any kind
	maxFiles    = 1024      // files of the directories
)

// errHidden says that a file hides the files of its name: it is a link to
// /dev/null, or empty.
var errHidden = errors.New("it hides others of its name")

// openDir opens a directory and refuses one in which somebody else can put
// files. Where it leads over links is nobody's business but the owner's.
func openDir(path string) (*os.File, error) {
	fd, err := openat(unix.AT_FDCWD, path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), path)
	st, err := stat(fd)
	if err == nil {
		err = judgeOwner(st, os.Geteuid())
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// listDir returns the names in a directory in no order.
func listDir(dir *os.File) ([]string, error) {
	names, err := dir.Readdirnames(maxEntries + 1)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if len(names) > maxEntries {
		return nil, fmt.Errorf("it has more than %d entries", maxEntries)
	}
	return names, nil
}

// readFile reads the file of that name in dir, or of that path where dir is
// nil. What the name leads to is judged before it is opened for reading, so
// that a FIFO cannot block and a device does not notice; what is then read is
// the file that was judged, whatever the name leads to by then.
func readFile(dir *os.File, name string) ([]byte, error) {
	at := unix.AT_FDCWD
	if dir != nil {
		at = int(dir.Fd())
	}
	path, err := openat(at, name, unix.O_PATH)
	if err != nil {
		return nil, err
	}
	defer unix.Close(path)
	st, err := stat(path)
	if err != nil {
		return nil, err
	}
	if err := judgeFile(st, os.Geteuid()); err != nil {
		return nil, err
	}
	fd, err := openat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(path), unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	switch {
	case err != nil:
		return nil, err
	case len(src) > maxFileSize:
		return nil, tooLarge()
	case len(src) == 0:
		return nil, errHidden
	}
	return src, nil
}

func openat(at int, name string, flags int) (int, error) {
	for {
		fd, err := unix.Openat(at, name, flags|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
		if err == unix.EINTR {
			continue
		}
		return fd, os.NewSyscallError("openat", err)
	}
}

func stat(fd int) (*unix.Stat_t, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, os.NewSyscallError("fstat", err)
	}
	return &st, nil
}

// judgeFile says why st is not a file to be read by a daemon of user euid:
// nil for a file, errHidden for /dev/null.
func judgeFile(st *unix.Stat_t, euid int) error {
	if kind := st.Mode & unix.S_IFMT; kind != unix.S_IFREG {
		if kind == unix.S_IFCHR && st.Rdev == unix.Mkdev(1, 3) {
			return errHidden
		}
		return fmt.Errorf("it is a %s, not a file", kindNames[kind])
	}
	if st.Size > maxFileSize {
		return tooLarge()
	}
	return judgeOwner(st, euid)
}

func tooLarge() error {
	return fmt.Errorf("it is larger than %d KiB; split it", maxFileSize>>10)
}

// judgeOwner refuses what somebody other than root and the daemon can change:
// a definition decides what runs, and as whom.
func judgeOwner(st *unix.Stat_t, euid int) error {
	if st.Uid != 0 && int(st.Uid) != euid {
		return fmt.Errorf("it belongs to user %d; it must belong to root or to user %d, who reads it", st.Uid, euid)
	}
	if st.Mode&0o022 != 0 {
		who := "its group"
		if st.Mode&0o002 != 0 {
			who = "everybody"
		}
		return fmt.Errorf("it can be written by %s (mode %04o); take that away with \"chmod go-w\"", who, st.Mode&0o7777)
	}
	return nil
}

var kindNames = map[uint32]string{
	unix.S_IFDIR:  "directory",
	unix.S_IFIFO:  "FIFO",
	unix.S_IFSOCK: "socket",
	unix.S_IFCHR:  "device",
	unix.S_IFBLK:  "device",
}

// reason is the cause of a failure to open something, without the name of the
// system call.
func reason(err error) string {
	switch {
	case errors.Is(err, unix.ELOOP):
		return "its links lead in a circle"
	case errors.Is(err, unix.ENOTDIR):
		return "it is not a directory"
	case errors.Is(err, unix.EACCES):
		return "permission denied"
	}
	var sys *os.SyscallError
	if errors.As(err, &sys) {
		return sys.Err.Error()
	}
	return err.Error()
}
