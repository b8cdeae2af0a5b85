"""This process as one of those that wait for each other in shared memory."""

import os
import time

from ._errors import Error, Timeout
from ._latch import ring


_NOBODY = 1 << 63  # a party word without a slot


class Party:
    """word is this process's party word; ask(slot) gives a latch's eventfd."""

    def __init__(self, word, latch, slots, ask):
        self.word = word
        self.latch = latch
        self.slots = slots
        self._ask = ask
        self._bells = {}
        self.holds = set()  # what has abandon(), to be called at the detach

    def dead(self, word):
        return self.slots.dead(word)

    def ring(self, word):
        """Wakes the process of a party word. One that cannot be reached finds
        out by itself, on its next patrol."""
        if word:
            try:
                self.set_latch((word & 0xffff) - 1)
            except (Error, OSError):
                pass

    def set_latch(self, slot):
        """Sets the latch of a slot's worker; its descriptor is kept."""
        if slot == (self.word & 0xffff) - 1:
            self.latch.set()
            return
        if slot not in self._bells:
            fd = self._ask(slot)
            if self._bells.setdefault(slot, fd) != fd:
                os.close(fd)  # another thread asked as well
        ring(self._bells[slot])

    def sleep(self, done, deadline):
        """Waits until done() is true; done raises the flag that makes others
        ring, and then looks. Timeout when the deadline (of time.monotonic;
        None: none) has passed."""
        while not done():
            if deadline is not None and time.monotonic() >= deadline:
                raise Timeout("the time has passed")
            self.latch.sleep(deadline)

    def end_in(self, memory):
        """Gives up what this process holds in some memory."""
        for h in [h for h in self.holds.copy() if memory.contains(h.memory)]:
            self.holds.discard(h)
            h.abandon()

    def end_all(self):
        holds, self.holds = self.holds, set()
        for h in holds:
            h.abandon()

    def forked(self):
        """In a child of fork(2): nothing that the process holds is the child's,
        and its word is nobody's."""
        self.word = _NOBODY
        holds, self.holds = self.holds, set()
        for h in holds:
            h._gone = True

    def close(self):
        for fd in self._bells.values():
            os.close(fd)
        self._bells = {}


def deadline_of(timeout):
    return None if timeout is None else time.monotonic() + timeout
