"""The table of all workers, which the supervisor writes."""

import enum
import struct
import time
from dataclasses import dataclass

from . import _atomic
from ._errors import Damaged, Error
from ._memory import map_fd, read_header, sealed_size

MAGIC = b"PGBGWSLT"
_ROOM = 4096
_ENTRY = 512
_STATE = 2048
_FIELDS = struct.Struct("<QQQiIIIiiqqqQ16s96s96s64s")
_TRIES = 1000
_SERIAL = (1 << 24) - 1


class State(enum.IntEnum):
    """What the supervisor does with a slot."""
    FREE = 0
    WAITING = 1
    STARTING = 2
    RUNNING = 3
    STOPPING = 4
    RESTARTING = 5
    HELD = 6
    ENDED = 7


class Status(enum.IntEnum):
    """PostgreSQL's BgwHandleStatus."""
    STARTED = 0
    NOT_YET_STARTED = 1
    STOPPED = 2
    POSTMASTER_DIED = 3


_WITH_PROCESS = (State.STARTING, State.RUNNING, State.STOPPING)


@dataclass(frozen=True)
class Slot:
    """A consistent copy of one entry; times are microseconds since 1970, 0
    never."""
    generation: int = 0
    start: int = 0
    pid: int = 0
    state: int = 0
    status: int = 0
    attached: bool = False
    dynamic: bool = False
    ready: bool = False
    exit_code: int = 0    # -1: none
    exit_signal: int = 0  # 0: none
    registered: int = 0
    changed: int = 0
    next_start: int = 0
    restarts: int = 0
    name: str = ""
    type: str = ""
    segment: str = ""


class Slots:
    """A view of the slot table. It makes no system call, and works on after the
    supervisor's death."""

    def __init__(self, fd):
        size = sealed_size(fd)
        header = read_header(fd, MAGIC)
        room, = struct.unpack_from("<I", header, 12)
        entry, self._count = struct.unpack_from("<II", header, 24)
        if entry != _ENTRY or room != _ROOM or not 1 <= self._count <= 16384:
            raise Damaged(f"it has {self._count} entries of {entry} bytes after {room}")
        if size < _ROOM + self._count * _ENTRY:
            raise Damaged(f"it has {size} bytes, {self._count} entries take {_ROOM + self._count * _ENTRY}")
        self._memory = map_fd(fd, _ROOM + self._count * _ENTRY, False)

    def max(self):
        """max_worker_processes now."""
        return min(struct.unpack_from("<I", self._memory.view, _STATE + 4)[0], self._count)

    def used(self):
        """One more than the highest slot that was ever used."""
        return min(struct.unpack_from("<I", self._memory.view, _STATE)[0], self._count)

    def entry(self, slot):
        """A Slot; the error says that there is no such slot, or that the
        supervisor died while it wrote it."""
        if not 0 <= slot < self._count:
            raise Error(f"slot {slot} does not exist, the table has {self._count}")
        if slot >= self.used():
            return Slot()  # reading a hole would allocate it
        for i in range(_TRIES):
            raw = self._copy(slot)
            if raw is not None:
                return _decode(raw)
            time.sleep(0 if i < _TRIES / 2 else 0.001)
        raise Error(f"slot {slot} was left half written")

    def __iter__(self):
        """(number, Slot) of those that are or were used."""
        for number in range(self.used()):
            slot = self.entry(number)
            if slot.state != State.FREE:
                yield number, slot

    def _copy(self, slot):
        at = _ROOM + slot * _ENTRY
        version = self._memory.word64(at)
        before = version.load()
        raw = bytes(self._memory.view[at:at + _ENTRY])
        _atomic.fence()  # or the copy may be younger than the second look
        if before & 1 or version.load() != before or struct.unpack_from("<Q", raw)[0] != before:
            return None
        return raw

    def dead(self, word):
        """Whether the process of a party word is known to have ended."""
        number = (word & 0xffff) - 1
        if not 0 <= number < self.used():
            return False
        raw = self._copy(number)
        if raw is None:
            return False
        slot = _decode(raw)
        generation, start = word >> 16 & _SERIAL, word >> 40
        if slot.generation & _SERIAL != generation:
            return _newer(slot.generation, generation)
        if start and slot.start & _SERIAL != start:
            return _newer(slot.start, start)
        return slot.state not in _WITH_PROCESS

    def stopped(self, handle):
        """Whether a registration has no process and is not about to get one."""
        if not 0 <= handle.slot < self.used():
            return False
        raw = self._copy(handle.slot)
        if raw is None:
            return False
        slot = _decode(raw)
        if slot.generation != handle.generation:
            return slot.generation > handle.generation
        return slot.status == Status.STOPPED and slot.state not in _WITH_PROCESS


def _newer(a, b):
    return 0 < (a - b & _SERIAL) < 1 << 23


def _decode(raw):
    (_, generation, start, pid, state, status, flags, exit_code, exit_signal,
     registered, changed, next_start, restarts, _, name, kind, segment) = _FIELDS.unpack_from(raw)
    return Slot(
        generation=generation, start=start, pid=pid, state=state, status=status, attached=bool(flags & 1),
        dynamic=bool(flags & 2), ready=bool(flags & 4), exit_code=exit_code, exit_signal=exit_signal,
        registered=registered, changed=changed, next_start=next_start, restarts=restarts,
        name=_text(name), type=_text(kind), segment=_text(segment))


def _text(raw):
    return raw.split(b"\0")[0].decode(errors="replace")


def party_word(entry):
    """The word that names this process in shared memory."""
    return entry.handle.slot + 1 | (entry.handle.generation & _SERIAL) << 16 | (entry.start & _SERIAL) << 40
