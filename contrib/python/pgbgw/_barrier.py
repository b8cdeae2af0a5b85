"""Condition variables and barriers in shared memory, as PostgreSQL's."""

import time

from ._errors import Damaged, Error, Timeout
from ._memory import memory_of
from ._party import deadline_of

_CV_MAGIC = int.from_bytes(b"PGBGWCV1", "little")
_CV_MIN = 48
_MOST = 1024
_BARRIER_MAGIC = int.from_bytes(b"PGBGWBA1", "little")
_BARRIER_MIN = 80
_CROWDED = 0.001


class ConditionVariable:
    """Processes wait until something may be true, and others wake them. There
    is no lock behind it: the state that a predicate looks at is changed by
    atomic operations, or under a Lock."""

    def __init__(self, party, data):
        memory = memory_of(data)
        if memory.size < _CV_MIN or memory.address % 8:
            raise Error(f"a condition variable has {_CV_MIN} bytes at least, from a multiple of 8 on")
        self._party = party
        self._memory = memory
        self._next = memory.word64(16)
        self._count = min(_MOST, (memory.size - 32) // 16)
        self._places = [(memory.word64(32 + 16 * i), memory.word64(40 + 16 * i)) for i in range(self._count)]

    @staticmethod
    def size(n):
        """Bytes of one that n processes can wait for; more look every
        millisecond."""
        return 32 + 16 * n

    @classmethod
    def create(cls, party, data):
        cv = cls(party, data)
        m = cv._memory
        m.word64(0).store(0)
        for at in range(8, cls.size(cv._count), 8):
            m.word64(at).store(0)
        m.word32(8).store(cv._count)
        cv._next.store(1)
        m.word64(0).store(_CV_MAGIC)
        return cv

    @classmethod
    def open(cls, party, data):
        cv = cls(party, data)
        m = cv._memory
        if m.word64(0).load() != _CV_MAGIC:
            raise Damaged(f"no condition variable is here: it begins with {m.word64(0).load():#x}")
        if m.word32(8).load() != cv._count or m.word32(12).load():
            raise Damaged(f"the condition variable has {m.word32(8).load()} places and features {m.word32(12).load():#x}, "
                          f"its memory has {cv._count}")
        return cv

    def wait_for(self, predicate, timeout=None):
        """Waits until predicate() is true, which is asked again after each
        wake-up (PostgreSQL's loop from ConditionVariablePrepareToSleep to
        CancelSleep); False if so many seconds have passed before."""
        deadline = deadline_of(timeout)
        place, true = self._prepare(), False
        try:
            while not (true := predicate()):
                if place is None:
                    if deadline is not None and time.monotonic() >= deadline:
                        return False
                    time.sleep(_CROWDED)
                    place = self._prepare()
                    continue
                cell, ticket = place[0][1], place[1]
                try:
                    self._party.sleep(lambda: cell.load() != ticket, deadline)
                except Timeout:
                    true = predicate()
                    return true
                place = self._queue(place[0])
            return True
        finally:
            if self._cancel(place) and not true:
                self.signal()  # it came too late for this one: for another

    def signal(self):
        """Wakes the one who waits longest, if anybody does."""
        for _ in range(self._count):
            waiting = [(t, cell, party) for party, cell in self._places if (t := cell.load())]
            if not waiting:
                return
            ticket, cell, party = min(waiting, key=lambda w: w[0])
            word = party.load()
            if cell.compare_and_swap(ticket, 0):
                self._party.ring(word)
                if word and not self._party.dead(word):
                    return
        self.broadcast()

    def broadcast(self):
        """Wakes all who wait by now."""
        limit = self._next.load()
        for party, cell in self._places:
            ticket = cell.load()
            if not 0 < ticket < limit:
                continue
            word = party.load()
            if cell.compare_and_swap(ticket, 0):
                self._party.ring(word)

    def _prepare(self):
        """A place and the ticket in it, or None."""
        mine = self._party.word
        for party, cell in self._places:
            if party.load() == 0 and party.compare_and_swap(0, mine):
                return self._queue((party, cell))
        for party, cell in self._places:
            word = party.load()
            if word == mine or not self._party.dead(word):
                continue
            ticket = cell.load()
            if party.load() != word:
                continue  # somebody was faster: the ticket is that of one who lives
            if (ticket == 0 or cell.compare_and_swap(ticket, 0)) and party.compare_and_swap(word, mine):
                return self._queue((party, cell))
        return None

    def _queue(self, place):
        ticket = self._next.fetch_add(1)
        place[1].store(ticket)
        return place, ticket

    @staticmethod
    def _cancel(place):
        """Gives the place back; True if this one was woken meanwhile."""
        if place is None:
            return False
        (party, cell), ticket = place
        woken = not cell.compare_and_swap(ticket, 0)
        party.store(0)
        return woken


class _State:
    """The word of a barrier, taken apart."""

    def __init__(self, word):
        self.phase = word & 0xffffffff
        self.participants = word >> 32 & 0x7fff
        self.arrived = word >> 47 & 0x7fff
        self.elected = word >> 62 & 1
        self.static = word >> 63

    def word(self):
        return self.phase | self.participants << 32 | self.arrived << 47 | self.elected << 62 | self.static << 63

    def advance(self, elected=0):
        self.phase = self.phase + 1 & 0xffffffff
        self.arrived, self.elected = 0, elected


class Barrier:
    """Participants wait for each other, phase by phase. Made for a number of
    them it is static; else they attach and detach."""

    def __init__(self, party, data):
        memory = memory_of(data)
        if memory.size < _BARRIER_MIN or memory.address % 8:
            raise Error(f"a barrier has {_BARRIER_MIN} bytes at least, from a multiple of 8 on")
        self._memory = memory.part(0, min(memory.size & ~7, self.size(_MOST)))
        self._party = party
        self._state = self._memory.word64(16)
        self._cv = None

    @staticmethod
    def size(n):
        """Bytes of one for n participants."""
        return 32 + ConditionVariable.size(n)

    @classmethod
    def create(cls, party, data, participants=0):
        if not 0 <= participants < 1 << 15:
            raise Error(f"a barrier cannot have {participants} participants, 0 to {(1 << 15) - 1} are allowed")
        b = cls(party, data)
        m = b._memory
        m.word64(0).store(0)
        m.word64(8).store(m.size)  # features, above it, are 0
        state = _State(0)
        state.participants, state.static = participants, int(participants > 0)
        b._state.store(state.word())
        m.word64(24).store(0)
        b._cv = ConditionVariable.create(party, m.part(32, m.size - 32))
        m.word64(0).store(_BARRIER_MAGIC)
        return b

    @classmethod
    def open(cls, party, data):
        b = cls(party, data)
        m = b._memory
        if m.word64(0).load() != _BARRIER_MAGIC:
            raise Damaged(f"no barrier is here: it begins with {m.word64(0).load():#x}")
        if m.word64(8).load() != m.size:
            raise Damaged(f"the barrier has {m.word32(8).load()} bytes and features {m.word32(12).load():#x}, its memory has {m.size}")
        b._cv = ConditionVariable.open(party, m.part(32, m.size - 32))
        return b

    @property
    def phase(self):
        return _State(self._state.load()).phase

    @property
    def participants(self):
        return _State(self._state.load()).participants

    def attach(self):
        """Joins (BarrierAttach); returns the phase."""
        def step(s):
            self._dynamic(s)
            if s.participants == (1 << 15) - 1:
                raise Error("cannot attach to barrier: it has the most participants that there can be")
            s.participants += 1
            return s.phase
        return self._change(step)

    def arrive_and_wait(self, timeout=None):
        """Arrives, and waits until all participants have; True for one of them,
        who is elected. After Timeout or another exception this one has not
        arrived."""
        def step(s):
            if s.arrived >= s.participants:
                raise Damaged(f"{s.arrived} of {s.participants} participants have arrived at a barrier")
            phase, s.arrived = s.phase, s.arrived + 1
            if last := s.arrived == s.participants:
                s.advance(elected=1)
            return phase, last
        phase, last = self._change(step)
        if last:
            self._cv.broadcast()
            return True
        try:
            met = self._cv.wait_for(lambda: self.phase != phase, timeout)
        except BaseException:  # a signal handler's, say
            self._change(lambda s: self._give_up(s, phase))
            raise
        if not met and self._change(lambda s: self._give_up(s, phase)):
            raise Timeout("the time has passed")
        return self._change(lambda s: self._elect(s, phase))

    def detach(self):
        """Leaves (BarrierDetach); True for the last one."""
        return self._leave(lambda s: s.participants > 0 and s.arrived == s.participants)

    def arrive_and_detach(self):
        """Arrives and leaves without a wait; True for the last one."""
        return self._leave(lambda s: s.arrived == s.participants)

    def arrive_and_detach_except_last(self):
        """arrive_and_detach, but the last one stays attached in the next phase,
        for which True is returned."""
        def step(s):
            self._dynamic(s)
            self._someone(s)
            if s.participants == 1:
                s.advance()
                return True, True
            s.participants -= 1
            return False, self._advanced(s, s.arrived == s.participants)
        last, advanced = self._change(step)
        if advanced:
            self._cv.broadcast()
        return last

    def _leave(self, advances):
        def step(s):
            self._dynamic(s)
            self._someone(s)
            s.participants -= 1
            return s.participants == 0, self._advanced(s, advances(s))
        last, advanced = self._change(step)
        if advanced:
            self._cv.broadcast()
        return last

    @staticmethod
    def _advanced(state, when):
        if when:
            state.advance()
        return when

    @staticmethod
    def _give_up(state, phase):
        if state.phase != phase:
            return False
        state.arrived -= 1
        return True

    @staticmethod
    def _elect(state, phase):
        if state.elected or state.phase != phase + 1 & 0xffffffff:
            return False
        state.elected = 1
        return True

    @staticmethod
    def _dynamic(state):
        if state.static:
            raise Error("the barrier is static: nobody attaches or detaches")

    @staticmethod
    def _someone(state):
        if state.participants == 0:
            raise Error("the barrier has no participants")

    def _change(self, step):
        """One compare-and-swap of the state; what step returned."""
        while True:
            word = self._state.load()
            state = _State(word)
            result = step(state)
            if state.word() == word or self._state.compare_and_swap(word, state.word()):
                return result
