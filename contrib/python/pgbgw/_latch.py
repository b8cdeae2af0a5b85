"""The process's own latch, and its sleep."""

import enum
import os
import select
import struct
import threading
import time

from ._errors import Error, SupervisorDied

PATROL = 1.0  # seconds after which who waits for another process looks whether it lives

_LONGEST = 86400.0  # seconds of one poll(2), which cannot take any time

_SET = 1
_WAITING = 2
_OWNED = 4
_TAPPED = 8
_ONE = struct.pack("<Q", 1)


def ring(fd):
    """Sets the latch behind an eventfd. Never waits; a full counter is no
    error: the owner will wake."""
    try:
        os.write(fd, _ONE)
    except BlockingIOError:
        pass


class Event(enum.Enum):
    """Why a wait returned; where several are true, the first of these."""
    LATCH_SET = "latch set"             # WL_LATCH_SET
    SUPERVISOR_DIED = "supervisor died"  # WL_POSTMASTER_DEATH
    TIMEOUT = "timeout"                 # WL_TIMEOUT


class Latch:
    """Others set it, this process waits for it and resets it. The two loops
    that lose no wake-up are reset, check, wait, and check, wait, reset. It may
    be found set though nothing new is there.

    It works through its eventfd alone: who sets it makes a system call, but
    nobody has to trust a word of shared memory. So it also works unattached."""

    def __init__(self, fd, death):
        self.fd = fd
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)
        self._death = death
        if death >= 0:
            self._poll.register(death, 0)  # a hang-up is always reported
        self._is_set = False
        self._waiting = threading.Lock()

    def fileno(self):
        """Readable when the latch is set, for select and the like; call
        is_set() then. -1 once the worker is closed."""
        return self.fd

    def set(self):
        """Sets the latch; signal handlers may call it, also after the worker
        was closed, when it does nothing."""
        if (fd := self.fd) >= 0:
            ring(fd)

    def reset(self):
        """Makes the latch not set. What is looked at after it was written
        before any set that is still to come."""
        self._drain()
        self._is_set = False

    def is_set(self):
        self._drain()
        return self._is_set

    def wait(self, timeout=None):
        """Waits until the latch is set, the supervisor dies, or so many seconds
        have passed (None: for ever; 0: only looks), and returns the Event. The
        latch stays set: see reset. A signal whose handler raises ends it with
        that exception; others do not."""
        self._use()
        if self._is_set:
            return Event.LATCH_SET
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._alone():
            return self._sleep(deadline)

    def sleep(self, deadline):
        """Waits for a ring, for the sake of something else than the latch,
        which it then sets: True if there was one. No longer than PATROL."""
        end = time.monotonic() + PATROL
        with self._alone():
            event = self._sleep(end if deadline is None else min(end, deadline))
        if event is Event.SUPERVISOR_DIED:
            raise SupervisorDied("the supervisor died")
        return event is Event.LATCH_SET

    def leave(self):
        """Ends the use of the descriptor, whose number may be another file's
        soon; it is closed by who calls this."""
        self.fd = -1

    def _use(self):
        if self.fd < 0:
            raise Error("the latch is closed, or that of the process which this one was forked from")

    def _alone(self):
        if not self._waiting.acquire(blocking=False):
            raise Error("cannot wait: another thread already does")
        return _Held(self._waiting)

    def _sleep(self, deadline):
        while True:
            self._use()
            left = None if deadline is None else min(_LONGEST, max(0, deadline - time.monotonic()))
            ready = dict(self._poll.poll(None if left is None else -(-left * 1000 // 1)))
            if self.fd in ready and self._drain():
                return Event.LATCH_SET
            if self._death in ready:
                return Event.SUPERVISOR_DIED
            if left == 0:
                return Event.TIMEOUT

    def _drain(self):
        self._use()
        try:
            os.read(self.fd, 8)
        except BlockingIOError:
            return False
        self._is_set = True
        return True


class _Held:
    def __init__(self, lock):
        self._lock = lock

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._lock.release()


def enter(word):
    """Takes away what the slot's last owner left in the word: without bit 4
    everybody who sets the latch rings."""
    word.fetch_and(~(_SET | _WAITING | _OWNED | _TAPPED))
