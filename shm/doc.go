// Package shm is the memory that background workers share: a segment with named
// areas and latches, and the table of all slots. It has two sides.
//
// The supervisor creates: Create makes a segment, CreateSlots the table,
// NewLatchEvent a latch's eventfd. It passes descriptors on and writes the
// table. It maps nothing that a worker can write, relies on nothing that it
// reads there, and takes no lock.
//
// A worker opens: Open reads what the supervisor passed (PGBGW_FDS), Attach
// maps the segment, and then there are Area, Latch and Slots, and over the
// control socket (package control) Register, WaitStartup, WaitShutdown,
// Terminate and Ready.
//
// Somebody who looks, the supervisor say, calls Inspect, which maps nothing
// either.
//
// The package starts no process and makes no decision about one. It never
// trusts what is in shared memory: damaged or foreign memory is an error
// (ErrDamaged), not a fault.
//
// # A worker
//
//	w, err := shm.Open()
//	if err != nil {
//		return err
//	}
//	defer w.Close() // ending without it is a crash, once attached
//	if err := w.Attach(ctx); err != nil {
//		return err
//	}
//	counter, found, err := w.Area("myext counter", 8)
//	...
//	for {
//		w.Latch().Reset()
//		// look for work
//		event, err := w.Latch().Wait(ctx, 10*time.Second)
//		if err != nil || event == shm.SupervisorDied {
//			return err
//		}
//	}
//
// # The layout
//
// This is the contract with libraries in other languages: pgbgw_abi.h in
// testdata is its mirror in C, and a test compiles it and compares. It has
// offsets, never pointers; is little-endian; and each field has one writer,
// save for the words that are changed by atomic operations only. Both files are
// memfds sealed against shrinking and growing (F_SEAL_SHRINK, F_SEAL_GROW,
// F_SEAL_SEAL). A reader checks the seals and the size, copies the 512 bytes of
// the header once, checks the copy and uses nothing but the copy.
//
// Both headers begin with
//
//	offset  type  field
//	0       u64   magic: "PGBGWSEG" or "PGBGWSLT"
//	8       u16   major version, 1: another one cannot be read
//	10      u16   minor version, 0: a higher one has more in reserved places
//	12      u32   bytes kept for the header, 4,096
//	16      u64   features: bits 0 to 31 may be ignored, bits 32 to 63 have to be known
//
// and end with a CRC-32C of bytes 0 to 507 in the u32 at 508. Everything
// reserved is 0.
//
// The segment's header, written once by the supervisor:
//
//	24      u64   size of the file in bytes
//	32      u64   incarnation: random, not 0; new with every renewal after a crash
//	40      [64]  name, ends with NUL
//	104     u32   number of entries in the section table, 16
//	112     16 x  { u64 offset, u64 length, u32 stride, u32 count }
//
// Sections are multiples of 128 from the start of the file, and do not overlap.
// An absent one is all 0. The space of those to come is taken from that of the
// areas when a segment is made, so that a reader has to use the table:
//
//	0  area words    u64 each (1,024)
//	1  area records  64 bytes each (2,048): [48] name, ends with NUL; u64 size; u64 offset
//	2  areas
//	3  latches       64 bytes each, by slot (16,384): u32 word, rest reserved
//	4  tranche words u64 each (256)
//	5  tranche names 64 bytes each (512): [64] name, ends with NUL
//	6 to 15          reserved
//
// Queues, locks, condition variables, barriers and tables of contents have no
// section: they lie in areas or in dynamic segments, where their users put them,
// and have a version each of their own in their magic number.
//
// At 2,048 is a u32 that workers write: how many area records were taken. It
// may be more than there are. The u32 at 2,052 is that of the tranche names.
//
// # Areas
//
// A word is 0, or 1 + the number of a record, for ever; words are filled from
// the front. The area of word 0 begins where section 2 does, every other one at
// the end of the one before it, rounded up to 128. To find or make an area,
// walk the words, adding up. At the first that is 0: take a record (compare and
// swap the u32 at 2,048), write name, size and the offset that was added up,
// and compare and swap the word from 0. If that fails look at what is there
// now, and go on with the same record. A record whose offset is not the sum, or
// whose area passes the end of the section, is damage. Memory of a new area is
// 0.
//
// # Latches
//
// The word's bits: 1 set, 2 the owner sleeps or is about to, 4 the owner looks
// at this word, 8 a tap wakes it. Setting is a fetch-or of 1: if the old value
// had no 4, or had 2 and not 1, call the owner. To call is to write 0 to the
// slot's eventfd (a tap) if the old value had 4 and 8, and else 1 (a ring, which
// always does). The owner puts 4, and 8 or not, there as it attaches and takes
// all four away as it detaches. It waits by a fetch-or of 2; if 1 was not there,
// by a poll of its eventfd, whose readability counts as 1 (the supervisor rings
// it without the word, as does who is not attached); and a fetch-and of not 2.
// All of it sequentially consistent.
//
// A tap leaves the eventfd as it was. It is news to an edge-triggered epoll for
// EPOLLIN and EPOLLOUT together, which then reports EPOLLOUT, and to nothing
// else: an owner with such a one may put 8. What it has to see is in memory, so
// that it reads nothing before it sleeps, and nothing after.
//
// # The slot table
//
// Its header has the u32 at 24: bytes of an entry, 512; and the u32 at 28:
// number of entries, 16,384. At 2,048 the supervisor writes a u32, one more
// than the highest slot that was ever used (entries from there on are holes:
// reading them would allocate them), and at 2,052 a u32, max_worker_processes.
// Entries begin at 4,096:
//
//	0    u64   version: odd while the entry is being written, never the same twice
//	8    u64   generation
//	16   u64   start number
//	24   i32   pid: -1 not yet started, 0 dead
//	28   u32   state: 0 free, 1 waiting, 2 starting, 3 running, 4 stopping, 5 restarting, 6 held, 7 ended
//	32   u32   status: 0 started, 1 not yet started, 2 stopped
//	36   u32   flags: 1 attached, 2 dynamic, 4 ready
//	40   i32   exit code of the last process, -1 none
//	44   i32   its signal, 0 none
//	48   i64   registered, microseconds since 1970, as the next two; 0 never
//	56   i64   state changed
//	64   i64   next start
//	72   u64   restarts
//	80   [16]  reserved
//	96   [96]  name, ends with NUL
//	192  [96]  type, ends with NUL
//	288  [64]  segment, ends with NUL
//	352  [160] reserved
//
// A reader loads the version, then the rest in atomic words of 64 bits, then
// the version again, and starts over if it was odd or has changed; after many
// tries the supervisor is dead. Writing is in the same order, with stores that
// are not reordered.
//
// # Who waits, and how it is woken
//
// A party word names a process: bits 0 to 15 its slot plus 1, 16 to 39 the low
// bits of its generation, 40 to 63 those of its start number (0: not known). It
// has ended once the slot table has a later generation or start number there
// (compared as serial numbers of 24 bits), or the same and a state that is none
// of starting, running and stopping.
//
// There are no futexes. Who waits for another process raises a flag beside what
// it waits for, looks again, and sleeps until the eventfd of its slot is
// readable, or tapped. Who brings it about stores it, and then takes the flag
// down if it is up; who took it down does a fetch-or of 1 to the word of the
// latch of the slot in the other's party word, and calls it as above (or only
// rings). The eventfd comes from the supervisor once (PeerLatch) and is kept. A
// ring counts as a set of the latch. All of it sequentially consistent. Since a
// dead process rings nobody, a waiter looks at the slot table every second.
//
// In this package one goroutine of those that wait does so in the runtime's
// poller, and wakes the others: a waiter costs no thread. A wake-up costs who
// sleeps no system call but those of the poller.
//
// # Queues
//
// A queue lies in memory that begins at a multiple of 8; its length is rounded
// down to one, and decides where things are: less than 4,096 bytes, or from
// there on:
//
//	0    0    u64  magic: "PGBGWMQ1", written last as the queue is made
//	8    8    u64  bytes of the ring
//	16   16   u64  sender: its party word, by a compare and swap from 0, for ever
//	24   24   u64  receiver, in the same way
//	32   32   u32  state: 1 detached (for ever), 2 the sender waits, 4 the receiver waits
//	36   36   u32  features, all of which have to be known; 0
//	40   128  u64  bytes written; the sender stores it
//	48   256  u64  bytes read; the receiver stores it
//	56   384       the ring
//
// Both counts only grow, in multiples of 8; a byte's place is its count modulo
// the ring. A message is a u64, its length (at most 2^30 - 1), and its bytes,
// padded to a multiple of 8. Any multiple of 8 of it may be published. The
// sender stores the count written when more than a quarter of the ring is not
// published, when it is full and at a flush; the receiver the count read when
// it has taken more than a quarter, and before it sleeps. Each then wakes the
// other if its flag is up; in the middle of a message it may put that off, until
// the message ends or it waits itself. Who detaches publishes, sets 1, takes both
// flags down and rings both. A receiver that sees 1 looks at the count once more.
// A count that is not between the last one and what is possible is damage.
//
// # Locks
//
// At a multiple of 8; a user gives it as much memory as it likes, 48 bytes at
// least:
//
//	0    u64  magic: "PGBGWLW1", written last as the lock is made
//	8    u32  n, the number of places: (bytes - 32) / 16, at most 1,024
//	12   u32  features, all of which have to be known; 0
//	16   u64  holder: the party word of who holds the lock alone, or has claimed it; 0 nobody
//	24   u32  tranche, see below; 0: none
//	28   u32  reserved
//	32   n x u64  who waits, a party word each, one for a process; 0 free
//	then n x u64  who has a share, one for each share
//
// All changes are a compare and swap. To hold the lock alone, put the own word
// into holder in place of 0 or of one who has ended, then wait until all shares
// are 0 or of processes that have ended. To share it, put the own word into a
// place among the shares, then look at holder: the share stands if that is 0, or
// has ended and can be changed to 0; else take it back as at a release. To
// release, put 0 in holder, or 0 in the place of a share and ring holder; then
// put 0 in each place of who waits and ring it. Who waits takes a place before
// it looks at holder once more and sleeps; without a place it looks every
// millisecond. Who replaced one that had ended was told; who then gives up
// before it has the lock puts that word back.
//
// A tranche is a name for locks, and its number 1 + that of its tranche word. A
// tranche word is 0, or 1 + the number of a record, for ever; words are filled
// from the front. To find or register a name, walk the words; at the first that
// is 0, take a record (compare and swap the u32 at 2,052), write the name, and
// compare and swap the word from 0. If that fails look at what is there now, and
// go on with the same record.
//
// # Condition variables
//
// At a multiple of 8, 48 bytes at least:
//
//	0    u64  magic: "PGBGWCV1", written last as it is made
//	8    u32  n, the number of places: (bytes - 32) / 16, at most 1,024
//	12   u32  features, all of which have to be known; 0
//	16   u64  the next ticket, 1 at first: taken by fetch-and-add of 1
//	24   u64  reserved
//	32   n x  { u64 party word, u64 ticket }: who waits; both 0: free
//
// To prepare, take a place by a compare and swap of its party word from 0 to the
// own one; then take a ticket, and store it in the place: from there on it
// waits. It is woken when its ticket is no longer there, and then stores a new
// one, before it looks whether it still has to wait. To cancel, compare and swap
// the ticket to 0, and store 0 in the party word: nobody but its owner gives a
// place back. If the compare and swap fails it was woken, and has to signal, as
// that may have been for another one. A place of one who has ended can be
// taken over: load its ticket, see that the party word is still that of the one
// who has ended (or the ticket may be that of one who was faster), compare and
// swap the ticket to 0 first, then the party word. Who finds no place sleeps a
// millisecond and counts as woken.
//
// To signal, find the place with the lowest ticket that is not 0, read its party
// word, compare and swap the ticket to 0, and ring the party. If the party has
// ended, or the compare and swap fails, look for another; after as many tries as
// there are places, broadcast. To broadcast, load the next ticket, and do the
// same to each place with a lower one.
//
// # Barriers
//
// At a multiple of 8, 80 bytes at least:
//
//	0    u64  magic: "PGBGWBA1", written last as it is made
//	8    u32  bytes in all, a multiple of 8, at most 16,448 (1,024 places)
//	12   u32  features, all of which have to be known; 0
//	16   u64  state
//	24   u64  reserved
//	32        a condition variable, which has the rest
//
// The state's bits: 0 to 31 phase, 32 to 46 participants, 47 to 61 how many of
// them have arrived, 62 elected, 63 static (made for a number of participants,
// so that nobody attaches or detaches). Each of these is one compare and swap of
// it:
//
//	attach        participants + 1; its phase is the result
//	arrive        arrived + 1; if that makes all participants, advance and set elected
//	detach        participants - 1; if some are left and all of them have arrived, advance
//	arrive and detach  the same, and also advance if none is left
//	the same except the last  the same, but if there is one only: advance, and stay
//	give up       arrived - 1, if the phase is still that of the arrival
//
// To advance is: phase + 1, arrived 0, elected 0; and then a broadcast. Who waits
// waits until the phase is not that of its arrival; if then elected is 0 and the
// phase is the next one, who changes it to 1 is elected.
//
// Nobody keeps a list of participants: one that ends without a word was attached
// to the segment, whose crash it is, and the barrier ends with it.
//
// # Deaths
//
// A process that ends while it is attached, with whatever exit code, is the crash
// of its segment: the supervisor ends all that are attached, and the memory
// begins anew. So the supervisor takes no part in locks: it releases none, and
// reads none but to show it. What a dead process holds is met by others in the
// time until their own end, in a shutdown, and after one that said Detach and
// released nothing: by the next taker of a lock, by who signals a condition
// variable, by the other end of a queue.
//
// # Dynamic segments
//
// A dynamic segment is a memfd, sealed as a segment is, that the supervisor makes
// and passes over the control socket (package control). It has no header: all of
// its bytes are its users', 0 at first, and its length is what the supervisor
// says, of a file that may be longer. Its handle is an even u32, not 0. What can
// lie in an area can lie in it.
//
// # Tables of contents
//
// At a multiple of 8, of a length that is rounded down to a multiple of 32:
//
//	0   u64  the users' magic number
//	8   u64  magic: "PGBGTOC1", written last as the table is made
//	16  u64  bytes in all
//	24  u64  taken: entries in bits 0 to 23, above them bytes of chunks / 32
//
// All else is 0 as it is made. Entries follow, 32 bytes each: u64 key, u64
// offset, u64 size, u64 reserved. An entry or a chunk is taken by a compare and
// swap of the word at 24, as long as 32 + 32 * entries + chunks is not more than
// all; chunks are taken from the end of the memory, in multiples of 32. The
// entry's offset is stored last: an entry whose offset is 0 is passed over.
//
// # Vectors
//
// Each testdata/vectors/*.txt is memory that every library has to accept, or to
// refuse with an error and never a fault, in lines of words:
//
//	# text             what is special about it, for people
//	kind WORD          segment, slots, queue, lock, condition, barrier or toc
//	size N             bytes of the file, or of the memory
//	key N              of a toc: the users' magic number, as it is opened with
//	at N: HEX          bytes from there on; all that is not given is 0
//	accept or refuse   to attach the segment or table, or to open what is there
//	area NAME SIZE N   then, in an accepted segment: a look-up finds it at N
//	area NAME SIZE error
//
// A segment and a table are memfds, sealed as above; they may be holes for the
// most part. All else is memory that begins at a multiple of 128.
package shm
