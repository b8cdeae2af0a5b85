"""Sealed memory that is mapped, and the check of what begins it."""

import ctypes
import fcntl
import mmap
import os
import struct

from ._atomic import Word32, Word64
from ._errors import Damaged, Error

_F_GET_SEALS = 1034  # linux/fcntl.h
_F_SEAL_SHRINK = 2

HEADER_SIZE = 512
MAJOR = 1
_MUST_KNOW = 0xffffffff00000000


class Memory:
    """A part of what is mapped: bytes from an address on. The mapping stays as
    long as the view: a late access is no fault."""

    __slots__ = ("view", "address", "size")

    def __init__(self, view, address):
        self.view = view
        self.address = address
        self.size = len(view)

    def part(self, offset, size):
        if offset < 0 or size < 0 or offset + size > self.size:
            raise ValueError(f"{size} bytes at {offset} are not in {self.size}")
        return Memory(self.view[offset:offset + size], self.address + offset)

    def contains(self, other):
        return self.address <= other.address < self.address + self.size

    def word32(self, offset):
        return Word32(self.address + offset)

    def word64(self, offset):
        return Word64(self.address + offset)


_mapped = []  # for ever


def map_fd(fd, size, writable, keep=True):
    """Without keep it is unmapped when nobody has a view of it any more."""
    access = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
    m = mmap.mmap(fd, size, mmap.MAP_SHARED, access)
    if keep:
        _mapped.append(m)
    view = memoryview(m)
    if writable:
        address = ctypes.addressof(ctypes.c_char.from_buffer(m))
    else:
        address = _address_of(view)
    return Memory(view, address)


def _address_of(view):
    """The address of a read-only buffer, which ctypes gives of writable ones
    only; PyObject_GetBuffer fills a Py_buffer, which begins with it."""
    buffer = (ctypes.c_ssize_t * 32)()
    get = ctypes.pythonapi.PyObject_GetBuffer
    get.argtypes, get.restype = [ctypes.py_object, ctypes.c_void_p, ctypes.c_int], ctypes.c_int
    get(view, ctypes.addressof(buffer), 0)
    _mapped.append(buffer)  # never released: it stays mapped
    return ctypes.c_size_t(buffer[0]).value


def memory_of(data):
    """The Memory of a writable buffer that the caller has, such as an area."""
    if isinstance(data, Memory):
        return data
    view = memoryview(data)
    if view.readonly or not view.contiguous:
        raise Error("the memory is read-only or not in one piece")
    view = view.cast("B")
    return Memory(view, ctypes.addressof(ctypes.c_char.from_buffer(view)) if len(view) else 0)


def sealed_size(fd):
    """The size of a file that cannot shrink, in bytes; Damaged for others."""
    try:
        seals = fcntl.fcntl(fd, _F_GET_SEALS)
    except OSError:
        raise Damaged("it is no memfd") from None
    if not seals & _F_SEAL_SHRINK:
        raise Damaged("it is not sealed against shrinking")
    return os.fstat(fd).st_size


def read_header(fd, magic):
    """A copy of the 512 bytes of a header, whose start and checksum are
    right."""
    header = os.pread(fd, HEADER_SIZE, 0)
    if len(header) < HEADER_SIZE:
        raise Damaged(f"it has {len(header)} bytes, a header has {HEADER_SIZE}")
    have, major, minor, _, features = struct.unpack_from("<8sHHIQ", header)
    if have != magic:
        raise Damaged(f"the magic number is {have!r}, not {magic!r}")
    if major != MAJOR:
        raise Damaged(f"the layout is version {major}.{minor}, this library reads {MAJOR}.x")
    if features & _MUST_KNOW:
        raise Damaged(f"it needs features {features & _MUST_KNOW:#x}, which this library does not have")
    if struct.unpack_from("<I", header, HEADER_SIZE - 4)[0] != crc32c(header[:-4]):
        raise Damaged("the header's checksum is wrong")
    return header


def _table():
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ 0x82f63b78 * (n & 1)
        yield n


_TABLE = tuple(_table())


def crc32c(data):
    """CRC-32C (Castagnoli)."""
    crc = 0xffffffff
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 255]
    return crc ^ 0xffffffff
