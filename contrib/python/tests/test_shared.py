"""Tables of contents, locks, condition variables, barriers, memory."""

import fcntl
import os
import time
import unittest

import pgbgw
from pgbgw import TOC, Barrier, ConditionVariable, Lock, control
from pgbgw._dynamic import Table
from pgbgw._memory import crc32c, sealed_size
from pgbgw._segment import Segment
from pgbgw._slots import Slots

from .fakes import World, memory, spawn


class TableOfContents(unittest.TestCase):
    def test_chunks(self):
        data = memory(4096)[:TOC.size(100, 8)]
        t = TOC.create(7, data)
        a, b = t.allocate(100), t.allocate(8)
        b.data[:] = b"12345678"
        t.insert(1, a)
        t.insert(2, b)
        self.assertEqual(t.free(), 0)
        with self.assertRaises(OSError):  # BGW-141
            t.allocate(1)
        other = TOC.open(7, data)
        self.assertEqual(bytes(other.lookup(2)), b"12345678")
        self.assertEqual(len(other.lookup(1)), 100)
        self.assertIsNone(other.lookup(3))

    def test_foreign(self):
        data = memory(4096)
        TOC.create(7, data)
        for magic, part in ((8, data), (7, data[:2048]), (7, memory(4096))):
            with self.assertRaises(pgbgw.Damaged):  # BGW-140
                TOC.open(magic, part)

    def test_damage(self):
        data = memory(4096)
        t = TOC.create(7, data)
        t.insert(1, t.allocate(8))
        t._memory.word64(40).store(1 << 50)
        with self.assertRaises(pgbgw.Damaged):
            t.lookup(1)
        t._memory.word64(24).store((1 << 64) - 1)
        with self.assertRaises(pgbgw.Damaged):
            t.allocate(8)
        self.assertEqual(t.free(), 0)


class Locks(unittest.TestCase):
    def setUp(self):
        self.world = World()
        data = memory(4096)[:Lock.size(4)]
        self.parties = [self.world.party(i) for i in range(3)]
        self.locks = [Lock.create(self.parties[0], data)] + [Lock.open(p, data) for p in self.parties[1:]]

    def test_exclusion(self):
        counter = [0]

        def work(lock):
            for _ in range(200):
                with lock:
                    seen = counter[0]
                    os.sched_yield()
                    counter[0] = seen + 1
        for t in [spawn(work, lock) for lock in self.locks]:
            t.join()
        self.assertEqual(counter[0], 600)

    def test_modes(self):
        a, b, c = self.locks
        a.acquire_shared()
        b.acquire_shared()
        self.assertEqual(c.try_acquire(), (False, False))
        t = spawn(c.acquire)
        self.assertTrue(a.release_shared())
        self.assertTrue(b.release_shared())
        self.assertFalse(t.join())
        self.assertEqual(a.try_acquire_shared(), (False, False))
        with self.assertRaises(pgbgw.Timeout):
            a.acquire(timeout=0)
        self.assertTrue(c.release())
        self.assertFalse(c.release())
        self.assertFalse(a.release_shared())

    def test_death(self):
        """BGW-160: the next taker is told, once."""
        a, b, c = self.locks
        a.acquire()
        t = spawn(b.acquire)
        self.world.slots.ended.add(self.parties[0].word)
        self.assertTrue(t.join())
        b.release()
        self.assertEqual(c.try_acquire(), (True, False))

    def test_detach_releases(self):
        a, b, _ = self.locks
        a.acquire()
        self.parties[0].end_all()
        self.assertEqual(b.try_acquire(), (True, False))

    def test_after_a_detach(self):
        """A process that has detached takes nothing any more."""
        a, b, _ = self.locks
        self.parties[0].end_all()
        for f in (a.acquire, a.try_acquire, a.acquire_shared, a.try_acquire_shared):
            with self.assertRaises(pgbgw.NotAttached):
                f()
        self.assertFalse(a.release())
        self.assertEqual(b.try_acquire(), (True, False))

    def test_foreign(self):
        with self.assertRaises(pgbgw.Damaged):
            Lock.open(self.parties[0], memory(4096))


class Conditions(unittest.TestCase):
    def setUp(self):
        self.world = World()
        self.data = memory(4096)[:ConditionVariable.size(3)]
        self.parties = [self.world.party(i) for i in range(4)]
        self.cv = ConditionVariable.create(self.parties[0], self.data)

    def others(self):
        return [ConditionVariable.open(p, self.data) for p in self.parties[1:]]

    def test_broadcast(self):
        flag = []
        tasks = [spawn(cv.wait_for, lambda: bool(flag)) for cv in self.others()]
        flag.append(1)
        self.cv.broadcast()
        self.assertEqual([t.join() for t in tasks], [True] * 3)

    def test_signal(self):
        """Each signal wakes one; one who is too late hands it on."""
        tokens = []

        def take():
            try:
                tokens.pop()
                return True
            except IndexError:
                return False
        tasks = [spawn(cv.wait_for, take) for cv in self.others()]
        for _ in tasks:
            tokens.append(1)
            self.cv.signal()
        self.assertEqual([t.join() for t in tasks], [True] * 3)

    def test_timeout(self):
        self.assertFalse(self.cv.wait_for(lambda: False, timeout=0))
        self.cv.signal()  # nobody is left

    def test_crowd(self):
        flag = []
        data = memory(4096)[:ConditionVariable.size(1)]
        ConditionVariable.create(self.parties[0], data)
        tasks = [spawn(ConditionVariable.open(p, data).wait_for, lambda: bool(flag)) for p in self.parties[1:]]
        flag.append(1)
        self.cv.broadcast()
        ConditionVariable.open(self.parties[0], data).broadcast()
        self.assertEqual([t.join() for t in tasks], [True] * 3)

    def test_after_a_detach(self):
        """A process that has detached takes no place, where a signal for
        another would go."""
        self.cv._party.end_all()
        for predicate in (lambda: False, lambda: True):
            with self.assertRaises(pgbgw.NotAttached):
                self.cv.wait_for(predicate)
        self.assertEqual([party.load() for party, _ in self.cv._places], [0] * len(self.cv._places))

    def test_process_detaches(self):
        """Who waits in a process that detaches waits no more, and its place is
        another's."""
        waits = spawn(self.cv.wait_for, lambda: False)
        while all(cell.load() == 0 for _, cell in self.cv._places):
            time.sleep(0.001)
        self.cv._party.end_all()
        with self.assertRaises(pgbgw.NotAttached):
            waits.join()
        self.assertEqual([party.load() for party, _ in self.cv._places], [0] * len(self.cv._places))


class Barriers(unittest.TestCase):
    def setUp(self):
        self.world = World()
        self.data = memory(4096)[:Barrier.size(3)]
        self.parties = [self.world.party(i) for i in range(3)]

    def test_static(self):
        """BGW-158: all meet, one is elected, phase by phase."""
        Barrier.create(self.parties[0], self.data, 3)
        barriers = [Barrier.open(p, self.data) for p in self.parties]
        for phase in range(20):
            self.assertEqual(barriers[0].phase, phase)
            elected = [t.join() for t in [spawn(b.arrive_and_wait) for b in barriers]]
            self.assertEqual(elected.count(True), 1)
        with self.assertRaises(pgbgw.Error):
            barriers[0].attach()
        with self.assertRaises(pgbgw.Timeout):
            barriers[0].arrive_and_wait(timeout=0)
        tasks = [spawn(b.arrive_and_wait) for b in barriers]
        self.assertEqual([t.join() for t in tasks].count(True), 1)

    def test_interrupted(self):
        """Whose wait ends with an exception has not arrived."""
        class Asked(Exception):
            pass

        def interrupted(_):
            raise Asked
        a = Barrier.create(self.parties[0], self.data, 2)
        self.parties[0].latch.sleep = interrupted
        with self.assertRaises(Asked):
            a.arrive_and_wait()
        with self.assertRaises(pgbgw.Timeout):
            Barrier.open(self.parties[1], self.data).arrive_and_wait(timeout=0)
        self.assertEqual(a.phase, 0)

    def test_dynamic(self):
        a = Barrier.create(self.parties[0], self.data)
        b = Barrier.open(self.parties[1], self.data)
        self.assertEqual((a.attach(), b.attach()), (0, 0))
        t = spawn(a.arrive_and_wait)
        b.detach()
        self.assertTrue(t.join())  # a detach advanced it: the one who waits is elected
        self.assertEqual(a.phase, 1)
        self.assertEqual(b.attach(), 1)
        self.assertFalse(b.arrive_and_detach_except_last())
        self.assertTrue(a.arrive_and_detach_except_last())
        self.assertEqual((a.phase, a.participants), (2, 1))
        self.assertTrue(a.arrive_and_detach())
        self.assertEqual((a.phase, a.participants), (3, 0))
        with self.assertRaises(pgbgw.Error):
            a.detach()

    def test_process_detaches(self):
        """A process that detaches takes its participants along, and who waits
        in it has not arrived."""
        a = Barrier.create(self.parties[0], self.data)
        b, c = [Barrier.open(p, self.data) for p in self.parties[1:]]
        for x in (a, b, c):
            x.attach()
        waits, goes = spawn(a.arrive_and_wait), spawn(b.arrive_and_wait)
        while (a._state.load() >> 47 & 0x7fff) < 2:
            time.sleep(0.001)
        self.parties[1].end_all()
        with self.assertRaises(pgbgw.NotAttached):
            goes.join()
        self.assertEqual((a.phase, a.participants), (0, 2))
        self.parties[2].end_all()
        self.assertTrue(waits.join())
        self.assertEqual((a.phase, a.participants), (1, 1))
        for f in (b.attach, b.arrive_and_wait, b.detach):
            with self.assertRaises(pgbgw.NotAttached):
                f()
        with self.assertRaises(pgbgw.Error):  # never attached
            Barrier.open(self.world.party(7), self.data).arrive_and_wait(timeout=0)


class Dynamic(unittest.TestCase):
    def setUp(self):
        self.told, self.given_up = [], []
        self.table = Table(self.call, self.given_up.append)

    def call(self, record):
        self.told.append(record)
        fd = os.memfd_create("dynamic", os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, 4096)
        fcntl.fcntl(fd, 1033, 2)  # F_ADD_SEALS, F_SEAL_SHRINK
        if record.type == control.Type.DYNAMIC_READY:
            os.close(fd)
            fd = -1
        return control.Record(record.type | control.ANSWER, segment=8 * len(self.told), size=100), fd

    def test_callbacks(self):
        """BGW-138, and one that fails keeps nothing from being done."""
        seen = []
        d, _ = self.table.ask(control.Record(control.Type.DYNAMIC_CREATE, size=100))
        d.on_detach(seen.append, "a")
        d.on_detach(lambda: [][0])
        d.on_detach(seen.append, "b")
        with self.assertRaises(IndexError):
            d.detach()
        self.assertEqual(seen, ["b", "a"])
        self.assertEqual(len(self.given_up), 1)
        self.assertEqual(self.told[-1].type, control.Type.DYNAMIC_DETACH)
        d.detach()
        self.assertEqual(len(self.told), 2)

    def test_all(self):
        seen = []
        for i in range(3):
            d, _ = self.table.ask(control.Record(control.Type.DYNAMIC_CREATE, size=100))
            d.on_detach(seen.append, i)
            d.on_detach(lambda: [][0])
        with self.assertRaises(IndexError):
            self.table.leave()
        self.assertEqual((seen, len(self.given_up)), ([2, 1, 0], 3))

    def test_filling_fails(self):
        """Others learn of it also when a callback of what was filled fails."""
        def init(data):
            d, = self.table.all.values()
            d.on_detach(lambda: [][0])
            raise KeyError
        with self.assertRaises((KeyError, IndexError)):
            self.table.named("n", 100, init)
        self.assertEqual((self.told[-1].type, self.told[-1].done), (control.Type.DYNAMIC_READY, False))
        self.assertEqual(self.table.all, {})


class Memory(unittest.TestCase):
    def test_checksum(self):
        self.assertEqual(crc32c(b"123456789"), 0xe3069283)  # the check value of CRC-32C

    def test_what_is_no_segment(self):
        with open(__file__, "rb") as f:
            with self.assertRaises(pgbgw.Damaged):
                sealed_size(f.fileno())
        fd = os.memfd_create("loose", os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, 1 << 20)
        for kind in (Segment, Slots):
            with self.assertRaisesRegex(pgbgw.Damaged, "not sealed"):
                kind(fd)
        os.close(fd)
