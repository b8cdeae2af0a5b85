package server

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Names in a data directory that change when the server's state does
// (PostgreSQL's documentation, "Database File Layout"; pg_ctl(1) promote).
const (
	pidFile       = "postmaster.pid"
	standbySignal = "standby.signal"
	recoverSignal = "recovery.signal"
	promoteSignal = "promote"
)

// hints tells when files changed that make it worth asking the server. It
// tells nothing else: what is in them is not read.
type hints struct {
	file    *os.File // inotify
	fd      int
	watched map[string]bool // directories that have a watch
	out     chan struct{}   // holds at most one

	// promotion: one of what was heard since it was last taken foretells a
	// promotion.
	promotion atomic.Bool
}

// newHints starts to listen; nil if the kernel gives no inotify instance
// (fs.inotify.max_user_instances), in which case the watcher asks by time only.
func newHints() *hints {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil
	}
	h := &hints{file: os.NewFile(uintptr(fd), "inotify"), fd: fd, watched: map[string]bool{}, out: make(chan struct{}, 1)}
	go h.run()
	return h
}

// channel is where hints come from; that of a nil one never has any.
func (h *hints) channel() <-chan struct{} {
	if h == nil {
		return nil
	}
	return h.out
}

// arm watches the directory dir, again if it was made anew since, and reports
// whether it is watched. It is called before each question, on one goroutine.
func (h *hints) arm(dir string) bool {
	if h == nil || dir == "" {
		return false
	}
	const mask = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_MODIFY | unix.IN_ONLYDIR
	_, err := unix.InotifyAddWatch(h.fd, dir, mask)
	h.watched[dir] = err == nil
	return err == nil
}

func (h *hints) close() {
	if h != nil {
		h.file.Close()
	}
}

func (h *hints) run() {
	buf := make([]byte, 16<<10)
	for {
		n, err := h.file.Read(buf)
		if err != nil {
			if errors.Is(err, unix.EINTR) {
				continue
			}
			return
		}
		heed, promotion := relevant(buf[:n])
		if promotion {
			h.promotion.Store(true)
		}
		if heed {
			select {
			case h.out <- struct{}{}:
			default:
			}
		}
	}
}

// relevant reports whether one of the events in b (inotify(7)) is about a name
// that matters, or says that events were dropped, and whether one foretells a
// promotion.
func relevant(b []byte) (heed, promotion bool) {
	for len(b) >= unix.SizeofInotifyEvent {
		mask := binary.NativeEndian.Uint32(b[4:])
		size := int(binary.NativeEndian.Uint32(b[12:]))
		b = b[unix.SizeofInotifyEvent:]
		if size > len(b) {
			return true, promotion
		}
		name := string(bytes.TrimRight(b[:size], "\x00"))
		b = b[size:]
		switch {
		case name == promoteSignal, name == standbySignal, name == recoverSignal:
			heed, promotion = true, true
		case mask&unix.IN_Q_OVERFLOW != 0, name == pidFile, matches(".s.PGSQL.*[0-9]", name):
			heed = true
		}
	}
	return heed, promotion
}

func matches(pattern, name string) bool {
	ok, err := filepath.Match(pattern, name)
	return ok && err == nil
}

// willBeStandby reports whether the server of this data directory, once
// started, comes up as a standby; false where that cannot be seen.
func willBeStandby(dataDirectory string) bool {
	if dataDirectory == "" {
		return false
	}
	_, err := os.Stat(filepath.Join(dataDirectory, standbySignal))
	return err == nil
}
