"""A table of contents in shared memory: PostgreSQL's shm_toc."""

import errno
from dataclasses import dataclass

from ._errors import Damaged, Error
from ._memory import Memory, memory_of

_MAGIC = int.from_bytes(b"PGBGTOC1", "little")
_UNIT = 32
_MOST = (1 << 24) - 1


@dataclass(frozen=True)
class Chunk:
    """A part of a table's memory; data is writable."""
    data: memoryview
    offset: int


class TOC:
    """Divides memory that processes share into chunks, which they find by a
    number. Nothing is ever given back, and no lock is taken."""

    def __init__(self, data):
        memory = memory_of(data)
        if memory.size < _UNIT or memory.address % 8:
            raise Error(f"a table of contents has {_UNIT} bytes at least, from a multiple of 8 on")
        self._memory: Memory = memory.part(0, memory.size // _UNIT * _UNIT)
        self._taken = self._memory.word64(24)

    @staticmethod
    def size(*chunks):
        """Bytes that a table with such chunks takes (shm_toc_estimate)."""
        return _UNIT + sum(_UNIT + _round(n) for n in chunks)

    @classmethod
    def create(cls, magic, data):
        """Makes an empty table; one process does, before others look for it."""
        t = cls(data)
        m = t._memory
        m.view[:] = bytes(m.size)
        m.word64(0).store(magic)
        m.word64(16).store(m.size)
        m.word64(8).store(_MAGIC)
        return t

    @classmethod
    def open(cls, magic, data):
        """The table that another process made; Damaged if there is none with
        this magic number (BGW-140), or one of another size."""
        t = cls(data)
        made, have, total = (t._memory.word64(at).load() for at in (8, 0, 16))
        if made != _MAGIC or have != magic:
            raise Damaged(f"no table of contents with the magic number {magic:#x}")
        if total != t._memory.size:
            raise Damaged(f"the table of contents has {total} bytes, not {t._memory.size}")
        return t

    def _usage(self):
        word = self._taken.load()
        entries, chunks = word & _MOST, (word >> 24) * _UNIT
        if _UNIT + entries * _UNIT + chunks > self._memory.size:
            raise Damaged(f"{entries} entries and {chunks} bytes are taken of {self._memory.size}")
        return word, entries, chunks

    def _take(self, entries, chunks):
        while True:
            word, had, used = self._usage()
            after = _UNIT + (had + entries) * _UNIT + used + chunks
            if after > self._memory.size or had + entries > _MOST:
                raise OSError(errno.ENOMEM, f"no room in the table of contents: {self.free()} bytes are free")
            if self._taken.compare_and_swap(word, had + entries | (used + chunks) // _UNIT << 24):
                return had, used

    def allocate(self, n):
        """A Chunk of n bytes, at least 1, all 0; OSError (ENOMEM) if there is
        not so much left (BGW-141)."""
        if n <= 0:
            raise Error(f"cannot allocate {n} bytes")
        _, used = self._take(0, _round(n))
        offset = self._memory.size - used - _round(n)
        return Chunk(self._memory.view[offset:offset + n], offset)

    def insert(self, key, chunk):
        """Lets others find a chunk by its key; a key that is there twice names
        the first."""
        entry, _ = self._take(1, 0)
        at = _UNIT + entry * _UNIT
        self._memory.word64(at).store(key)
        self._memory.word64(at + 16).store(len(chunk.data))
        self._memory.word64(at + 8).store(chunk.offset)

    def lookup(self, key):
        """The chunk's bytes, writable, or None."""
        _, entries, chunks = self._usage()
        total = self._memory.size
        for i in range(entries):
            at = _UNIT + i * _UNIT
            offset = self._memory.word64(at + 8).load()
            if offset == 0 or self._memory.word64(at).load() != key:
                continue
            size = self._memory.word64(at + 16).load()
            if not total - chunks <= offset < total or size > total - offset:
                raise Damaged(f"the chunk of key {key} is {size} bytes at {offset} of {total}")
            return self._memory.view[offset:offset + size]
        return None

    def free(self):
        """Bytes left for chunks and their entries, 32 each."""
        word = self._taken.load()
        return max(0, self._memory.size - _UNIT - (word & _MOST) * _UNIT - (word >> 24) * _UNIT)


def _round(n):
    return (n + _UNIT - 1) // _UNIT * _UNIT
