"""Background workers of pg-bgw in Python, with the standard library alone.

A program that pg-bgwd starts opens what it was given, attaches to its segment,
and works when its latch is set:

    import pgbgw

    with pgbgw.Worker() as w:          # leaving the block detaches
        w.attach()
        counter, found = w.area("myext counter", 8)
        w.ready("working")
        while True:
            w.latch.reset()
            ...                        # look for work
            if w.latch.wait(10) is pgbgw.Event.SUPERVISOR_DIED:
                break

This package speaks the same records and the same memory layout as Go's package
shm, whose documentation describes both, byte by byte; nothing else is shared.
It starts no thread and no process, and installs no signal handler. Memory that
other workers write is never trusted: damage is an error (Damaged), not a fault.

Atomic operations. Python has loads and stores of 8 aligned bytes, but no
compare-and-swap and no barrier. Both come from libatomic (Debian: libatomic1),
GCC's run-time library, by ctypes: every access to a word that processes share
is one call of it, sequentially consistent, so that the order that the layout
asks for holds on amd64 and on arm64. Without that library the worker's life
(ready, register, wait, terminate) and its latch work, and all that looks at
shared memory raises NoAtomics.

Threads. The methods of a Worker may be called from any thread, but only one
thread at a time may wait (for the latch, a queue, a lock or a condition
variable): another one gets an error.

A process that was forked from a worker (os.fork, multiprocessing) is no worker:
what its parent opened raises errors there, or does nothing, so that a child that
leaves a "with" block does not detach its parent or release its parent's lock. Only
the memory itself it still has.
"""

from ._atomic import NoAtomics
from ._barrier import Barrier
from ._condition import ConditionVariable
from ._dynamic import DynamicSegment
from ._environment import BackgroundWorker, Handle
from ._errors import (AreaSize, Damaged, Detached, Error, NoPeer, NotAttached,
                      NotWorker, Refused, SupervisorDied, Taken, Timeout, Unfinished, WouldBlock)
from ._latch import Event
from ._lock import Lock
from ._queue import MAX_MESSAGE, Queue, Receiver, Sender
from ._slots import Slot, Slots, State, Status
from ._toc import TOC
from ._worker import NEVER_RESTART, Worker

__all__ = [
    "AreaSize", "BackgroundWorker", "Barrier", "ConditionVariable", "Damaged", "Detached", "DynamicSegment", "Error",
    "Event", "Handle", "Lock", "MAX_MESSAGE", "NEVER_RESTART", "NoAtomics", "NoPeer",
    "NotAttached", "NotWorker", "Queue", "Receiver", "Refused", "Sender", "Slot", "Slots", "State",
    "Status", "SupervisorDied", "TOC", "Taken", "Timeout", "Unfinished", "Worker", "WouldBlock",
]
