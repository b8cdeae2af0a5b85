package server

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/pg-bgw/pg-bgw/units"
	"golang.org/x/sys/unix"
)

// Bounds of secrets, in bytes.
const (
	maxSecret   = 64 << 10 // a file
	maxPassword = 4096     // PostgreSQL's own programs take as much
)

// readPlain reads a file that is no secret.
func readPlain(what, path string) ([]byte, error) { return readLogin(what, path, nil) }

// readSecret reads a file that nobody can read or write but root, this
// process's user and, reading, this process's group.
func (l *Login) readSecret(what, path string) ([]byte, error) {
	judge := func(st *unix.Stat_t) error { return judgeSecret(st, os.Geteuid(), os.Getegid()) }
	name, passed := strings.CutPrefix(path, units.SecretDescriptor)
	if !passed {
		return readLogin(what, path, judge)
	}
	f, ok := l.passed[name]
	if !ok {
		return nil, fmt.Errorf("cannot use the %s %s: the service was started without such a descriptor; add OpenFile=/PATH:%s:read-only to its unit (systemd 253) and restart it", what, path, name)
	}
	text, err := readOpen(f, judge)
	if err != nil {
		return nil, fmt.Errorf("cannot use the %s %s: %w", what, path, err)
	}
	return text, nil
}

func readLogin(what, path string, judge func(*unix.Stat_t) error) ([]byte, error) {
	fail := func(err error) ([]byte, error) { return nil, fmt.Errorf("cannot use the %s %s: %w", what, path, err) }
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0) // a FIFO must not block
	if errors.Is(err, unix.EACCES) {
		return fail(fmt.Errorf("%w for user id %d; give it the file and let it into the directories above", err, os.Geteuid()))
	} else if err != nil {
		return fail(err)
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	text, err := readOpen(f, judge)
	if err != nil {
		return fail(err)
	}
	return text, nil
}

// readOpen reads a file from its beginning, whatever was read of it before.
func readOpen(f *os.File, judge func(*unix.Stat_t) error) ([]byte, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, os.NewSyscallError("fstat", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, errors.New("it is not a regular file")
	}
	if judge != nil {
		if err := judge(&st); err != nil {
			return nil, err
		}
	}
	text, err := io.ReadAll(io.NewSectionReader(f, 0, maxSecret+1))
	if err == nil && len(text) > maxSecret {
		err = fmt.Errorf("it has more than %d bytes", maxSecret)
	}
	return text, err
}

// judgeSecret says why st is no secret of a daemon of that user and group.
func judgeSecret(st *unix.Stat_t, uid, gid int) error {
	mode := st.Mode & 0o7777
	switch {
	case st.Uid != 0 && int(st.Uid) != uid:
		return fmt.Errorf("it belongs to user id %d; it must belong to root or to user id %d", st.Uid, uid)
	case mode&0o007 != 0:
		return fmt.Errorf("everybody has rights to it (mode %04o); take them away with \"chmod o=\"", mode)
	case mode&0o020 != 0:
		return fmt.Errorf("its group can write to it (mode %04o); take that away with \"chmod g-w\"", mode)
	case mode&0o070 != 0 && int(st.Gid) != gid && st.Gid != 0: // root's own, as of systemd's credentials
		return fmt.Errorf("group id %d, which is not the service's own, has rights to it (mode %04o); take them away with \"chmod g=\"", st.Gid, mode)
	}
	return nil
}

// readPassword reads the first line of a password's file.
func (l *Login) readPassword(path string) (string, error) {
	text, err := l.readSecret("password file", path)
	if err != nil {
		return "", err
	}
	line, rest, _ := strings.Cut(string(text), "\n")
	line = strings.TrimSuffix(line, "\r")
	bad := ""
	switch {
	case line == "":
		bad = "its first line is empty"
	case len(line) > maxPassword:
		bad = fmt.Sprintf("its first line has more than %d bytes", maxPassword)
	case strings.ContainsRune(line, 0):
		bad = "it has a NUL byte"
	case strings.TrimSpace(rest) != "":
		bad = "it has more than one line; write the password alone"
	}
	if bad != "" {
		return "", fmt.Errorf("cannot use the password file %s: %s", path, bad)
	}
	return line, nil
}

// readPEM reads a certificate or a key and refuses what libpq could not use.
func readPEM(what, path string, read func(what, path string) ([]byte, error)) ([]byte, error) {
	text, err := read(what, path)
	if err != nil {
		return nil, err
	}
	var found []string
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		found = append(found, block.Type)
	}
	has := func(suffix string) bool {
		return slices.ContainsFunc(found, func(t string) bool { return strings.HasSuffix(t, suffix) })
	}
	fail := func(problem string) ([]byte, error) {
		return nil, fmt.Errorf("cannot use the %s %s: %s", what, path, problem)
	}
	switch {
	case len(found) == 0:
		return fail("it is not in PEM; convert it with openssl(1)")
	case what == "key" && bytes.Contains(text, []byte("ENCRYPTED")):
		return fail("it is encrypted, and libpq asks for the passphrase where nobody is; decrypt it with \"openssl pkey\" and protect the file")
	case what == "key" && !has("PRIVATE KEY"):
		return fail("it holds a " + strings.ToLower(found[0]) + "; name the file of the private key")
	case what == "certificate" && !has("CERTIFICATE"):
		return fail("it holds a " + strings.ToLower(found[0]) + "; name the file of the certificate")
	}
	return text, nil
}

// Memfd makes a sealed file in memory of f's content, close-on-exec, that
// belongs to user uid with mode 0600: what libpq wants of a password file and
// of a key, which it opens by their path in /proc. The caller closes it.
func (f LoginFile) Memfd(uid uint32) (fd int, err error) {
	if int(uid) == os.Geteuid() {
		return f.memfd()
	}
	// The owner is the file system user of the thread; giving it away afterwards
	// would take a capability more (CAP_CHOWN).
	runtime.LockOSThread()
	before, err := unix.SetfsuidRetUid(int(uid))
	if err != nil {
		runtime.UnlockOSThread()
		return -1, os.NewSyscallError("setfsuid", err)
	}
	fd, err = f.memfd()
	if _, back := unix.SetfsuidRetUid(before); back != nil {
		if err == nil {
			unix.Close(fd)
		}
		return -1, errors.Join(err, os.NewSyscallError("setfsuid", back)) // the thread stays locked and ends with its goroutine
	}
	runtime.UnlockOSThread()
	return fd, err
}

func (f LoginFile) memfd() (int, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE | unix.F_SEAL_SEAL
	fd, err := unix.MemfdCreate("pg-bgw-"+f.Name, flags|unix.MFD_NOEXEC_SEAL)
	if err == unix.EINVAL { // before Linux 6.3
		fd, err = unix.MemfdCreate("pg-bgw-"+f.Name, flags)
	}
	if err != nil {
		return -1, os.NewSyscallError("memfd_create", err)
	}
	err = unix.Fchmod(fd, 0o600)
	for b := f.Content; err == nil && len(b) > 0; {
		var n int
		n, err = unix.Write(fd, b)
		b = b[max(n, 0):]
	}
	if err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals)
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("cannot fill a private file: %w", err)
	}
	return fd, nil
}
