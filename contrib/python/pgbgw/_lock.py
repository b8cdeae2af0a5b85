"""A lock in shared memory that survives its holder: PostgreSQL's LWLock."""

import time

from . import _places
from ._errors import Timeout
from ._party import deadline_of


class Lock(_places.Placed):
    """Held by one process alone, or shared by many; not recursive. Who takes it
    next is told that the holder before died with it (BGW-160). As a context
    manager it is held alone, and the value of "as" says that.

    A process counts as one: its threads do not exclude each other by shares."""

    MAGIC = int.from_bytes(b"PGBGWLW1", "little")
    WHAT = "lock"

    def __init__(self, party, data):
        super().__init__(party, data)
        word64, places = self.memory.word64, self._count
        self._holder = word64(16)
        self._waiters = [word64(_places.HEADER + 8 * i) for i in range(places)]
        self._sharers = [word64(_places.HEADER + 8 * (places + i)) for i in range(places)]

    def __enter__(self):
        return self.acquire()

    def __exit__(self, *_):
        self.release()

    def acquire(self, timeout=None):
        """Waits until the lock is this process's alone (LW_EXCLUSIVE), no
        longer than so many seconds. True if its last holder ended without
        releasing it: what it protects may be half changed."""
        deadline = deadline_of(timeout)
        dead = self._await(self._claim, self._is_free, deadline)
        try:
            self._party.sleep(lambda: self._gone or not self._is_shared(), deadline)
            self._inside()
        except BaseException:
            self._leave(dead)
            raise
        return dead != 0

    def try_acquire(self):
        """(held, died): acquire that does not wait (LWLockConditionalAcquire)."""
        dead = self._claim()
        if dead is None:
            return False, False
        if self._is_shared():
            self._leave(dead)
            return False, False
        return True, dead != 0

    def acquire_shared(self, timeout=None):
        """Waits until nobody holds the lock alone, and then keeps it from being
        so held (LW_SHARED); otherwise like acquire."""
        return self._await(self._share, lambda: self._is_free() and self._has_room(), deadline_of(timeout)) != 0

    def try_acquire_shared(self):
        """(held, died), without a wait."""
        dead = self._share()
        return dead is not None, bool(dead)

    def release(self):
        """Ends acquire; False if this process does not hold the lock alone."""
        return self._leave(0)

    def release_shared(self):
        """Ends acquire_shared; False if this process has no share."""
        if not any(s.load() == self._party.word and s.compare_and_swap(self._party.word, 0) for s in self._sharers):
            return False
        self._party.ring(self._holder.load())  # who has claimed the lock waits for this
        self._wake()
        return True

    def abandon(self):
        self._gone = True
        while self.release_shared():
            pass
        self.release()

    def _leave(self, word):
        if not self._holder.compare_and_swap(self._party.word, word):
            return False
        self._wake()
        return True

    def _claim(self):
        """Makes this process the holder, while others may have a share still.
        The word of the holder who died before, 0, or None: it is held."""
        self._inside()
        dead = self._holder.load()
        if dead and not self._party.dead(dead) or not self._holder.compare_and_swap(dead, self._party.word):
            return None
        if self._gone:  # an abandon may have been too early to see this
            self._leave(dead)
            return None
        return dead

    def _share(self):
        """The share is there before the look at the holder, as the claim is
        before the look at the shares: so one of two sees the other."""
        self._inside()
        if not self._is_free() or not self._take(self._sharers):
            return None
        dead = self._holder.load()
        if not self._gone and (dead == 0 or self._party.dead(dead) and self._holder.compare_and_swap(dead, 0)):
            return dead
        self.release_shared()
        return None

    def _take(self, places):
        """Puts the own word into a place that is free, or of one who ended."""
        mine = self._party.word
        for p in places:
            if p.load() == 0 and p.compare_and_swap(0, mine):
                return True
        for p in places:
            word = p.load()
            if word != mine and self._party.dead(word) and p.compare_and_swap(word, mine):
                return True
        return False

    def _is_shared(self):
        for s in self._sharers:
            word = s.load()
            if word and (not self._party.dead(word) or not s.compare_and_swap(word, 0)):
                return True
        return False

    def _is_free(self):
        word = self._holder.load()
        return word == 0 or self._party.dead(word)

    def _has_room(self):
        return any((w := s.load()) == 0 or self._party.dead(w) for s in self._sharers)

    def _stand_by(self):
        """Sees to it that a release wakes this process."""
        return any(p.load() == self._party.word for p in self._waiters) or self._take(self._waiters)

    def _await(self, attempt, can_try, deadline):
        while (dead := attempt()) is None:
            if self._stand_by():
                # The place before the look: it sees a release, or is seen by it.
                self._party.sleep(lambda: self._gone or not self._stand_by() or can_try(), deadline)
            elif deadline is not None and time.monotonic() >= deadline:
                raise Timeout("the time has passed")
            else:
                time.sleep(_places.CROWDED)
        return dead

    def _wake(self):
        for p in self._waiters:
            word = p.load()
            if word and p.compare_and_swap(word, 0):
                self._party.ring(word)
