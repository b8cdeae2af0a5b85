package shm

import (
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"syscall"
)

// ErrNoTOC is wrapped when memory has no table of contents with the magic
// number that was asked for (BGW-140).
var ErrNoTOC = errors.New("no table of contents with this magic number")

const (
	tocAlign   = 32 // bytes: of chunks, and the size of header and entry
	maxEntries = 1<<24 - 1
)

// TOC is a table of contents: it divides memory that processes share into
// chunks, which they find by a number (PostgreSQL's shm_toc). Chunks are taken
// from the end of the memory, entries grow from its start, and nothing is ever
// given back. It takes no lock: a process that dies in the middle of a call
// costs at most the chunk or the entry it had taken. The methods may be called
// concurrently.
type TOC struct {
	mem   memory
	taken *atomic.Uint64
}

// Chunk is a part of the memory of a TOC.
type Chunk struct {
	Data   []byte // aligned to 32 bytes if the table's memory is
	offset uint64
}

// TOCSize is how many bytes of memory a table with such chunks takes
// (shm_toc_estimate): as many entries as chunks.
func TOCSize(chunks ...int) int {
	size := tocAlign
	for _, n := range chunks {
		size += tocAlign + (n+tocAlign-1)&^(tocAlign-1)
	}
	return size
}

// CreateTOC makes an empty table of data (shm_toc_create), which begins at a
// multiple of 8 and is cleared; its length is rounded down to a multiple of 32.
// magic is for OpenTOC to recognise it. One process makes it, before others
// look for it.
func CreateTOC(magic uint64, data []byte) (*TOC, error) {
	t, err := newTOC(data)
	if err != nil {
		return nil, fmt.Errorf("cannot create table of contents: %w", err)
	}
	clear(t.mem) // an entry that was taken and is not written yet has offset 0
	t.mem.word64(0).Store(magic)
	t.mem.word64(16).Store(uint64(len(t.mem)))
	t.mem.word64(8).Store(tocMagic)
	return t, nil
}

// OpenTOC returns the table that another process made of the same memory
// (shm_toc_attach). ErrNoTOC (wrapped) if there is none with this magic number,
// ErrDamaged if it is one of another size.
func OpenTOC(magic uint64, data []byte) (*TOC, error) {
	t, err := newTOC(data)
	if err != nil {
		return nil, fmt.Errorf("cannot open table of contents: %w", err)
	}
	made, have, total := t.mem.word64(8).Load(), t.mem.word64(0).Load(), t.mem.word64(16).Load()
	switch {
	case made != tocMagic || have != magic:
		return nil, fmt.Errorf("cannot open table of contents: %w: %#x", ErrNoTOC, magic)
	case total != uint64(len(t.mem)):
		return nil, fmt.Errorf("cannot open table of contents: %w", damaged("it has %d bytes, not %d", total, len(t.mem)))
	}
	return t, nil
}

func newTOC(data []byte) (*TOC, error) {
	switch {
	case len(data) < tocAlign:
		return nil, fmt.Errorf("its memory has %d bytes, %d are the least", len(data), tocAlign)
	case !aligned(data, 8):
		return nil, errors.New("its memory does not begin at a multiple of 8")
	}
	m := memory(data[: len(data)&^(tocAlign-1) : len(data)&^(tocAlign-1)])
	return &TOC{mem: m, taken: m.word64(24)}, nil
}

// usage is what is taken of a table.
type usage struct{ entries, chunks uint64 }

func (u usage) word() uint64  { return u.entries | u.chunks/tocAlign<<24 }
func (u usage) bytes() uint64 { return tocAlign + u.entries*tocAlign + u.chunks }

// take changes the usage by change, unless the memory does not allow it, and
// returns what it was before.
func (t *TOC) take(change usage) (before usage, err error) {
	for {
		word := t.taken.Load()
		before = usage{word & maxEntries, word >> 24 * tocAlign}
		if before.bytes() > uint64(len(t.mem)) {
			return before, damaged("%d entries and %d bytes are taken of %d", before.entries, before.chunks, len(t.mem))
		}
		after := usage{before.entries + change.entries, before.chunks + change.chunks}
		if after.bytes() > uint64(len(t.mem)) || after.entries > maxEntries {
			return before, fmt.Errorf("%d bytes are free: %w", uint64(len(t.mem))-before.bytes(), syscall.ENOMEM)
		}
		if t.taken.CompareAndSwap(word, after.word()) {
			return before, nil
		}
	}
}

// Allocate takes a chunk of n bytes, at least 1, all 0 (shm_toc_allocate). An
// error that wraps ENOMEM if there is not so much left (BGW-141).
func (t *TOC) Allocate(n int) (Chunk, error) {
	if n <= 0 || uint64(n) > math.MaxInt64-tocAlign {
		return Chunk{}, fmt.Errorf("cannot allocate %d bytes", n)
	}
	size := (uint64(n) + tocAlign - 1) &^ (tocAlign - 1)
	before, err := t.take(usage{chunks: size})
	if err != nil {
		return Chunk{}, fmt.Errorf("cannot allocate %d bytes: %w", n, err)
	}
	offset := uint64(len(t.mem)) - before.chunks - size
	return Chunk{Data: t.mem[offset : offset+uint64(n) : offset+uint64(n)], offset: offset}, nil
}

// Insert lets others find a chunk of this table by its key (shm_toc_insert):
// what was written to it before is there for them. A key that is there twice
// names the first. An error that wraps ENOMEM if there is no room for another
// entry.
func (t *TOC) Insert(key uint64, c Chunk) error {
	if c.offset == 0 {
		return fmt.Errorf("cannot insert key %d: the chunk is not of a table", key)
	}
	before, err := t.take(usage{entries: 1})
	if err != nil {
		return fmt.Errorf("cannot insert key %d: %w", key, err)
	}
	at := tocAlign + before.entries*tocAlign
	t.mem.word64(at).Store(key)
	t.mem.word64(at + 16).Store(uint64(len(c.Data)))
	t.mem.word64(at + 8).Store(c.offset)
	return nil
}

// Lookup returns the chunk of a key (shm_toc_lookup); found is false if there is
// none. ErrDamaged (wrapped) if its entry points out of the chunks.
func (t *TOC) Lookup(key uint64) (data []byte, found bool, err error) {
	word := t.taken.Load()
	u := usage{word & maxEntries, word >> 24 * tocAlign}
	total := uint64(len(t.mem))
	if u.bytes() > total {
		return nil, false, fmt.Errorf("cannot look up key %d: %w", key, damaged("%d entries and %d bytes are taken of %d", u.entries, u.chunks, total))
	}
	for i := range u.entries {
		at := tocAlign + i*tocAlign
		offset := t.mem.word64(at + 8).Load()
		if offset == 0 || t.mem.word64(at).Load() != key {
			continue // or not written yet, or never
		}
		size := t.mem.word64(at + 16).Load()
		if offset < total-u.chunks || offset >= total || size > total-offset {
			return nil, false, fmt.Errorf("cannot look up key %d: %w", key, damaged("its chunk is %d bytes at %d of %d", size, offset, total))
		}
		return t.mem[offset : offset+size : offset+size], true, nil
	}
	return nil, false, nil
}

// Free is how many bytes are left for chunks and their entries, 32 each
// (shm_toc_freespace).
func (t *TOC) Free() int {
	word := t.taken.Load()
	u := usage{word & maxEntries, word >> 24 * tocAlign}
	return max(0, len(t.mem)-int(min(u.bytes(), uint64(len(t.mem)))))
}
