"""A one-way channel of messages in shared memory: PostgreSQL's shm_mq.

A signal handler may raise between any two instructions. So how far a message has
got follows from one number, the total: the bytes that are copied come first, and
the total after them; who comes again copies the same bytes once more.
"""

import struct

from ._errors import Damaged, Detached, Error, NoPeer, Taken, Unfinished, WouldBlock
from ._memory import memory_of
from ._party import deadline_of

MIN_SIZE = 64
MAX_MESSAGE = (1 << 30) - 1
_WIDE = 4096
_MAGIC = int.from_bytes(b"PGBGWMQ1", "little")
_DETACHED = 1
_SENDER_WAITS = 2
_RECEIVER_WAITS = 4
_MASK = (1 << 64) - 1
_LENGTH = struct.Struct("<Q")


class Queue:
    """A queue lies in memory that its users share, an area or a part of one.
    One process makes it (create), the others open it; then one calls sender()
    and one receiver(), once in the life of the queue."""

    def __init__(self, party, data):
        memory = memory_of(data)
        if memory.size < MIN_SIZE:
            raise Error(f"a queue has {memory.size} bytes, {MIN_SIZE} are the least")
        if memory.address % 8:
            raise Error("a queue's memory does not begin at a multiple of 8")
        memory = memory.part(0, memory.size & ~7)
        self.party = party
        self._memory = memory
        self._sender = memory.word64(16)
        self._receiver = memory.word64(24)
        self._state = memory.word32(32)
        wide = memory.size >= _WIDE
        self._written = memory.word64(128 if wide else 40)
        self._read = memory.word64(256 if wide else 48)
        self._begin = 384 if wide else 56
        self._ring = memory.view[self._begin:]
        self._size = memory.size - self._begin

    @classmethod
    def create(cls, party, data):
        q = cls(party, data)
        magic = q._memory.word64(0)
        magic.store(0)
        for at in range(8, q._begin, 8):
            q._memory.word64(at).store(0)
        q._memory.word64(8).store(q._size)
        magic.store(_MAGIC)
        return q

    @classmethod
    def open(cls, party, data):
        q = cls(party, data)
        magic, size = q._memory.word64(0).load(), q._memory.word64(8).load()
        features = q._memory.word32(36).load()
        if magic != _MAGIC:
            raise Damaged(f"no queue is here: it begins with {magic:#x}")
        if size != q._size:
            raise Damaged(f"the queue has a ring of {size} bytes, its memory would have one of {q._size}")
        if features:
            raise Damaged(f"the queue has features {features:#x} that are not known here")
        return q

    def sender(self):
        """Makes this process the queue's sender; Taken if it has or had one."""
        return Sender(self)

    def receiver(self):
        """Makes this process the queue's receiver; Taken if it has or had
        one."""
        return Receiver(self)


class _End:
    """What the two ends have in common."""

    def __init__(self, queue, mine, theirs, my_flag, their_flag):
        self._q = queue
        self.memory = queue._memory
        self._party = queue.party
        self._state = queue._state
        self._ring = queue._ring
        self._size = queue._size
        self._mine = mine
        self._theirs = theirs
        self._my_flag = my_flag
        self._their_flag = their_flag
        self._expected = None
        self._broken = None
        self._gone = False  # detached by this end
        written, read = queue._written.load(), queue._read.load()
        if written % 8 or read % 8 or not 0 <= written - read <= self._size:
            raise Damaged(f"{written} bytes are written and {read} read of a ring of {self._size}")
        if not mine.compare_and_swap(0, self._party.word):
            raise Taken(f"cannot attach to queue: taken by slot {(mine.load() & 0xffff) - 1}")
        self._party.holds.add(self)
        self._wake()  # it may wait for this

    def expect(self, handle):
        """Names the worker that will attach to the other end: should it stop
        before, the queue is detached (BGW-150)."""
        self._expected = handle

    def wait_attach(self, timeout=None):
        """Waits until a process has attached to the other end. Detached if none
        will; NoPeer instead of waiting for ever."""
        if not self._gone:
            self._sleep(lambda: self._theirs.load() != 0, deadline_of(timeout))
        if self._gone or self._theirs.load() == 0:
            raise Detached("the queue is detached")

    def detach(self):
        """Ends the queue; again it does nothing."""
        self._party.holds.discard(self)
        self.abandon()

    def abandon(self):
        if self._gone:
            return  # another queue may be there by now
        self._gone = True
        self._state.fetch_or(_DETACHED)
        self._state.fetch_and(~(_SENDER_WAITS | _RECEIVER_WAITS))
        self._party.ring(self._q._sender.load())
        self._party.ring(self._q._receiver.load())

    def _is_detached(self):
        return self._gone or bool(self._state.load() & _DETACHED)

    def _wake(self):
        """Wakes the other end if it waits."""
        if self._state.load() & self._their_flag and self._state.fetch_and(~self._their_flag) & self._their_flag:
            self._party.ring(self._theirs.load())

    def _armed(self, ready):
        """Raises this end's flag, and then says whether there is anything."""
        if self._gone or self._state.fetch_or(self._my_flag) & _DETACHED or ready():
            return True
        word = self._theirs.load()
        if word:
            gone = self._party.dead(word)
        else:
            gone = self._expected is not None and self._party.slots.stopped(self._expected) and self._theirs.load() == 0
        if gone:
            self._state.fetch_or(_DETACHED)
        return gone

    def _sleep(self, ready, deadline):
        if deadline is None and self._expected is None and self._theirs.load() == 0:
            raise NoPeer("nobody is at the other side of the queue, and nobody is expected")
        try:
            self._party.sleep(lambda: self._armed(ready), deadline)
        finally:
            self._disarm()

    def _try(self, ready):
        """Instead of a sleep: the flag stays where nothing has come, and the
        other end sets this process's latch."""
        if not self._armed(ready):
            raise WouldBlock("the queue would block")
        self._disarm()

    def _disarm(self):
        if not self._gone and self._state.load() & self._my_flag:
            self._state.fetch_and(~self._my_flag)

    def _fail(self, text):
        self._broken = Damaged(f"cannot use queue: {text}")
        raise self._broken


class Sender(_End):
    """The sending end; one thread at a time may use it."""

    def __init__(self, queue):
        super().__init__(queue, queue._sender, queue._receiver, _SENDER_WAITS, _RECEIVER_WAITS)
        self._total = queue._written.load()
        self._seen = self._freed = self._total
        self._frame = None  # one that is sent in part: its bytes, its message's length, the total before it

    def send(self, message, flush=True, timeout=None):
        """Sends one message, a bytes-like object of at most MAX_MESSAGE bytes,
        possibly none (BGW-143). While the ring is full it waits, no longer than
        so many seconds (None: for ever); a message that is larger than the ring
        goes through in pieces (BGW-144). Without flush the receiver sees it
        when more than a quarter of the ring is not seen, the ring is full, or at
        flush() or detach().

        Detached if the receiver has detached or ended, or will never attach
        (BGW-149, BGW-150). After Timeout, WouldBlock or what a signal handler
        raises the message may be sent in part: repeat the same call, or detach;
        another length is Unfinished."""
        deadline = deadline_of(timeout)
        self._send(message, flush, lambda: self._sleep(self._has_room, deadline))

    def try_send(self, message, flush=True):
        """send that never waits: WouldBlock (BGW-146)."""
        self._send(message, flush, lambda: self._try(self._has_room))

    def flush(self):
        """Shows the receiver all messages that were sent."""
        if self._is_detached():
            raise Detached("the queue is detached")
        self._publish()

    def detach(self):
        """Shows the receiver what was sent and ends the queue: the receiver
        gets all whole messages and then Detached (BGW-148)."""
        if not self._is_detached():
            self._publish()
        super().detach()

    def _send(self, message, flush, full):
        view = memoryview(message).cast("B")
        size = len(view)
        if size > MAX_MESSAGE:
            raise Error(f"cannot send message of {size} bytes, {MAX_MESSAGE} are the most")
        if self._broken:
            raise self._broken
        if self._is_detached():
            raise Detached("the queue is detached")
        if self._frame is None:
            self._frame = memoryview(_LENGTH.pack(size) + view + bytes(-size % 8)), size, self._total
        frame, pending, begin = self._frame
        if size != pending:
            raise Unfinished(f"cannot send message of {size} bytes: another one of {pending} is unfinished")
        while self._total - begin < len(frame):
            if self._put(frame[self._total - begin:]) == 0:
                self._publish()
                full()
                if self._is_detached():
                    raise Detached("the queue is detached")
        self._frame = None
        if flush or self._total - self._seen > self._size // 4:
            self._publish()

    def _put(self, rest):
        """Writes what there is room for in one piece."""
        at = self._total % self._size
        n = min(len(rest), self._room(len(rest)), self._size - at)
        self._ring[at:at + n] = rest[:n]
        self._total += n
        return n

    def _room(self, want):
        free = self._size - (self._total - self._freed)
        if free >= want:
            return free
        freed = self._q._read.load()
        if not self._freed <= freed <= self._total or freed % 8:
            self._fail(f"{freed} bytes were read of {self._total} written")
        self._freed = freed
        return self._size - (self._total - freed)

    def _has_room(self):
        return self._q._read.load() != self._freed

    def _publish(self):
        if self._seen != self._total:
            self._q._written.store(self._total)
            self._wake()
            self._seen = self._total


class Receiver(_End):
    """The receiving end; one thread at a time may use it."""

    def __init__(self, queue):
        super().__init__(queue, queue._receiver, queue._sender, _RECEIVER_WAITS, _SENDER_WAITS)
        self._total = queue._read.load()
        self._freed = self._seen = self._total
        self._message = None  # one that is collected: its length, its bytes, the total behind its length word

    def receive(self, timeout=None):
        """Returns the next message as bytes, and waits for it, no longer than
        so many seconds (None: for ever). Detached after the last whole message
        of a sender that has detached or ended, or if none will ever attach
        (BGW-148, BGW-150). What a signal handler raises loses nothing but a
        message that was about to be returned."""
        deadline = deadline_of(timeout)
        return self._receive(lambda want: self._sleep(lambda: self._is_there(want), deadline))

    def try_receive(self):
        """receive that never waits: WouldBlock where there is no whole message
        (BGW-147)."""
        return self._receive(lambda want: self._try(lambda: self._is_there(want)))

    def __iter__(self):
        """All messages until the sender has detached."""
        while True:
            try:
                yield self.receive()
            except Detached:
                return

    def _receive(self, empty):
        if self._broken:
            raise self._broken
        if self._gone:
            raise Detached("the queue is detached")
        if self._message is None:
            self._await(8, empty)
            at = self._total % self._size
            length, = _LENGTH.unpack_from(self._ring, at)
            if length > MAX_MESSAGE:
                self._fail(f"a message of {length} bytes")
            self._message = length, bytearray(), self._total + 8
        length, buffer, begin = self._message
        if self._total < begin:
            self._take(8)
        while (have := self._total - begin) < length:
            self._await(8, empty)
            at = self._total % self._size
            left = length - have
            n = min(left + -left % 8, self._seen - self._total, self._size - at)
            buffer[have:] = self._ring[at:at + min(n, left)]
            self._take(n)
        message = bytes(buffer)
        self._message = None
        return message

    def _take(self, n):
        self._total += n
        if self._total - self._freed > self._size // 4:
            self._give_back()

    def _give_back(self):
        if self._freed != self._total:
            self._q._read.store(self._total)
            self._wake()
            self._freed = self._total

    def _await(self, want, empty):
        while self._seen - self._total < want:
            # What was written before a detach is there: so in this order.
            detached = self._is_detached()
            seen = self._q._written.load()
            if not self._total <= seen <= self._total + self._size or seen % 8:
                self._fail(f"{seen} bytes were written after {self._total}")
            self._seen = seen
            if seen - self._total >= want:
                return
            if detached:
                raise Detached("the queue is detached")
            self._give_back()
            empty(want)

    def _is_there(self, want):
        return (self._q._written.load() - self._total & _MASK) >= want
