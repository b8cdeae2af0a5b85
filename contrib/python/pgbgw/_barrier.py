"""Barriers in shared memory, as PostgreSQL's."""

import threading

from . import _places
from ._condition import ConditionVariable
from ._errors import Damaged, Error, NotAttached, Timeout

_MAGIC = int.from_bytes(b"PGBGWBA1", "little")


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
        memory = _places.over(data, self.size(1), "barrier")
        self.memory = memory.part(0, min(memory.size & ~7, self.size(_places.MOST)))
        self._party = party
        self._state = self.memory.word64(16)
        self._cv = None
        self._mutex = threading.RLock()  # while this process changes the state
        self._attached = 0  # participants of this process, of a dynamic barrier
        self._waits = {}    # how many of its arrivals wait, by phase
        self._gone = False

    @staticmethod
    def size(n):
        """Bytes of one for n participants."""
        return 32 + ConditionVariable.size(n)

    @classmethod
    def create(cls, party, data, participants=0):
        if not 0 <= participants < 1 << 15:
            raise Error(f"a barrier cannot have {participants} participants, 0 to {(1 << 15) - 1} are allowed")
        b = cls(party, data)
        m = b.memory
        m.word64(0).store(0)
        m.word64(8).store(m.size)  # features, above it, are 0
        state = _State(0)
        state.participants, state.static = participants, int(participants > 0)
        b._state.store(state.word())
        m.word64(24).store(0)
        b._cv = ConditionVariable.create(party, m.part(32, m.size - 32))
        m.word64(0).store(_MAGIC)
        party.holds.add(b)
        return b

    @classmethod
    def open(cls, party, data):
        b = cls(party, data)
        m = b.memory
        if m.word64(0).load() != _MAGIC:
            raise Damaged(f"no barrier is here: it begins with {m.word64(0).load():#x}")
        if m.word64(8).load() != m.size:
            raise Damaged(f"the barrier has {m.word32(8).load()} bytes and features {m.word32(12).load():#x}, its memory has {m.size}")
        b._cv = ConditionVariable.open(party, m.part(32, m.size - 32))
        party.holds.add(b)
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
        with self._mutex:
            phase = self._change(step)
            self._attached += 1
        return phase

    def arrive_and_wait(self, timeout=None):
        """Arrives, and waits until all participants have; True for one of them,
        who is elected. After Timeout or another exception this one has not
        arrived."""
        def step(s):
            if not s.static and not self._attached:
                raise Error("this process is not attached to the barrier")
            if s.arrived >= s.participants:
                raise Damaged(f"{s.arrived} of {s.participants} participants have arrived at a barrier")
            phase, s.arrived = s.phase, s.arrived + 1
            if last := s.arrived == s.participants:
                s.advance(elected=1)
            return phase, last
        with self._mutex:
            phase, last = self._change(step)
            if not last:
                self._waits[phase] = self._waits.get(phase, 0) + 1
        if last:
            self._cv.broadcast()
            return True
        try:
            met = self._cv.wait_for(lambda: self.phase != phase, timeout)
        except BaseException:  # a signal handler's, say, or that of a detach
            self._settle(self._give_up, phase)
            raise
        if not met and self._settle(self._give_up, phase):
            raise Timeout("the time has passed")
        return self._settle(self._elect, phase)

    def _settle(self, step, phase):
        """Ends the wait for the end of a phase by step; whether step could."""
        with self._mutex:
            if self._gone:
                return False  # it was taken back
            could = self._change(lambda s: step(s, phase))
            if could or step == self._elect:
                self._waits[phase] -= 1
                if not self._waits[phase]:
                    del self._waits[phase]
            return could

    def abandon(self):
        """Takes back the arrivals of this process and detaches its
        participants."""
        def step(s):
            s.arrived -= min(s.arrived, self._waits.get(s.phase, 0))
            if s.static:
                return False
            s.participants -= min(s.participants, self._attached)
            return self._advanced(s, s.participants > 0 and s.arrived >= s.participants)
        with self._mutex:
            if self._gone:
                return
            advanced, self._gone = self._change(step), True
        if advanced:
            self._cv.broadcast()

    def detach(self):
        """Leaves (BarrierDetach); True for the last one."""
        return self._leave(lambda s: s.participants > 0 and s.arrived >= s.participants)

    def arrive_and_detach(self):
        """Arrives and leaves without a wait; True for the last one."""
        return self._leave(lambda s: s.arrived >= s.participants)

    def arrive_and_detach_except_last(self):
        """arrive_and_detach, but the last one stays attached in the next phase,
        for which True is returned."""
        def step(s):
            if s.participants == 1:
                s.advance()
                return True, True, 0
            s.participants -= 1
            return False, self._advanced(s, s.arrived >= s.participants), 1
        return self._go(step)

    def _leave(self, advances):
        def step(s):
            s.participants -= 1
            return s.participants == 0, self._advanced(s, advances(s)), 1
        return self._go(step)

    def _go(self, step):
        """Changes the state of a dynamic barrier in which this process takes
        part by step: (result, whether a phase has ended, how many left)."""
        def checked(s):
            self._dynamic(s)
            if not self._attached:
                raise Error("this process is not attached to the barrier")
            if s.participants == 0:
                raise Damaged("nobody takes part in the barrier")
            return step(s)
        with self._mutex:
            last, advanced, left = self._change(checked)
            self._attached -= left
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
        state.arrived -= min(1, state.arrived)
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

    def _change(self, step):
        """One compare-and-swap of the state; what step returned."""
        if self._gone:
            raise NotAttached("not attached to a segment")
        while True:
            word = self._state.load()
            state = _State(word)
            result = step(state)
            if state.word() == word or self._state.compare_and_swap(word, state.word()):
                return result
