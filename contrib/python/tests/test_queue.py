import random
import unittest

import pgbgw
from pgbgw._queue import Queue

from .fakes import World, handle, memory, spawn


class Queues(unittest.TestCase):
    def setUp(self):
        self.world = World()
        self.a, self.b = self.world.party(0), self.world.party(1)

    def pair(self, size=4096):
        data = memory(max(size, 64))[:size]
        sender = Queue.create(self.a, data).sender()
        return sender, Queue.open(self.b, data).receiver()

    def test_messages(self):
        for size in (64, 100, 4095, 4096, 65536):
            s, r = self.pair(size)
            messages = [bytes(random.randbytes(n)) for n in (0, 1, 7, 8, 9, 100, 1000, 3 * size, 0)]

            def send():
                for m in messages:
                    s.send(m)
                s.detach()
            t = spawn(send)
            self.assertEqual(list(r), messages, size)
            t.join()

    def test_nowait(self):
        """BGW-146, BGW-147: what would block says so, and goes on later."""
        s, r = self.pair(64)
        with self.assertRaises(pgbgw.WouldBlock):
            r.try_receive()
        with self.assertRaises(pgbgw.WouldBlock):
            s.try_send(b"x" * 100)
        with self.assertRaises(pgbgw.Unfinished):
            s.try_send(b"x" * 101)
        got = None
        while got is None:
            try:
                s.try_send(b"x" * 100)
            except pgbgw.WouldBlock:
                pass
            try:
                got = r.try_receive()
            except pgbgw.WouldBlock:
                pass
        self.assertEqual(got, b"x" * 100)
        self.assertTrue(self.a.latch.is_set())

    def test_flush(self):
        """BGW-152."""
        s, r = self.pair()
        s.send(b"one", flush=False)
        with self.assertRaises(pgbgw.WouldBlock):
            r.try_receive()
        s.flush()
        self.assertEqual(r.try_receive(), b"one")
        s.send(b"two", flush=False)
        s.detach()
        self.assertEqual(r.receive(), b"two")
        with self.assertRaises(pgbgw.Detached):
            r.receive()

    def test_detach(self):
        """BGW-149: the sender learns of it, asleep or not."""
        s, r = self.pair(64)
        t = spawn(lambda: s.send(b"x" * 1000))
        self.assertEqual(r._q._state.load() & 1, 0)
        r.detach()
        with self.assertRaises(pgbgw.Detached):
            t.join()
        with self.assertRaises(pgbgw.Detached):
            s.send(b"")

    def test_made_again(self):
        """An end that has gone leaves a queue alone that was made in the same
        memory later."""
        data = memory(4096)
        q = Queue.create(self.a, data)
        s, r = q.sender(), Queue.open(self.b, data).receiver()
        s.detach()
        self.b.end_all()
        new = Queue.create(self.a, data)
        sends, receives = new.sender(), Queue.open(self.b, data).receiver()
        s.detach()
        r.detach()
        for f in (lambda: s.send(b"old"), s.flush, r.try_receive, s.wait_attach):
            with self.assertRaises(pgbgw.Detached):
                f()
        sends.send(b"new")
        self.assertEqual(receives.try_receive(), b"new")

    def test_death(self):
        """A peer that ended without a word detaches the queue."""
        s, r = self.pair()
        s.send(b"last")
        self.world.slots.ended.add(self.a.word)
        self.assertEqual(r.receive(), b"last")
        with self.assertRaises(pgbgw.Detached):
            r.receive()

    def test_nobody_comes(self):
        """BGW-150, and no wait without an end."""
        data = memory(4096)
        r = Queue.create(self.a, data).receiver()
        with self.assertRaises(pgbgw.NoPeer):
            r.receive()
        with self.assertRaises(pgbgw.Timeout):
            r.receive(timeout=0)
        r.expect(handle(5))
        self.world.slots.gone.add(handle(5))
        with self.assertRaises(pgbgw.Detached):
            r.receive()

    def test_taken(self):
        data = memory(4096)
        Queue.create(self.a, data).sender()
        with self.assertRaisesRegex(pgbgw.Taken, "slot 0"):
            Queue.open(self.b, data).sender()

    def test_damage(self):
        data = memory(4096)
        with self.assertRaises(pgbgw.Damaged):
            Queue.open(self.a, data)
        s, r = self.pair()
        for offset, value in ((128, 4), (128, 1 << 60), (256, 1 << 40)):
            s, r = self.pair()
            s.send(b"x")
            r._q._memory.word64(offset).store(value)
            with self.assertRaises((pgbgw.Damaged, pgbgw.WouldBlock)):
                r.try_receive()
                for _ in range(1000):
                    s.try_send(b"x" * 100)
        s, r = self.pair()
        s.send(b"x" * 8)
        r._q._memory.word64(384).store(1 << 63)
        with self.assertRaises(pgbgw.Damaged):
            r.try_receive()
        with self.assertRaises(pgbgw.Damaged):
            r.try_receive()

    def test_sizes(self):
        with self.assertRaises(pgbgw.Error):
            Queue.create(self.a, memory(4096)[:63])
        with self.assertRaises(pgbgw.Error):
            Queue.create(self.a, memory(4096)[4:200])
        with self.assertRaises(pgbgw.Error):
            Queue.create(self.a, bytes(100))
