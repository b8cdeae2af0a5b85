package shm

import (
	"encoding/binary"
	"time"
)

// inspectChunk is how much is read at a time. Objects but for rings and tables
// are shorter.
const inspectChunk = 256 << 10

// inspectRest comes after each chunk: a supervisor with one processor has other
// things to do, which it finds only when nothing can run.
const inspectRest = 50 * time.Microsecond

// scan looks at the memory from offset on for what lies there. Something is
// found by its magic number, at a multiple of 8 of the file, and only if it fits
// into the memory. What a queue's ring holds is not looked at.
func (i *inspector) scan(c *Contents, offset, size uint64) error {
	if i.buf == nil {
		i.buf = make([]byte, inspectChunk)
	}
	for at := uint64(0); at < size; {
		if i.bytes == 0 || i.cut {
			i.cut = true
			return nil
		}
		chunk := i.buf[:min(size-at, inspectChunk, i.bytes)]
		n, err := readAt(i.fd, chunk, offset+at)
		if err != nil {
			return err
		}
		if n == 0 {
			i.cut = true // the file is shorter than was said
			return nil
		}
		i.bytes -= uint64(n)
		next, err := i.chunk(c, chunk[:n], offset, at, size)
		if err != nil {
			return err
		}
		at = next
		time.Sleep(inspectRest)
	}
	return nil
}

// chunk looks at b, which lies at of the memory's size bytes from offset on, and
// returns how far all of it was looked at.
func (i *inspector) chunk(c *Contents, b []byte, offset, at, size uint64) (next uint64, err error) {
	for p := 0; p+8 <= len(b); {
		length := uint64(8)
		if binary.LittleEndian.Uint32(b[p:]) == magicStart && isMagic(binary.LittleEndian.Uint64(b[p:])) {
			if i.objects == 0 {
				i.cut = true
				break
			}
			if length, err = i.object(c, offset, at+uint64(p), size); err != nil {
				return 0, err
			}
		}
		if length > uint64(len(b)-p) {
			return at + uint64(p) + length, nil
		}
		p += int(length)
	}
	return at + uint64(len(b)), nil
}

// magicStart is "PGBG", with which all magic numbers begin.
const magicStart = queueMagic & 0xffffffff

// isMagic reports whether something may begin here, or 8 bytes before.
func isMagic(word uint64) bool {
	switch word {
	case queueMagic, lockMagic, conditionMagic, barrierMagic, tocMagic:
		return true
	}
	return false
}

// object reads what begins with a magic number at of the memory's size bytes
// from offset on. It returns how many bytes of it are of no further interest.
func (i *inspector) object(c *Contents, offset, at, size uint64) (length uint64, err error) {
	i.objects--
	first := at
	if first >= 8 {
		first -= 8 // a table of contents has its magic number second
	}
	b := make([]byte, min(size-first, 8+uint64(BarrierSize(maxPlaces))))
	n, err := readAt(i.fd, b, offset+first)
	if err != nil {
		return 0, err
	}
	before, b := b[:min(n, int(at-first))], b[min(n, int(at-first)):n]
	if len(b) < 32 {
		return 8, nil
	}
	room := size - at
	switch binary.LittleEndian.Uint64(b) {
	case queueMagic:
		length = c.queue(b, at, room)
	case lockMagic:
		if length = i.lock(c, b, at); length > 0 {
			l := c.Locks[len(c.Locks)-1]
			i.spend(len(l.Waiting) + len(l.Shares))
		}
	case conditionMagic:
		if length = c.condition(b, at); length > 0 {
			i.spend(len(c.Conditions[len(c.Conditions)-1].Waiting))
		}
	case barrierMagic:
		if length = c.barrier(b, at, room); length > 0 {
			i.spend(len(c.Barriers[len(c.Barriers)-1].Waiting))
		}
	case tocMagic:
		if len(before) == 8 {
			length = c.toc(before, b, at-8, size)
		}
	}
	return max(8, length), nil
}

// spend counts parties as objects, so that forged ones take no memory without
// a limit.
func (i *inspector) spend(n int) { i.objects = max(0, i.objects-n) }

func (c *Contents) queue(b []byte, at, room uint64) uint64 {
	if len(b) < narrowHeader {
		return 0
	}
	state, ring := binary.LittleEndian.Uint32(b[32:]), binary.LittleEndian.Uint64(b[8:])
	q := QueueReport{
		Offset: at, Ring: ring, Sender: partyOf(b[16:]), Receiver: partyOf(b[24:]),
		Detached: state&queueDetached != 0, SenderWaits: state&queueSenderWaits != 0, ReceiverWaits: state&queueReceiverWaits != 0,
	}
	q.Written, q.Read = binary.LittleEndian.Uint64(b[40:]), binary.LittleEndian.Uint64(b[48:])
	header := uint64(narrowHeader)
	// The length of the memory says which header it is, but is not known here.
	// Between the two rings that can be of both, a wide one has zeros there.
	if ring > wideQueue-8-narrowHeader || ring >= wideQueue-wideHeader && q.Written == 0 && q.Read == 0 && ring+wideHeader <= room {
		if header = wideHeader; len(b) < wideHeader {
			return 0
		}
		q.Written, q.Read = binary.LittleEndian.Uint64(b[128:]), binary.LittleEndian.Uint64(b[256:])
	}
	if room < header || ring < 8 || ring%8 != 0 || ring > room-header {
		return 0
	}
	c.Queues = append(c.Queues, q)
	return header + ring
}

// The bytes of a queue before its ring.
const (
	narrowHeader = 56
	wideHeader   = 384
)

// partyOf is the party of the word at the start of b, or nil.
func partyOf(b []byte) *Party {
	w := binary.LittleEndian.Uint64(b)
	if w == 0 {
		return nil
	}
	return &Party{Slot: partySlot(w), Generation: uint32(w >> 16 & serialMask), Start: uint32(w >> 40)}
}

// parties are those in n words of b, stride bytes apart.
func parties(b []byte, n, stride int) []Party {
	var list []Party
	for i := range n {
		if p := partyOf(b[i*stride:]); p != nil {
			list = append(list, *p)
		}
	}
	return list
}

func (i *inspector) lock(c *Contents, b []byte, at uint64) uint64 {
	n := int(min(binary.LittleEndian.Uint32(b[8:]), maxPlaces+1))
	if n == 0 || n > maxPlaces || LockSize(n) > len(b) {
		return 0
	}
	l := LockReport{Offset: at, Places: n, Holder: partyOf(b[16:])}
	if t := int64(binary.LittleEndian.Uint32(b[24:])); t > 0 && t <= int64(len(i.tranches)) {
		l.Tranche = i.tranches[t-1]
	}
	l.Waiting = parties(b[lockHeaderSize:], n, 8)
	l.Shares = parties(b[lockHeaderSize+8*n:], n, 8)
	c.Locks = append(c.Locks, l)
	return uint64(LockSize(n))
}

// conditionWaiters are who waits at the condition variable that b begins with;
// n is 0 if it is none.
func conditionWaiters(b []byte) (waiting []Party, n int) {
	if len(b) < MinConditionSize || binary.LittleEndian.Uint64(b) != conditionMagic {
		return nil, 0
	}
	n = int(min(binary.LittleEndian.Uint32(b[8:]), maxPlaces+1))
	if n == 0 || n > maxPlaces || ConditionSize(n) > len(b) {
		return nil, 0
	}
	for i := range n {
		place := b[conditionHeaderSize+i*conditionPlaceSize:]
		if p := partyOf(place); p != nil && binary.LittleEndian.Uint64(place[8:]) != 0 {
			waiting = append(waiting, *p)
		}
	}
	return waiting, n
}

func (c *Contents) condition(b []byte, at uint64) uint64 {
	waiting, n := conditionWaiters(b)
	if n == 0 {
		return 0
	}
	c.Conditions = append(c.Conditions, ConditionReport{Offset: at, Places: n, Waiting: waiting})
	return uint64(ConditionSize(n))
}

func (c *Contents) barrier(b []byte, at, room uint64) uint64 {
	size := uint64(binary.LittleEndian.Uint32(b[8:]))
	if size < MinBarrierSize || size > room {
		return 0
	}
	waiting, n := conditionWaiters(b[barrierHeaderSize:])
	if n == 0 || uint64(BarrierSize(n)) > size {
		return 0
	}
	s := parseBarrier(binary.LittleEndian.Uint64(b[16:]))
	c.Barriers = append(c.Barriers, BarrierReport{
		Offset: at, Phase: s.phase, Participants: int(s.participants), Arrived: int(s.arrived), Static: s.static, Waiting: waiting,
	})
	return uint64(BarrierSize(n))
}

// toc reads a table at at; what is in its chunks is looked at, too.
func (c *Contents) toc(before, b []byte, at, size uint64) uint64 {
	total, word := binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint64(b[16:])
	u := usage{word & maxEntries, word >> 24 * tocAlign}
	if total < tocAlign || total%tocAlign != 0 || total > size-at || u.bytes() > total {
		return 0
	}
	c.TOCs = append(c.TOCs, TOCReport{
		Offset: at, Key: binary.LittleEndian.Uint64(before), Size: total, Free: total - u.bytes(), Entries: int(u.entries),
	})
	return tocAlign - 8
}
