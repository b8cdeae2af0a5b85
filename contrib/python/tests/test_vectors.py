"""Memory that every library has to accept or to refuse: the vectors of Go's
package shm, whose documentation describes the format."""

import fcntl
import glob
import os
import unittest

import pgbgw
from pgbgw import TOC, Barrier, ConditionVariable, Lock
from pgbgw._queue import Queue
from pgbgw._segment import Segment
from pgbgw._slots import Slots

from .fakes import World, memory

VECTORS = os.path.join(os.path.dirname(__file__), "../../../shm/testdata/vectors")
_F_ADD_SEALS = 1033
_SEALS = 1 | 2 | 4  # seal, shrink, grow


class Vector:
    def __init__(self, path):
        self.size, self.key, self.parts, self.areas, self.accept = 0, 0, [], [], None
        with open(path, encoding="utf-8") as f:
            for line in f:
                match line.split():
                    case [] | ["#", *_]:
                        pass
                    case ["kind", kind]:
                        self.kind = kind
                    case ["size", n]:
                        self.size = int(n)
                    case ["key", n]:
                        self.key = int(n, 0)
                    case ["at", offset, *data]:
                        self.parts.append((int(offset.rstrip(":")), bytes.fromhex("".join(data))))
                    case ["accept" | "refuse" as word]:
                        self.accept = word == "accept"
                    case ["area", *name, size, result]:
                        self.areas.append((" ".join(name), int(size), result))
                    case _:
                        raise AssertionError(f"{path}: {line!r}")

    def file(self):
        fd = os.memfd_create("vector", os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, self.size)
        for offset, data in self.parts:
            os.pwrite(fd, data, offset)
        fcntl.fcntl(fd, _F_ADD_SEALS, _SEALS)
        return fd

    def memory(self):
        m = memory(max(self.size, 1))[:self.size]
        for offset, data in self.parts:
            m[offset:offset + len(data)] = data
        return m

    def open(self):
        party = World().party(0)
        match self.kind:
            case "segment" | "slots":
                fd = self.file()
                try:
                    return (Segment if self.kind == "segment" else Slots)(fd)
                finally:
                    os.close(fd)
            case "queue":
                return Queue.open(party, self.memory())
            case "lock":
                return Lock.open(party, self.memory())
            case "condition":
                return ConditionVariable.open(party, self.memory())
            case "barrier":
                return Barrier.open(party, self.memory())
            case "toc":
                return TOC.open(self.key, self.memory())
        raise AssertionError(f"unknown kind {self.kind}")


class Vectors(unittest.TestCase):
    def test_all(self):
        paths = sorted(glob.glob(os.path.join(VECTORS, "*.txt")))
        self.assertGreater(len(paths), 60)
        for path in paths:
            with self.subTest(os.path.basename(path)):
                v = Vector(path)
                self.assertIsNotNone(v.accept)
                if not v.accept:
                    with self.assertRaises(pgbgw.Error):
                        v.open()
                    continue
                segment = v.open()
                for name, size, result in v.areas:
                    if result == "error":
                        with self.assertRaises((pgbgw.Error, OSError)):
                            segment.area(name, size)
                        continue
                    area, found = segment.area(name, size)
                    self.assertEqual((found, area.address - segment.memory.address), (True, int(result)))
