"""What locks and condition variables have in common: they begin with a magic
number and a number of places, at which processes can be woken."""

from ._errors import Damaged, Error, NotAttached
from ._memory import memory_of

HEADER = 32
MOST = 1024
CROWDED = 0.001  # seconds that one sleeps who found no place to be woken at


def over(data, least, what):
    """The Memory of data, if such a thing can lie there."""
    memory = memory_of(data)
    if memory.size < least or memory.address % 8:
        raise Error(f"a {what} has {least} bytes at least, from a multiple of 8 on")
    return memory


class Placed:
    """A lock or a condition variable as this process has it."""

    MAGIC: int
    WHAT: str

    def __init__(self, party, data):
        self._party = party
        self.memory = over(data, self.size(1), self.WHAT)
        self._count = min(MOST, (self.memory.size - HEADER) // 16)
        self._gone = False  # this process has detached

    @staticmethod
    def size(n):
        """Bytes of one at which n processes can be woken at once; more look
        every millisecond."""
        return HEADER + 16 * n

    @classmethod
    def create(cls, party, data):
        new = cls(party, data)
        word64, word32 = new.memory.word64, new.memory.word32
        word64(0).store(0)
        for at in range(8, cls.size(new._count), 8):
            word64(at).store(0)
        word32(8).store(new._count)
        new._begin()
        word64(0).store(cls.MAGIC)
        party.holds.add(new)
        return new

    @classmethod
    def open(cls, party, data):
        """Damaged if there is none that was made of just this memory."""
        one = cls(party, data)
        word64, word32 = one.memory.word64, one.memory.word32
        begins, places, features = word64(0).load(), word32(8).load(), word32(12).load()
        if begins != cls.MAGIC:
            raise Damaged(f"no {cls.WHAT} is here: it begins with {begins:#x}")
        if places != one._count or features:
            raise Damaged(f"the {cls.WHAT} has {places} places and features {features:#x}, its memory has {one._count}")
        party.holds.add(one)
        return one

    def _begin(self):
        """Stores what is not 0 in a new one."""

    def _inside(self):
        if self._gone:
            raise NotAttached("not attached to a segment")
