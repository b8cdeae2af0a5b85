package shm

import (
	"errors"
	"fmt"
	"os"
)

// SlotTable is the slot table as the supervisor holds it. It has MaxSlots
// entries always, of which only those that were used take memory; it is written
// and never read back. One goroutine at a time may use it.
type SlotTable struct {
	file *os.File
	read *os.File
	mem  memory
	seq  uint64 // even; grows by 2 with each entry written, over all slots
	used uint32
}

// CreateSlots makes an empty table that tells its readers of limit slots (0 to
// MaxSlots, see SetMax).
func CreateSlots(limit int) (*SlotTable, error) {
	f, err := newMemfd("pgbgw-slots", 0o400)
	if err != nil {
		return nil, fmt.Errorf("cannot create slot table: %w", err)
	}
	h := newSlotsHeader()
	if err := errors.Join(f.Truncate(slotsSize), writeHeader(f, h.bytes()), seal(f)); err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot create slot table: %w", err)
	}
	t, err := openTable(f, limit)
	if err != nil {
		f.Close()
	}
	return t, err
}

// SlotTableFromFile takes over the table behind f, which an earlier image of
// this process made; used is what Used said there. Readers see no break. On
// success the table owns f.
func SlotTableFromFile(f *os.File, used uint32, limit int) (*SlotTable, error) {
	size, err := sealedSize(int(f.Fd()))
	if err == nil && size != slotsSize {
		err = damaged("it has %d bytes, not %d", size, slotsSize)
	}
	if err == nil && used > MaxSlots {
		err = fmt.Errorf("%d slots cannot be in use, %d is the most", used, MaxSlots)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot take over slot table: %w", err)
	}
	t, err := openTable(f, limit)
	if err != nil {
		return nil, err
	}
	t.used = used
	return t, nil
}

func openTable(f *os.File, limit int) (_ *SlotTable, err error) {
	t := &SlotTable{file: f}
	// A reader compares versions to see whether an entry changed under it, so
	// that an earlier image's numbers must not come again.
	if t.seq, err = monotonic(); err != nil {
		return nil, fmt.Errorf("cannot open slot table: %w", err)
	}
	t.seq &^= 1
	if t.read, err = reopenReadOnly(f); err != nil {
		return nil, fmt.Errorf("cannot reopen slot table for reading: %w", err)
	}
	if t.mem, err = mapMemory(int(f.Fd()), slotsSize, true); err != nil {
		t.read.Close()
		return nil, fmt.Errorf("cannot map slot table: %w", err)
	}
	if err := t.SetMax(limit); err != nil {
		t.mem.unmap()
		t.read.Close()
		return nil, err
	}
	return t, nil
}

// SetMax tells the readers of another max_worker_processes, 0 to MaxSlots.
func (t *SlotTable) SetMax(limit int) error {
	if limit < 0 || limit > MaxSlots {
		return fmt.Errorf("the slot table cannot have %d slots, 0 to %d are allowed", limit, MaxSlots)
	}
	t.mem.word32(stateOffset + 4).Store(uint32(limit))
	return nil
}

// Set writes the entry of a slot below MaxSlots; a higher one is a bug and
// panics. It makes no system call and allocates nothing. Readers see the entry
// before it or this one, never a mixture, and never have to wait for a
// supervisor that died.
func (t *SlotTable) Set(slot uint32, e Entry) {
	if slot >= MaxSlots {
		panic(fmt.Sprintf("pg-bgwd: internal error: slot %d of %d", slot, MaxSlots))
	}
	w := e.encode()
	words := w.words()
	at := uint64(headerRoom) + uint64(slot)*slotEntrySize
	version := t.mem.word64(at)
	version.Store(t.seq + 1)
	// Atomic stores, each and all: plain ones could pass the version on arm64.
	for i := 1; i < entryWords; i++ {
		t.mem.word64(at + uint64(i)*8).Store(words[i])
	}
	t.seq += 2
	version.Store(t.seq)
	if slot >= t.used {
		t.used = slot + 1
		t.mem.word32(stateOffset).Store(t.used)
	}
}

// entryWords is how many words of an entry layout 1.0 uses.
const entryWords = (288 + MaxSegmentName + 1) / 8

// Used is one more than the highest slot that was ever written.
func (t *SlotTable) Used() uint32 { return t.used }

// File is the descriptor that can write, for SlotTableFromFile in a later
// image; the table owns it.
func (t *SlotTable) File() *os.File { return t.file }

// ReadOnlyFile is what workers get as "slots": it cannot be mapped for writing.
// It is no boundary against malice of the same user. The table owns it.
func (t *SlotTable) ReadOnlyFile() *os.File { return t.read }

// Close unmaps the table and closes its descriptors; nothing may be called
// after it.
func (t *SlotTable) Close() error {
	return errors.Join(t.mem.unmap(), t.read.Close(), t.file.Close())
}
