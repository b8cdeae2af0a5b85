package shm

import (
	"sync/atomic"
	"unsafe"
)

// A layout that changes does not compile: an unsigned constant can be negated
// only if it is 0, that is, if both sides of the ^ are equal.
const (
	_ = -(unsafe.Sizeof(section{}) ^ 24)
	_ = -(unsafe.Sizeof(segmentHeader{}) ^ headerSize)
	_ = -(unsafe.Offsetof(segmentHeader{}.totalSize) ^ 24)
	_ = -(unsafe.Offsetof(segmentHeader{}.name) ^ 40)
	_ = -(unsafe.Offsetof(segmentHeader{}.section) ^ 112)
	_ = -(unsafe.Offsetof(segmentHeader{}.checksum) ^ (headerSize - 4))
	_ = -(unsafe.Sizeof(areaRecord{}) ^ 64)
	_ = -(unsafe.Sizeof(latchCell{}) ^ 64)
	_ = -(unsafe.Sizeof(slotsHeader{}) ^ headerSize)
	_ = -(unsafe.Offsetof(slotsHeader{}.checksum) ^ (headerSize - 4))
	_ = -(unsafe.Sizeof(slotEntry{}) ^ slotEntrySize)
	_ = -(unsafe.Offsetof(slotEntry{}.pid) ^ 24)
	_ = -(unsafe.Offsetof(slotEntry{}.registered) ^ 48)
	_ = -(unsafe.Offsetof(slotEntry{}.name) ^ 96)
	_ = -(unsafe.Offsetof(slotEntry{}.segment) ^ 288)
	_ = -(unsafe.Sizeof(queueHeader{}) ^ 56)
	_ = -(unsafe.Offsetof(queueHeader{}.written) ^ 40)
	_ = -(unsafe.Sizeof(wideQueueHeader{}) ^ 384)
	_ = -(unsafe.Offsetof(wideQueueHeader{}.written) ^ 128)
	_ = -(unsafe.Offsetof(wideQueueHeader{}.read) ^ 256)
	_ = -(unsafe.Sizeof(tocHeader{}) ^ 32)
	_ = -(unsafe.Sizeof(lockHeader{}) ^ lockHeaderSize)
	_ = -(unsafe.Offsetof(lockHeader{}.holder) ^ 16)
	_ = -(unsafe.Offsetof(lockHeader{}.tranche) ^ 24)
	_ = -(unsafe.Sizeof(tocEntry{}) ^ 32)
	_ = -(unsafe.Sizeof(trancheName{}) ^ 64)
	_ = -(unsafe.Sizeof(conditionHeader{}) ^ conditionHeaderSize)
	_ = -(unsafe.Offsetof(conditionHeader{}.next) ^ 16)
	_ = -(unsafe.Sizeof(conditionPlace{}) ^ conditionPlaceSize)
	_ = -(unsafe.Sizeof(barrierHeader{}) ^ barrierHeaderSize)
	_ = -(unsafe.Offsetof(barrierHeader{}.state) ^ 16)
)

// memory is shared memory that is mapped and sealed against shrinking. Others
// write it at any time: what is read from it is read once and checked. The
// accessors panic outside of it; offsets are checked by their callers before.
type memory []byte

func (m memory) word32(offset uint64) *atomic.Uint32 {
	return (*atomic.Uint32)(unsafe.Pointer(&m[offset : offset+4 : offset+4][0]))
}

func (m memory) word64(offset uint64) *atomic.Uint64 {
	return (*atomic.Uint64)(unsafe.Pointer(&m[offset : offset+8 : offset+8][0]))
}

// aligned reports whether b begins at a multiple of to.
func aligned(b []byte, to uintptr) bool {
	return uintptr(unsafe.Pointer(unsafe.SliceData(b)))%to == 0
}

// start is where m is mapped.
func (m memory) start() unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(m)) }

// contains reports whether n begins inside of m.
func (m memory) contains(n memory) bool {
	first, at := uintptr(unsafe.Pointer(unsafe.SliceData(m))), uintptr(unsafe.Pointer(unsafe.SliceData(n)))
	return at >= first && at-first < uintptr(len(m))
}

// bytes returns a structure of this file as its bytes.
func (h *segmentHeader) bytes() *[headerSize]byte { return (*[headerSize]byte)(unsafe.Pointer(h)) }

func (h *slotsHeader) bytes() *[headerSize]byte { return (*[headerSize]byte)(unsafe.Pointer(h)) }

func (r *areaRecord) words() *[8]uint64 { return (*[8]uint64)(unsafe.Pointer(r)) }

func (e *slotEntry) words() *[slotEntrySize / 8]uint64 {
	return (*[slotEntrySize / 8]uint64)(unsafe.Pointer(e))
}

func (r *trancheName) words() *[8]uint64 { return (*[8]uint64)(unsafe.Pointer(r)) }
