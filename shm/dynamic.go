package shm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"

	"github.com/pg-bgw/pg-bgw/shm/control"
)

var (
	// ErrNoDynamic is wrapped when there is no dynamic segment with a handle
	// (any more), for this process's segment (BGW-136).
	ErrNoDynamic = errors.New("no such dynamic segment")

	// ErrMapped is wrapped when this process has a dynamic segment already: see
	// FindDynamic (BGW-137).
	ErrMapped = errors.New("the dynamic segment is attached already")
)

// MaxDynamicName is the most bytes of a dynamic segment's name.
const MaxDynamicName = control.MaxDynamic

// DynamicSegment is memory that was made at run time, as this process has it:
// PostgreSQL's dsm_segment. It is removed when no process has it and it is not
// pinned, and with the segment in a crash (BGW-135). It has no fixed address:
// offsets go into it, never pointers. Areas' inhabitants (queues, locks, tables
// of contents) can lie in it.
//
// There are no resource owners here: each is as after dsm_pin_mapping, and this
// process has it until Detach, or until it detaches from its segment. The
// methods may be called concurrently.
type DynamicSegment struct {
	worker *Worker
	handle uint32
	name   string // "": none
	mem    memory // whole pages
	data   []byte

	mu       sync.Mutex
	gone     bool
	onDetach []*func()
}

// dynamicTable is what dynamic segments a process has.
type dynamicTable struct {
	mu      sync.Mutex
	all     []*DynamicSegment // in the order in which they came
	hollows []memory
	naming  map[string]chan struct{} // closed when NamedDynamic has its answer
}

// CreateDynamic makes a dynamic segment of size bytes, all 0, and attaches it
// (dsm_create). Others attach it by its handle, as long as somebody has it or it
// is pinned: who makes it for another worker keeps it until that one has it. A
// RefusedError with EDQUOT at a limit, ENOMEM where there is not so much memory.
// The process has to be attached to its segment.
func (w *Worker) CreateDynamic(ctx context.Context, size int) (*DynamicSegment, error) {
	if size <= 0 {
		return nil, fmt.Errorf("cannot create dynamic segment: it cannot have %d bytes", size)
	}
	d, _, err := w.askDynamic(ctx, control.Record{Type: control.DynamicCreate, Size: uint64(size)})
	if err != nil {
		return nil, fmt.Errorf("cannot create dynamic segment: %w", err)
	}
	return d, nil
}

// AttachDynamic attaches the dynamic segment of that handle (dsm_attach).
// ErrNoDynamic (wrapped) if there is none any more (PostgreSQL: null);
// ErrMapped if this process has it.
func (w *Worker) AttachDynamic(ctx context.Context, handle uint32) (*DynamicSegment, error) {
	d, _, err := w.askDynamic(ctx, control.Record{Type: control.DynamicAttach, Segment: handle})
	switch {
	case errors.Is(err, syscall.ENOENT):
		err = fmt.Errorf("%w (%w)", ErrNoDynamic, err)
	case errors.Is(err, syscall.EEXIST):
		err = fmt.Errorf("%w (%w)", ErrMapped, err)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot attach dynamic segment %d: %w", handle, err)
	}
	return d, nil
}

// FindDynamic returns the dynamic segment of that handle if this process has it
// (dsm_find_mapping), or nil.
func (w *Worker) FindDynamic(handle uint32) *DynamicSegment {
	return w.dynamics.find(func(d *DynamicSegment) bool { return d.handle == handle })
}

// UnpinDynamic ends what Pin began (dsm_unpin_segment): the segment is removed
// unless a process has it. This process need not have it.
func (w *Worker) UnpinDynamic(ctx context.Context, handle uint32) error {
	if _, err := w.plain(ctx, control.Record{Type: control.DynamicUnpin, Segment: handle}); err != nil {
		return fmt.Errorf("cannot unpin dynamic segment %d: %w", handle, err)
	}
	return nil
}

// askDynamic sends a request that a segment comes back for.
func (w *Worker) askDynamic(ctx context.Context, r control.Record) (d *DynamicSegment, found bool, err error) {
	switch {
	case w.client == nil:
		return nil, false, errNoControl
	case w.inside() == nil:
		return nil, false, ErrNotAttached
	}
	a, err := w.client.call(ctx, r)
	if err != nil {
		return nil, false, err
	}
	defer closeFd(a.fd)
	if d = w.FindDynamic(a.record.Segment); d != nil { // it was attached by its handle
		return d, true, nil
	}
	d = &DynamicSegment{worker: w, handle: a.record.Segment}
	if d.mem, err = mapDynamic(a.fd, a.record.Size); err == nil {
		d.data = d.mem[:a.record.Size:a.record.Size]
		err = w.dynamics.add(d, w)
	}
	if err != nil {
		w.client.tell(control.Record{Type: control.DynamicDetach, Segment: a.record.Segment})
		return nil, false, err
	}
	return d, a.record.Found, nil
}

func mapDynamic(fd int, size uint64) (memory, error) {
	if fd < 0 {
		return nil, errors.New("the supervisor passed no memory")
	}
	have, err := sealedSize(fd)
	switch {
	case err != nil:
		return nil, err
	case size == 0 || size > have:
		return nil, damaged("it has %d bytes of %d", have, size)
	}
	return mapMemory(fd, have, true)
}

func (t *dynamicTable) add(d *DynamicSegment, w *Worker) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if w.inside() == nil { // it has detached meanwhile, and takes what is in the table along
		return errors.Join(ErrNotAttached, d.mem.unmap())
	}
	t.all = append(t.all, d)
	return nil
}

func (t *dynamicTable) find(is func(*DynamicSegment) bool) *DynamicSegment {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.IndexFunc(t.all, is); i >= 0 {
		return t.all[i]
	}
	return nil
}

// Handle is the number by which others attach it (dsm_segment_handle): even, and
// not 0.
func (d *DynamicSegment) Handle() uint32 { return d.handle }

// Data is the memory, of as many bytes as were asked for, aligned to a page. It
// must not be used after Detach.
func (d *DynamicSegment) Data() []byte { return d.data }

// Pin keeps the segment even if no process has it (dsm_pin_segment), until
// UnpinDynamic, the segment's crash or the supervisor's end. A RefusedError with
// EEXIST if it is pinned already.
func (d *DynamicSegment) Pin(ctx context.Context) error {
	if _, err := d.worker.plain(ctx, control.Record{Type: control.DynamicPin, Segment: d.handle}); err != nil {
		return fmt.Errorf("cannot pin dynamic segment %d: %w", d.handle, err)
	}
	return nil
}

// OnDetach has f called when this process detaches the segment (on_dsm_detach):
// the last one first, while the memory is still there (BGW-138). A process that
// ends without detaching calls nothing. cancel takes it back
// (cancel_on_dsm_detach). On a segment that is detached f is called at once.
func (d *DynamicSegment) OnDetach(f func()) (cancel func()) {
	entry := &f
	d.mu.Lock()
	if d.gone {
		d.mu.Unlock()
		f()
		return func() {}
	}
	d.onDetach = append(d.onDetach, entry)
	d.mu.Unlock()
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if i := slices.Index(d.onDetach, entry); i >= 0 {
			d.onDetach = slices.Delete(d.onDetach, i, i+1)
		}
	}
}

// Detach calls what OnDetach was given and gives the memory back (dsm_detach).
// Queues in it are detached, locks in it released. Again it does nothing. The
// error is that of the supervisor's not having been told.
func (d *DynamicSegment) Detach(ctx context.Context) error {
	if !d.leave() {
		return nil
	}
	if _, err := d.worker.plain(ctx, control.Record{Type: control.DynamicDetach, Segment: d.handle}); err != nil {
		return fmt.Errorf("cannot detach dynamic segment %d: %w", d.handle, err)
	}
	return nil
}

// leave is Detach without telling the supervisor; false if that was done.
func (d *DynamicSegment) leave() bool {
	d.mu.Lock()
	if d.gone {
		d.mu.Unlock()
		return false
	}
	d.gone = true
	d.mu.Unlock()
	for {
		d.mu.Lock()
		n := len(d.onDetach)
		if n == 0 {
			d.mu.Unlock()
			break
		}
		f := d.onDetach[n-1]
		d.onDetach = d.onDetach[:n-1]
		d.mu.Unlock()
		(*f)()
	}
	d.worker.hollow(d.mem)
	t := &d.worker.dynamics
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = slices.DeleteFunc(t.all, func(other *DynamicSegment) bool { return other == d })
	if t.hollows = append(t.hollows, d.mem); len(t.hollows) > maxHollows {
		_ = t.hollows[0].unmap() // cannot fail for what was mapped
		t.hollows = slices.Delete(t.hollows, 0, 1)
	}
	return true
}

// maxHollows is how many addresses of segments that were detached are kept from
// being used for something else: who still sleeps at a queue there is no fault.
const maxHollows = 64

// leaveDynamics leaves all of them, the last one first.
func (w *Worker) leaveDynamics() {
	t := &w.dynamics
	for {
		t.mu.Lock()
		var d *DynamicSegment
		if n := len(t.all); n > 0 {
			d = t.all[n-1]
			t.all = t.all[:n-1]
		}
		t.mu.Unlock()
		if d == nil {
			return
		}
		d.leave()
	}
}
