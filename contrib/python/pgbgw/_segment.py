"""The segment as a worker has it: mapped, with a checked copy of its header."""

import errno
import os
import struct
import threading

from . import _atomic
from ._errors import AreaSize, Damaged, Error
from ._memory import map_fd, read_header, sealed_size

MAGIC = b"PGBGWSEG"
MAX_SIZE = 1 << 40
MAX_AREA_NAME = 47
_STATE = 2048
_WORDS, _RECORDS, _DATA, _LATCHES, _TRANCHE_WORDS, _TRANCHE_NAMES = range(6)
_SECTION = struct.Struct("<QQII")
_RECORD = struct.Struct("<48sQQ")


class _Header:
    def __init__(self, raw, size):
        self.room, = struct.unpack_from("<I", raw, 12)
        total, self.incarnation = struct.unpack_from("<QQ", raw, 24)
        count, = struct.unpack_from("<I", raw, 104)
        self.name = raw[40:104].split(b"\0")[0].decode(errors="replace")
        if total != size:
            raise Damaged(f"the header says {total} bytes, the file has {size}")
        if not 4096 <= size <= MAX_SIZE:
            raise Damaged(f"the file has {size} bytes")
        if not _STATE + 4 <= self.room <= size:
            raise Damaged(f"the header says that it takes {self.room} bytes")
        if count != 16:
            raise Damaged(f"the header has {count} sections, 16 are expected")
        if self.incarnation == 0:
            raise Damaged("the incarnation is 0")
        self.sections = [_SECTION.unpack_from(raw, 112 + 24 * i) for i in range(16)]
        for number in range(16):
            self._check(number, size)
        self._check_known()

    def _check(self, number, size):
        offset, length, stride, count = self.sections[number]
        if length == 0:
            if count or offset:
                raise Damaged(f"section {number} is absent and has an offset or a count")
            return
        if offset < self.room or offset > size or length > size - offset:
            raise Damaged(f"section {number} (offset {offset}, length {length}) is outside of {size} bytes")
        if offset % 128:
            raise Damaged(f"section {number} begins at {offset}, which is no multiple of 128")
        if stride * count > length:
            raise Damaged(f"section {number} has {count} entries of {stride} bytes in {length} bytes")
        for other, (at, n, _, _) in enumerate(self.sections[:number]):
            if n and offset < at + n and at < offset + length:
                raise Damaged(f"sections {other} and {number} overlap")

    def _check_known(self):
        wanted = [(_WORDS, 8, 1 << 16), (_RECORDS, 64, 1 << 17), (_LATCHES, 64, 16384)]
        if self.sections[_TRANCHE_WORDS][1] or self.sections[_TRANCHE_NAMES][1]:
            wanted += [(_TRANCHE_WORDS, 8, 1 << 16), (_TRANCHE_NAMES, 64, 1 << 17)]
        for number, stride, most in wanted:
            _, length, have, count = self.sections[number]
            if not length or have != stride or not 1 <= count <= most:
                raise Damaged(f"section {number} has {count} entries of {have} bytes, expected are 1 to {most} of {stride}")
        if not self.sections[_DATA][1]:
            raise Damaged("there is no room for areas")


class Segment:
    """Maps and checks the segment behind fd, which is not kept."""

    def __init__(self, fd):
        size = sealed_size(fd)
        self.header = _Header(read_header(fd, MAGIC), size)
        self.memory = map_fd(fd, size, True)
        self._spare = None
        self._lock = threading.Lock()

    def latch(self, slot):
        """The word of a slot's latch."""
        offset, _, stride, count = self.header.sections[_LATCHES]
        if slot >= count:
            raise Damaged(f"slot {slot} has no latch")
        return self.memory.word32(offset + slot * stride)

    def area(self, name, size):
        """(memory, found): see Worker.area. A size of None only looks; the
        memory is then None where there is none."""
        raw = name.encode()
        if not 1 <= len(raw) <= MAX_AREA_NAME or b"\0" in raw:
            raise Error(f"area name {name!r} has to have 1 to {MAX_AREA_NAME} bytes, none of them NUL")
        if size is not None and size <= 0:
            raise Error(f"area {name!r} cannot have {size} bytes, 1 is the least")
        _atomic.require()
        with self._lock:
            return self._walk(raw, name, size)

    def _walk(self, raw, name, size):
        words, _, _, count = self.header.sections[_WORDS]
        end, room, _, _ = self.header.sections[_DATA]
        limit = end + room
        for i in range(count):
            word = self.memory.word64(words + 8 * i)
            published = word.load()
            if published == 0:
                if size is None:
                    return None, False
                published = self._publish(word, raw, size, end, limit)
                if published == 0:
                    return self.memory.part(end, size), False
            have, length = self._read(published, end, limit)
            if have == raw:
                if size is not None and length != size:
                    raise AreaSize(f"cannot use area {name!r} with {size} bytes: the area has another size, {length} bytes")
                return self.memory.part(end, length), True
            end = min(end + (length + 127) // 128 * 128, limit)
        if size is None:
            return None, False
        raise OSError(errno.ENOSPC, f"cannot make area {name!r}: the segment has {count} areas, which is the most")

    def _publish(self, word, raw, size, end, limit):
        """Makes the area, and returns 0; or what somebody else has published."""
        if size > limit - end:
            raise OSError(errno.ENOMEM, f"cannot make area {raw.decode()!r}: it has {size} bytes, the segment has {limit - end} left")
        number = self._take()
        at = self.header.sections[_RECORDS][0] + 64 * number
        self.memory.view[at:at + 64] = _RECORD.pack(raw, size, end)
        if word.compare_and_swap(0, number + 1):
            return 0
        self._spare = number
        return word.load()

    def _take(self):
        """The number of a record that is this process's to write."""
        if self._spare is not None:
            number, self._spare = self._spare, None
            return number
        count = self.header.sections[_RECORDS][3]
        taken = self.memory.word32(_STATE)
        while True:
            n = taken.load()
            if n >= count:
                raise OSError(errno.ENOSPC, f"all {count} records of the segment are used up")
            if taken.compare_and_swap(n, n + 1):
                return n

    def _read(self, word, end, limit):
        """Name and size of the record that a word names, which is checked."""
        records, _, _, count = self.header.sections[_RECORDS]
        if word > count:
            raise Damaged(f"area record {word} of {count}")
        at = records + 64 * (word - 1)
        name, size, offset = _RECORD.unpack(bytes(self.memory.view[at:at + 64]))
        if offset != end:
            raise Damaged(f"area record {word - 1} has the offset {offset}, expected is {end}")
        if not 1 <= size <= limit - end:
            raise Damaged(f"area record {word - 1} has {size} bytes at {end} of {limit}")
        if name[0] == 0 or name[MAX_AREA_NAME] != 0:
            raise Damaged(f"area record {word - 1} has no name")
        return name.split(b"\0")[0], size


def close(fd):
    try:
        os.close(fd)
    except OSError:
        pass
