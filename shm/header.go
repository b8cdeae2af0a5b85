package shm

import (
	"bytes"
	"hash/crc32"
	"strings"
)

// newSegmentHeader is layout 1.0 for a segment of size bytes.
func newSegmentHeader(name string, size, incarnation uint64) segmentHeader {
	h := segmentHeader{
		magic: segmentMagic, major: ABIMajor, minor: ABIMinor, room: headerRoom,
		totalSize: size, incarnation: incarnation, sections: sectionCount,
	}
	copy(h.name[:MaxSegmentName], name)
	at := uint64(headerRoom)
	place := func(number int, stride, count uint32) {
		length := uint64(stride) * uint64(count)
		h.section[number] = section{offset: at, length: length, stride: stride, count: count}
		at += length
	}
	place(sectionWords, 8, MaxAreas)
	place(sectionRecords, 64, areaRecords)
	place(sectionLatches, 64, MaxSlots)
	place(sectionTrancheWords, 8, MaxTranches)
	place(sectionTrancheNames, 64, trancheRecords)
	h.section[sectionData] = section{offset: at, length: size - at, stride: 1}
	h.checksum = checksum(h.bytes())
	return h
}

// newSlotsHeader is layout 1.0 of the slot table.
func newSlotsHeader() slotsHeader {
	h := slotsHeader{
		magic: slotsMagic, major: ABIMajor, minor: ABIMinor, room: headerRoom,
		entry: slotEntrySize, count: MaxSlots,
	}
	h.checksum = checksum(h.bytes())
	return h
}

// slotsSize is the size in bytes of the table's file; all but the entries that
// were written is a hole.
const slotsSize = headerRoom + MaxSlots*slotEntrySize

func checksum(header *[headerSize]byte) uint32 {
	return crc32.Checksum(header[:headerSize-4], crc32.MakeTable(crc32.Castagnoli))
}

// check refuses a header that a reader of layout 1 cannot rely on in a file of
// size bytes. After it every section lies inside the file, is aligned and holds
// what its count says.
func (h *segmentHeader) check(size uint64) error {
	if err := checkStart(h.magic, segmentMagic, h.major, h.minor, h.features); err != nil {
		return err
	}
	switch {
	case h.checksum != checksum(h.bytes()):
		return damaged("the header's checksum is wrong")
	case h.totalSize != size:
		return damaged("the header says %d bytes, the file has %d", h.totalSize, size)
	case size < headerRoom || size > MaxSize:
		return damaged("the file has %d bytes", size)
	case h.room < stateOffset+4 || uint64(h.room) > size:
		return damaged("the header says that it takes %d bytes", h.room)
	case h.sections != sectionCount:
		return damaged("the header has %d sections, %d are expected", h.sections, sectionCount)
	case h.incarnation == 0:
		return damaged("the incarnation is 0")
	}
	for i := range h.section {
		if err := h.checkSection(i); err != nil {
			return err
		}
	}
	return h.checkKnown()
}

// checkStart is what both headers begin with.
func checkStart(magic, want uint64, major, minor uint16, features uint64) error {
	switch {
	case magic != want:
		return damaged("the magic number is %#x, not %#x", magic, uint64(want))
	case major != ABIMajor:
		return damaged("the layout is version %d.%d, this library reads %d.x", major, minor, ABIMajor)
	case features&mustKnow != 0:
		return damaged("it needs features %#x, which this library does not have", features&mustKnow)
	}
	return nil
}

func (h *segmentHeader) checkSection(number int) error {
	s := h.section[number]
	if s.length == 0 {
		if s.count != 0 || s.offset != 0 {
			return damaged("section %d is absent and has an offset or a count", number)
		}
		return nil
	}
	switch {
	case s.offset < uint64(h.room) || s.offset > h.totalSize || s.length > h.totalSize-s.offset:
		return damaged("section %d (offset %d, length %d) is outside of %d bytes", number, s.offset, s.length, h.totalSize)
	case s.offset%areaAlign != 0:
		return damaged("section %d begins at %d, which is no multiple of %d", number, s.offset, areaAlign)
	case uint64(s.stride)*uint64(s.count) > s.length:
		return damaged("section %d has %d entries of %d bytes in %d bytes", number, s.count, s.stride, s.length)
	}
	for other := range number {
		o := h.section[other]
		if o.length != 0 && s.offset < o.offset+o.length && o.offset < s.offset+s.length {
			return damaged("sections %d and %d overlap", other, number)
		}
	}
	return nil
}

// checkKnown checks the shape of the sections that this library uses.
func (h *segmentHeader) checkKnown() error {
	for _, want := range [...]struct {
		number int
		stride uint32
		most   uint32
	}{
		{sectionWords, 8, 1 << 16}, {sectionRecords, 64, 1 << 17}, {sectionLatches, 64, MaxSlots},
	} {
		s := h.section[want.number]
		if s.length == 0 || s.stride != want.stride || s.count == 0 || s.count > want.most {
			return damaged("section %d has %d entries of %d bytes, expected are 1 to %d of %d",
				want.number, s.count, s.stride, want.most, want.stride)
		}
	}
	if h.section[sectionData].length == 0 {
		return damaged("there is no room for areas")
	}
	return h.checkTranches()
}

// checkTranches checks the shape of two sections that may be absent together.
func (h *segmentHeader) checkTranches() error {
	words, names := h.section[sectionTrancheWords], h.section[sectionTrancheNames]
	switch {
	case words.length == 0 && names.length == 0:
		return nil
	case words.length == 0 || words.stride != 8 || words.count == 0 || words.count > 1<<16:
		return damaged("section %d has %d entries of %d bytes", sectionTrancheWords, words.count, words.stride)
	case names.length == 0 || names.stride != 64 || names.count == 0 || names.count > 1<<17:
		return damaged("section %d has %d entries of %d bytes", sectionTrancheNames, names.count, names.stride)
	}
	return nil
}

func (h *slotsHeader) check(size uint64) error {
	if err := checkStart(h.magic, slotsMagic, h.major, h.minor, h.features); err != nil {
		return err
	}
	switch {
	case h.checksum != checksum(h.bytes()):
		return damaged("the header's checksum is wrong")
	case h.entry != slotEntrySize || h.room != headerRoom || h.count == 0 || h.count > MaxSlots:
		return damaged("it has %d entries of %d bytes after %d, expected are up to %d of %d after %d",
			h.count, h.entry, h.room, MaxSlots, slotEntrySize, headerRoom)
	case size < headerRoom || uint64(h.count)*slotEntrySize > size-headerRoom:
		return damaged("%d entries do not fit into %d bytes", h.count, size)
	}
	return nil
}

// cString is what stands before the first NUL, or all of b.
func cString(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}

// printable reports whether a name can stand in shared memory: no NUL.
func printable(s string) bool { return strings.IndexByte(s, 0) < 0 }
