"""What locks and condition variables have in common: they begin with a magic
number and a number of places, at which processes can be woken."""

from ._errors import Damaged, Error
from ._memory import memory_of

HEADER = 32
MOST = 1024
CROWDED = 0.001  # seconds that one sleeps who found no place to be woken at


def size(n):
    """Bytes of one with n places."""
    return HEADER + 16 * n


def over(data, least, what):
    """The Memory of data, if such a thing can lie there."""
    memory = memory_of(data)
    if memory.size < least or memory.address % 8:
        raise Error(f"a {what} has {least} bytes at least, from a multiple of 8 on")
    return memory


def count(memory):
    return min(MOST, (memory.size - HEADER) // 16)


def clear(memory):
    """All of a new one but for its magic number, which its maker writes last."""
    memory.word64(0).store(0)
    for at in range(8, size(count(memory)), 8):
        memory.word64(at).store(0)
    memory.word32(8).store(count(memory))


def check(memory, magic, what):
    """Damaged if it is not one that was made of just this memory."""
    begins, places, features = memory.word64(0).load(), memory.word32(8).load(), memory.word32(12).load()
    if begins != magic:
        raise Damaged(f"no {what} is here: it begins with {begins:#x}")
    if places != count(memory) or features:
        raise Damaged(f"the {what} has {places} places and features {features:#x}, its memory has {count(memory)}")
