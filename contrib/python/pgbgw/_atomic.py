"""Atomic operations on shared memory, by libatomic: see the package."""

import ctypes

from ._errors import Error

_SEQ_CST = 5  # __ATOMIC_SEQ_CST


class NoAtomics(Error):
    """libatomic is not installed, and without it this cannot be done."""


def _load():
    try:
        return _declare(ctypes.CDLL("libatomic.so.1"))
    except (OSError, AttributeError):
        return None


def _declare(lib):
    pointer, order = ctypes.c_void_p, ctypes.c_int
    for size, word in ((4, ctypes.c_uint32), (8, ctypes.c_uint64)):
        for name, result, arguments in (
                ("load", word, [pointer, order]),
                ("store", None, [pointer, word, order]),
                ("fetch_or", word, [pointer, word, order]),
                ("fetch_and", word, [pointer, word, order]),
                ("fetch_add", word, [pointer, word, order]),
                ("compare_exchange", ctypes.c_bool, [pointer, pointer, word, order, order])):
            f = getattr(lib, f"__atomic_{name}_{size}")
            f.restype, f.argtypes = result, arguments
    lib.atomic_thread_fence.restype, lib.atomic_thread_fence.argtypes = None, [order]
    return lib


_lib = _load()


def require():
    """Raises NoAtomics where there is no libatomic."""
    if _lib is None:
        raise NoAtomics("this needs atomic operations, which Python has not: install libatomic (Debian: libatomic1)")


def fence():
    """What was read or written before it was, before what comes after it."""
    _lib.atomic_thread_fence(_SEQ_CST)


class _Word:
    """A word of shared memory at an address that stays mapped."""

    __slots__ = ("_address",)

    def __init__(self, address):
        require()
        self._address = address


def _word(size, mask, kind):
    name = f"_{size}"

    def load(self):
        return _load_word(self._address, _SEQ_CST)

    def store(self, value):
        _store_word(self._address, value, _SEQ_CST)

    def fetch_or(self, value):
        return _or_word(self._address, value, _SEQ_CST)

    def fetch_and(self, value):
        return _and_word(self._address, value & mask, _SEQ_CST)

    def fetch_add(self, value):
        return _add_word(self._address, value, _SEQ_CST)

    def compare_and_swap(self, old, new):
        expected = kind(old)
        return _swap_word(self._address, ctypes.byref(expected), new, _SEQ_CST, _SEQ_CST)

    if _lib is not None:
        _load_word = getattr(_lib, "__atomic_load" + name)
        _store_word = getattr(_lib, "__atomic_store" + name)
        _or_word = getattr(_lib, "__atomic_fetch_or" + name)
        _and_word = getattr(_lib, "__atomic_fetch_and" + name)
        _add_word = getattr(_lib, "__atomic_fetch_add" + name)
        _swap_word = getattr(_lib, "__atomic_compare_exchange" + name)
    return {"__slots__": (), "load": load, "store": store, "fetch_or": fetch_or, "fetch_and": fetch_and,
            "fetch_add": fetch_add, "compare_and_swap": compare_and_swap}


Word32 = type("Word32", (_Word,), _word(4, (1 << 32) - 1, ctypes.c_uint32))
Word64 = type("Word64", (_Word,), _word(8, (1 << 64) - 1, ctypes.c_uint64))


def available():
    """Whether there is a libatomic."""
    return _lib is not None
