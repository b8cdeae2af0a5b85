"""Condition variables in shared memory, as PostgreSQL's."""

import time

from . import _places
from ._errors import Timeout
from ._party import deadline_of


class ConditionVariable(_places.Placed):
    """Processes wait until something may be true, and others wake them. There
    is no lock behind it: the state that a predicate looks at is changed by
    atomic operations, or under a Lock."""

    MAGIC = int.from_bytes(b"PGBGWCV1", "little")
    WHAT = "condition variable"

    def __init__(self, party, data):
        super().__init__(party, data)
        word64 = self.memory.word64
        self._next = word64(16)
        self._places = [(word64(at), word64(at + 8)) for at in range(_places.HEADER, self.size(self._count), 16)]

    def _begin(self):
        self._next.store(1)

    def wait_for(self, predicate, timeout=None):
        """Waits until predicate() is true, which is asked again after each
        wake-up (PostgreSQL's loop from ConditionVariablePrepareToSleep to
        CancelSleep); False if so many seconds have passed before."""
        deadline = deadline_of(timeout)
        self._inside()
        place, true = self._prepare(), False
        try:
            while not (true := predicate()):
                self._inside()
                if place is None:
                    if deadline is not None and time.monotonic() >= deadline:
                        return False
                    time.sleep(_places.CROWDED)
                    place = self._prepare()
                    continue
                cell, ticket = place[0][1], place[1]
                try:
                    self._party.sleep(lambda: self._gone or cell.load() != ticket, deadline)
                except Timeout:
                    true = predicate()
                    return true
                if not self._gone:
                    place = self._queue(place[0])
            return True
        finally:
            if self._cancel(place) and not true:
                self.signal()  # it came too late for this one: for another

    def signal(self):
        """Wakes the one who waits longest, if anybody does."""
        for _ in self._places:
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

    def _cancel(self, place):
        """Gives the place back; True if this one was woken meanwhile."""
        if place is None:
            return False
        (party, cell), ticket = place
        woken = not cell.compare_and_swap(ticket, 0)
        if woken and self._gone:
            return False  # it was given back, and may be somebody else's
        party.compare_and_swap(self._party.word, 0)
        return woken

    def abandon(self):
        """Gives the places of this process back, whose waits end."""
        self._gone = True
        for party, cell in self._places:
            if party.load() == self._party.word:
                cell.store(0)
                party.compare_and_swap(self._party.word, 0)
