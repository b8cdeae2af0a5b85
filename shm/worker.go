package shm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pg-bgw/pg-bgw/shm/control"
)

// Worker is this process as a background worker. Its methods may be called
// concurrently. It holds two goroutines and no thread.
type Worker struct {
	self   BackgroundWorker
	fds    map[string]int
	client *client // nil: no control socket
	death  *os.File
	latch  *Latch
	done   chan struct{}
	once   sync.Once // closes done

	joined atomic.Pointer[attachment] // the mapped segment, attached or not

	mu     sync.Mutex // attaching, detaching, closing
	closed bool

	dynamics dynamicTable

	partyMu sync.Mutex
	party   *party // nil until it is needed

	slotsOnce sync.Once
	slots     *Slots
	slotsErr  error
}

// Open reads what the supervisor says in the environment (PGBGW_FDS and others)
// and takes over the descriptors it passed, made close-on-exec; those that it has
// no use for, such as the files of a database connection, stay as they are, for
// the programs that the worker runs. It attaches nothing and waits for nothing.
// ErrNotWorker in a process that no supervisor started; another error names each
// variable and descriptor that is wrong. Call it once, and Close before a normal
// exit.
func Open() (*Worker, error) { return open(os.LookupEnv) }

func open(lookup func(string) (string, bool)) (*Worker, error) {
	e, err := parseEnvironment(lookup)
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(e.fds, func(name string, _ int) bool { return !slices.Contains(descriptorNames, name) })
	if err := checkDescriptors(e.fds); err != nil {
		return nil, fmt.Errorf("cannot use what the supervisor passed: %w", err)
	}
	w := &Worker{self: e.self, fds: e.fds, done: make(chan struct{})}
	if err := w.start(); err != nil {
		w.release()
		return nil, fmt.Errorf("cannot use what the supervisor passed: %w", err)
	}
	return w, nil
}

// descriptorNames are those that a Worker takes over.
var descriptorNames = []string{"segment", "slots", "control", "death", "latch"}

// checkDescriptors makes all of them close-on-exec and checks the kinds of
// those that are used here; the memory is checked as it is mapped.
func checkDescriptors(fds map[string]int) error {
	checks := map[string]func(int) error{"control": checkControl, "death": checkDeath, "latch": checkLatch}
	var errs []error
	for name, fd := range fds {
		err := closeOnExec(fd)
		if check := checks[name]; err == nil && check != nil {
			err = check(fd)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("PGBGW_FDS: %s (descriptor %d): %w", name, fd, err))
		}
	}
	return errors.Join(errs...)
}

// start takes over the descriptors, latch first: the others interrupt it.
func (w *Worker) start() (err error) {
	fd, ok := w.fds["latch"]
	if !ok {
		if fd, err = NewLatchEvent(); err != nil {
			return err
		}
	}
	b, err := newBell(fd)
	if err != nil {
		return err
	}
	w.latch = newLatch(b, w.done)
	if fd, ok := w.fds["death"]; ok {
		if w.death, err = watchDeath(fd, w.supervisorDied); err != nil {
			return err
		}
	}
	if fd, ok := w.fds["control"]; ok {
		if w.client, err = newClient(fd, w.controlEnded); err != nil {
			return err
		}
		w.client.tell(control.Record{Type: control.Hello, Text: library})
	}
	return nil
}

// library is what Hello says.
const library = "pg-bgw/shm 1.0"

func (w *Worker) controlEnded(err error) {
	if !errors.Is(err, ErrClosed) {
		w.supervisorDied()
	}
}

func (w *Worker) supervisorDied() {
	w.once.Do(func() { close(w.done) })
	w.latch.interrupt()
}

// Self is what this process was registered as (MyBgworkerEntry). Extra is
// shared.
func (w *Worker) Self() BackgroundWorker { return w.self }

// Done is closed when the supervisor is gone (POSTMASTER_DIED): nothing
// restarts this process any more, and it should end. A server's outage never
// closes it.
func (w *Worker) Done() <-chan struct{} { return w.done }

// Latch is this process's own latch (MyLatch).
func (w *Worker) Latch() *Latch { return w.latch }

// Slots is the view of all workers.
func (w *Worker) Slots() (*Slots, error) {
	w.slotsOnce.Do(func() {
		fd, ok := w.fds["slots"]
		if !ok {
			w.slotsErr = errors.New("cannot read the slot table: PGBGW_FDS names no slots")
			return
		}
		if w.slots, w.slotsErr = openSlots(fd); w.slotsErr != nil {
			w.slotsErr = fmt.Errorf("cannot read the slot table: %w", w.slotsErr)
		}
	})
	return w.slots, w.slotsErr
}

// inside is the segment while this process is attached to it, or nil.
func (w *Worker) inside() *attachment {
	if a := w.joined.Load(); a != nil && a.inside.Load() {
		return a
	}
	return nil
}

// Attach maps the segment, checks it and tells the supervisor, for whom this
// process is attached from then on: ending without Detach or Close is a crash,
// which ends all attached workers of the segment. ErrDamaged where the memory
// is not what it should be; a RefusedError with ESTALE where the segment was
// renewed after a crash, upon which this process should end with exit code 1 to
// be started again. Attached already is no error.
func (w *Worker) Attach(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.attachLocked(ctx); err != nil {
		return fmt.Errorf("cannot attach: %w", err)
	}
	return nil
}

func (w *Worker) attachLocked(ctx context.Context) error {
	fd, ok := w.fds["segment"]
	switch {
	case w.closed:
		return ErrClosed
	case w.inside() != nil:
		return nil
	case !ok:
		return errors.New(`this worker has no segment (attach = "never")`)
	case w.client == nil:
		return errNoControl
	}
	a := w.joined.Load()
	if a == nil {
		var err error
		if a, err = attach(fd); err != nil {
			return fmt.Errorf("segment: %w", err)
		}
	}
	if err := w.enter(ctx, a); err != nil {
		if w.joined.Load() == nil {
			err = errors.Join(err, a.mem.unmap()) // nobody has seen it yet
		}
		return err
	}
	return nil
}

// enter tells the supervisor before the first byte is written.
func (w *Worker) enter(ctx context.Context, a *attachment) error {
	offset, ok := a.latch(w.self.Handle.Slot)
	if !ok {
		return damaged("slot %d has no latch", w.self.Handle.Slot)
	}
	if _, err := w.plain(ctx, control.Record{Type: control.Attach}); err != nil {
		return err
	}
	a.inside.Store(true)
	w.joined.Store(a)
	w.latch.moveTo(a.mem.word32(offset))
	return nil
}

// Detach tells the supervisor that this process uses the segment no more; how
// it ends is then its own affair. What Area returned must not be used any
// longer; it stays mapped, so that a mistake is no fault. Dynamic segments are
// detached, then queues (what was sent without a flush is lost), and locks
// released. Not attached is no error.
func (w *Worker) Detach(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.detachLocked(ctx)
}

func (w *Worker) detachLocked(ctx context.Context) error {
	a := w.inside()
	if a == nil {
		return nil
	}
	w.leaveDynamics()
	w.endParty(false)
	a.inside.Store(false)
	w.leaveDynamics() // one that came meanwhile
	w.latch.moveTo(&w.latch.local)
	if _, err := w.plain(ctx, control.Record{Type: control.Detach}); err != nil {
		return fmt.Errorf("cannot detach: %w", err)
	}
	return nil
}

// Area returns the area of that name in the segment (ShmemInitStruct): size
// bytes, aligned to 128, of zeros when it is new. found is false for the one
// caller in all processes that made it. The same name and size give the same
// memory everywhere, another size an error that wraps ErrAreaSize (BGW-133).
// name has 1 to MaxAreaName bytes without NUL. Areas are never freed; ENOMEM or
// ENOSPC (wrapped) when there is no room. Others may see the area before its
// maker has filled it: let zero mean not ready, and set it by an atomic store.
// A lookup takes no lock.
func (w *Worker) Area(name string, size int) (data []byte, found bool, err error) {
	a := w.inside()
	if a == nil {
		return nil, false, fmt.Errorf("cannot use area %q: %w", name, ErrNotAttached)
	}
	return a.areas.find(name, size)
}

// closeTimeout bounds Close's wait for a supervisor that does not answer.
const closeTimeout = 5 * time.Second

// Close detaches and closes the descriptors. The process should end soon after
// it. Closing again does nothing.
func (w *Worker) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	err := w.detachLocked(ctx)
	if errors.Is(err, ErrSupervisorDied) {
		err = nil // nobody is left to mind
	}
	w.closed = true
	w.release()
	return err
}

// release closes what was opened and what was passed.
func (w *Worker) release() {
	w.endParty(true)
	w.slotsOnce.Do(func() { w.slotsErr = ErrClosed })
	owned := map[string]bool{}
	if w.client != nil {
		w.client.close()
		owned["control"] = true
	}
	if w.death != nil {
		w.death.Close()
	}
	if w.latch != nil {
		w.latch.bell.file.Close()
		owned["latch"] = true
	}
	for name, fd := range w.fds {
		if !owned[name] {
			closeFd(fd)
		}
	}
}
