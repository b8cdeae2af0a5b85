package shm

import "structs"

// The version of the layout. Another major number cannot be read; a higher
// minor number has more in places that were reserved.
const (
	ABIMajor = 1
	ABIMinor = 0
)

// Sizes and counts of layout 1. Those of the sections are read from the header,
// so that they can change without a new major number.
const (
	MaxSlots    = 16384   // slots of the table, and latches of a segment
	MinSize     = 2 << 20 // bytes of the smallest segment
	MaxSize     = 1 << 40 // bytes of the largest
	DefaultSize = 64 << 20

	MaxAreas       = 1024 // named areas in one segment
	MaxAreaName    = 47   // bytes, as SHMEM_INDEX_KEYSIZE less the NUL
	MaxSegmentName = 63   // bytes
	MaxName        = 95   // bytes of a worker's name and type: BGW_MAXLEN less the NUL
	MaxExtra       = 128  // bytes: BGW_EXTRALEN
	areaAlign      = 128  // bytes, PostgreSQL's PG_CACHE_LINE_SIZE

	headerRoom  = 4096 // bytes kept for a header; it and what changes beside it
	headerSize  = 512  // bytes of the constant part, checksum included
	stateOffset = 2048 // where the words begin that change
	sizeUnit    = 64 << 10

	// Twice as many records as words: a process that dies, or that two threads
	// of a process give up between taking a record and publishing it, costs
	// one.
	areaRecords = 2 * MaxAreas

	MaxTranches    = 256 // names of locks in one segment, as PostgreSQL 19
	MaxTrancheName = 63  // bytes
	trancheRecords = 2 * MaxTranches
)

const (
	segmentMagic = 0x4745535747424750 // "PGBGWSEG"
	slotsMagic   = 0x544c535747424750 // "PGBGWSLT"

	// mustKnow are the feature bits that a reader has to know; the others it
	// may ignore. Layout 1.0 has none of either.
	mustKnow = 0xffffffff00000000
)

// The sections of a segment, by number. What is absent has length 0.
const (
	sectionWords        = iota // u64 each: 0, or 1 + the number of a published record; filled from the front
	sectionRecords             // areaRecord each
	sectionData                // the areas themselves, in the order of their words
	sectionLatches             // latchCell each, by slot
	sectionTrancheWords        // u64 each: 0, or 1 + the number of a published name; filled from the front
	sectionTrancheNames        // trancheName each
	sectionCount        = 16
)

type section struct {
	_      structs.HostLayout
	offset uint64
	length uint64 // at least stride * count
	stride uint32
	count  uint32
}

// segmentHeader is the constant part: written once, before the segment is
// sealed and seen by anybody, and a function of name, size and incarnation.
type segmentHeader struct {
	_           structs.HostLayout
	magic       uint64
	major       uint16
	minor       uint16
	room        uint32 // headerRoom
	features    uint64
	totalSize   uint64
	incarnation uint64
	name        [MaxSegmentName + 1]byte
	sections    uint32 // sectionCount
	_           uint32
	section     [sectionCount]section
	_           [3]uint32
	checksum    uint32 // CRC-32C of all before it
}

// segmentState lies at stateOffset; workers write it.
type segmentState struct {
	_           structs.HostLayout
	nextRecord  uint32 // area records taken; grows only, may pass their number
	nextTranche uint32 // tranche names taken, in the same way
}

// areaRecord is written by one worker before its word is published, and never
// after.
type areaRecord struct {
	_      structs.HostLayout
	name   [MaxAreaName + 1]byte // ends with NUL
	size   uint64                // bytes asked for
	offset uint64                // from the start of the segment
}

// trancheName is written by one worker before its word is published, and never
// after.
type trancheName struct {
	_    structs.HostLayout
	name [MaxTrancheName + 1]byte // ends with NUL
}

// latchCell is one latch: a line of its own, the rest for what may wait there.
type latchCell struct {
	_    structs.HostLayout
	word uint32
	_    [15]uint32
}

// The bits of a latch's word.
const (
	latchSet     = 1 << 0
	latchWaiting = 1 << 1 // the owner sleeps, or is about to
	latchOwned   = 1 << 2 // the owner looks at this word; otherwise only its eventfd counts
	latchTapped  = 1 << 3 // and a tap makes it look
)

// slotsHeader is the constant part of the slot table.
type slotsHeader struct {
	_        structs.HostLayout
	magic    uint64
	major    uint16
	minor    uint16
	room     uint32
	features uint64
	entry    uint32 // bytes of an entry: slotEntrySize
	count    uint32 // MaxSlots
	_        [119]uint32
	checksum uint32
}

// slotsState lies at stateOffset; the supervisor writes it.
type slotsState struct {
	_    structs.HostLayout
	used uint32 // entries from here on were never written
	max  uint32 // max_worker_processes now
}

const slotEntrySize = 512

// slotEntry is one slot; the supervisor writes it, in words of 64 bits, between
// two stores to version: odd while it is being written, and never the same
// value twice. An entry of zeros was never used.
type slotEntry struct {
	_          structs.HostLayout
	version    uint64
	generation uint64
	start      uint64
	pid        int32
	state      uint32
	status     uint32
	flags      uint32
	exitCode   int32
	exitSignal int32
	registered int64 // microseconds since 1970, as the next two; 0: never
	changed    int64
	nextStart  int64
	restarts   uint64
	_          [2]uint64
	name       [MaxName + 1]byte // ends with NUL, as the next two
	kind       [MaxName + 1]byte // bgw_type
	segment    [MaxSegmentName + 1]byte
	_          [20]uint64
}

// queueHeader begins a queue: see doc.go.
type queueHeader struct {
	_        structs.HostLayout
	magic    uint64
	ring     uint64 // bytes
	sender   uint64 // party, set once, as the next
	receiver uint64
	state    uint32
	features uint32 // 0: another one cannot be used
	written  uint64 // the sender writes it
	read     uint64 // the receiver writes it
}

// wideQueueHeader is that of queues of wideQueue bytes and more.
type wideQueueHeader struct {
	_        structs.HostLayout
	magic    uint64
	ring     uint64
	sender   uint64
	receiver uint64
	state    uint32
	features uint32
	_        [11]uint64
	written  uint64
	_        [15]uint64
	read     uint64
	_        [15]uint64
}

const (
	queueMagic     = 0x31514d5747424750 // "PGBGWMQ1"
	tocMagic       = 0x31434f5447424750 // "PGBGTOC1"
	lockMagic      = 0x31574c5747424750 // "PGBGWLW1"
	conditionMagic = 0x3156435747424750 // "PGBGWCV1"
	barrierMagic   = 0x3141425747424750 // "PGBGWBA1"

	wideQueue = 4096 // bytes
)

// The bits of a queue's state.
const (
	queueDetached      = 1 << 0 // for ever
	queueSenderWaits   = 1 << 1
	queueReceiverWaits = 1 << 2
)

// tocHeader begins a table of contents.
type tocHeader struct {
	_     structs.HostLayout
	key   uint64 // the user's magic number
	magic uint64
	total uint64 // bytes, a multiple of 32
	taken uint64 // entries in bits 0 to 23, above them chunks in units of 32 bytes
}

// tocEntry is written by one process, offset last.
type tocEntry struct {
	_      structs.HostLayout
	key    uint64
	offset uint64 // 0: not written yet
	size   uint64 // bytes asked for
	_      uint64
}

// lockHeader begins a lock; two arrays of places follow, party words both: of
// those who wait, and of those who hold it in shared mode.
type lockHeader struct {
	_        structs.HostLayout
	magic    uint64
	places   uint32 // of each array
	features uint32 // 0: another one cannot be used
	holder   uint64 // party word of who holds it alone, or is about to
	tranche  uint32 // 1 + the number of a tranche word; 0: none
	_        uint32
}

// conditionHeader begins a condition variable; its places follow.
type conditionHeader struct {
	_        structs.HostLayout
	magic    uint64
	places   uint32
	features uint32 // 0: another one cannot be used
	next     uint64 // the next ticket
	_        uint64
}

// conditionPlace is who waits. The ticket says that it does, and is what a waker
// takes away; only its owner, or who takes over from a dead one, writes party.
type conditionPlace struct {
	_      structs.HostLayout
	party  uint64
	ticket uint64
}

// barrierHeader begins a barrier; a condition variable follows.
type barrierHeader struct {
	_        structs.HostLayout
	magic    uint64
	size     uint32 // bytes of all of it
	features uint32 // 0: another one cannot be used
	state    uint64
	_        uint64
}

// The parts of a barrier's state; the phase is in bits 0 to 31.
const (
	barrierParticipants = 32 // lowest bit of 15
	barrierArrived      = 47 // lowest bit of 15
	barrierElected      = 1 << 62
	barrierStatic       = 1 << 63
	barrierMask         = 1<<15 - 1
)
