package launch

import (
	"bytes"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Modules are what a launcher loads for workers that are functions of
// PostgreSQL's modules. Such a launcher starts them by fork alone, with all that
// the modules' _PG_init left behind; programs it starts like any other.
type Modules struct {
	// Release is the file of libpgbgw for one major release of PostgreSQL.
	Release string
	// Path is where modules are looked for: directories, colons between them;
	// $libdir, or nothing at all, is that of the release's own.
	Path string
	// Settings is the file of the parameters' values (contrib/libpgbgw/pg/host.h); "" for
	// none. It is read again when a worker is told to reload.
	Settings string
	// MaxWorkers is max_worker_processes.
	MaxWorkers int
	// Libraries are loaded first, in this order (shared_preload_libraries).
	Libraries []string
	// Segment is the descriptor of what the modules' workers share, which the
	// caller keeps open; -1 for none. Address is where all have it.
	Segment int
	Address uintptr

	// Registered is told of each worker that a module's _PG_init registers, Ready
	// that all are loaded, and Died of the end of a launcher, with the library
	// whose code it was running, or "". Each life of the launcher tells all of it
	// again. They are called on the poller's goroutine and must not block.
	Registered func(Registration)
	Ready      func()
	Died       func(library string)
}

// A Registration is a worker as a module registered it (BackgroundWorker); its
// numbers are PostgreSQL's.
type Registration struct {
	Name, Type        string
	Flags             uint32
	StartTime         int32
	RestartTime       int32
	Library, Function string
	MainArg           uint64
	Extra             []byte // 128 bytes
	NotifyPid         int32
}

// A Main is the function of a module that a worker is, instead of a program.
type Main struct {
	Library, Function             string
	Flags, StartTime, RestartTime int32 // as its BackgroundWorker has them
}

// argv is what the launcher is told of m.
func (m *Main) argv() []string {
	return []string{m.Library, m.Function, strconv.Itoa(int(m.Flags)), strconv.Itoa(int(m.StartTime)), strconv.Itoa(int(m.RestartTime))}
}

// The numbers of a launcher's own descriptors: its socket, and what modules share.
const (
	socketNumber  = 3
	segmentNumber = 4
)

// args are the launcher's arguments after the directory (protocol.h).
func (m *Modules) args() []string {
	segment := -1
	if m.Segment >= 0 {
		segment = segmentNumber
	}
	return append([]string{
		m.Release, m.Path, m.Settings, strconv.Itoa(m.MaxWorkers),
		strconv.Itoa(segment), strconv.FormatUint(uint64(m.Address), 16),
	}, m.Libraries...)
}

// The messages of a launcher with modules (protocol.h), and the layout of
// struct pgbgw_host_entry (contrib/libpgbgw/pg/host.h).
const (
	messageHead       = 8
	messageRegistered = 1
	messageLoading    = 2
	messageReady      = 3
	messageSpare      = 4
	spareSize         = 4

	entryName     = 0
	entryType     = 96
	entryFlags    = 192
	entryStart    = 196
	entryRestart  = 200
	entryLibrary  = 204
	entryFunction = 1228
	entryMainArg  = 1328
	entryExtra    = 1336
	entryNotify   = 1464
	entrySize     = 1472
)

func cString(b []byte) string {
	text, _, _ := bytes.Cut(b, []byte{0})
	return string(text)
}

func decodeEntry(b []byte) Registration {
	return Registration{
		Name: cString(b[entryName:entryType]), Type: cString(b[entryType:entryFlags]),
		Flags: order.Uint32(b[entryFlags:]), StartTime: int32(order.Uint32(b[entryStart:])),
		RestartTime: int32(order.Uint32(b[entryRestart:])),
		Library:     cString(b[entryLibrary:entryFunction]), Function: cString(b[entryFunction:entryMainArg]),
		MainArg: order.Uint64(b[entryMainArg:]), Extra: bytes.Clone(b[entryExtra:entryNotify]),
		NotifyPid: int32(order.Uint32(b[entryNotify:])),
	}
}

// listen reads what a launcher with modules has sent, all that is there. What
// it does not know it leaves: both are of one build.
func (p *program) listen() {
	m := p.l.opts.Modules
	b := make([]byte, messageHead+entrySize)
	for {
		n, err := p.receive(b)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n < messageHead {
			return
		}
		body := b[messageHead:n]
		switch order.Uint32(b) {
		case messageRegistered:
			if len(body) == entrySize && m.Registered != nil {
				m.Registered(decodeEntry(body))
			}
		case messageLoading:
			p.mu.Lock()
			p.loading = string(body)
			p.mu.Unlock()
		case messageSpare:
			if len(body) == spareSize {
				p.onSpare(int(int32(order.Uint32(body))))
			}
		case messageReady:
			p.loaded()
			if m.Ready != nil {
				m.Ready()
			}
		}
	}
}

// receive reads one message, if there is one, and not from what has been closed.
func (p *program) receive(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sock < 0 {
		return 0, unix.EBADF
	}
	n, _, err := unix.Recvfrom(p.sock, b, unix.MSG_DONTWAIT)
	return n, err
}

// blame adds to how a launcher ended the library whose code it was running.
func (p *program) blame(how string) string {
	library := p.atWork()
	if library == "" {
		return how
	}
	return fmt.Sprintf("%s, while it was loading %s", how, library)
}

// atWork is the library whose code the launcher is running, or "".
func (p *program) atWork() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.loading
}

// loadPatience is how long modules may take to load before it is said which one
// does. They may take longer: their workers wait.
const loadPatience = 5 * time.Second

func (p *program) stillLoading() {
	what := p.atWork()
	if what == "" {
		what = "modules"
	}
	p.l.opts.Notice(fmt.Errorf("launcher %d is still loading %s after %v; its workers wait", p.pid, what, loadPatience))
}

// loaded ends the watch over the loading of modules.
func (p *program) loaded() {
	if p.slow != nil {
		p.slow.Stop()
	}
}
