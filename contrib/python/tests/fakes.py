"""Parties in threads of one process, over memory of its own."""

import mmap
import os
import threading

from pgbgw._environment import Handle
from pgbgw._latch import Latch
from pgbgw._party import Party


class FakeSlots:
    """Says of parties and registrations that they have ended, as it is told."""

    def __init__(self):
        self.ended = set()
        self.gone = set()

    def dead(self, word):
        return word in self.ended

    def stopped(self, handle):
        return handle in self.gone


class World:
    """Processes that know each other's latches."""

    def __init__(self):
        self.slots = FakeSlots()
        self.latches = {}

    def party(self, slot, generation=1):
        if slot not in self.latches:
            self.latches[slot] = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        word = slot + 1 | generation << 16 | 1 << 40
        return Party(word, Latch(os.dup(self.latches[slot]), -1), self.slots, lambda s: os.dup(self.latches[s]))


def memory(size):
    """A writable memoryview that begins at a page."""
    return memoryview(mmap.mmap(-1, size))


def handle(slot, generation=1):
    return Handle(slot, generation)


def spawn(f, *args):
    """Runs f in a thread; join() returns its result or raises its error."""
    return _Task(f, args)


class _Task(threading.Thread):
    def __init__(self, f, args):
        super().__init__(daemon=True)
        self._f, self._args, self._result, self._error = f, args, None, None
        self.start()

    def run(self):
        try:
            self._result = self._f(*self._args)
        except BaseException as e:  # handed on by join
            self._error = e

    def join(self, timeout=60):
        super().join(timeout)
        if self.is_alive():
            raise AssertionError("it hangs")
        if self._error:
            raise self._error
        return self._result
