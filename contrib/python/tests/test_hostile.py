"""Signal handlers that raise anywhere, forks, pickling, and use after a close."""

import copy
import os
import pickle
import socket
import sys
import unittest

import pgbgw
from pgbgw import control
from pgbgw._queue import Queue

from .fakes import World, handle, memory

HANDLER = {"PGBGW_SLOT": "3", "PGBGW_GENERATION": "17", "PGBGW_NAME": "n"}


class Asked(Exception):
    """What a signal handler raises."""


def interrupted(at, f, *args):
    """Calls f, and raises Asked before the at-th instruction of the queue's code:
    (True, what f returned), or (False, None) when it was raised."""
    left = at

    def trace(frame, event, _):
        nonlocal left
        if not frame.f_code.co_filename.endswith("_queue.py"):
            return None
        frame.f_trace_opcodes = True
        left -= event == "opcode"
        if left == 0:
            raise Asked
        return trace
    sys.settrace(trace)
    try:
        return True, f(*args)
    except Asked:
        return False, None
    finally:
        sys.settrace(None)


class Signals(unittest.TestCase):
    """Python runs signal handlers between any two instructions."""

    FIRST, SECOND, THIRD = b"1" * 40, bytes(range(100, 161)), b"3" * 7

    def pair(self):
        world, data = World(), memory(4096)[:312]  # a ring of 256 bytes, whose end the second message crosses
        sender = Queue.create(world.party(0), data).sender()
        receiver = Queue.open(world.party(1), data).receiver()
        for _ in range(4):
            sender.send(self.FIRST)
            receiver.receive(timeout=0)
        return sender, receiver

    def test_receive(self):
        for at in range(1, 100000):
            sender, receiver = self.pair()
            sender.send(self.SECOND)
            sender.send(self.THIRD)
            whole, got = interrupted(at, receiver.receive, 0)
            rest = [got] if whole else []
            while rest[-1:] != [self.THIRD]:
                rest.append(receiver.receive(timeout=0))
            # The one that was about to be returned is lost, as with any function.
            self.assertIn(rest, ([self.SECOND, self.THIRD], [] if whole else [self.THIRD]), at)
            if whole:
                break

    def test_send(self):
        for at in range(1, 100000):
            sender, receiver = self.pair()
            whole, _ = interrupted(at, sender.send, self.SECOND)
            if not whole:
                sender.send(self.SECOND)
            got = [receiver.receive(timeout=0)]
            sender.send(self.THIRD)
            while got[-1] != self.THIRD:
                got.append(receiver.receive(timeout=0))
            # It was sent twice where all was done but the return.
            self.assertIn(got, ([self.SECOND, self.THIRD], [] if whole else [self.SECOND, self.SECOND, self.THIRD]), at)
            if whole:
                break


class Workers(unittest.TestCase):
    def setUp(self):
        self.supervisor, control_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.addCleanup(self.supervisor.close)
        self.worker = pgbgw.Worker(HANDLER | {"PGBGW_FDS": f"control:{control_end.detach()}"})
        self.addCleanup(self.worker.close)
        self.assertEqual(self.heard(), control.Type.HELLO)

    def heard(self):
        """The type of what the worker has said, or None."""
        try:
            return control.decode(self.supervisor.recv(control.MAX_RECORD, socket.MSG_DONTWAIT)).type
        except BlockingIOError:
            return None

    def in_child(self, f):
        """Whether f returns true in a child of fork(2)."""
        pid = os.fork()
        if pid == 0:
            done = False
            try:
                done = f()
            finally:
                os._exit(0 if done else 1)
        return os.waitpid(pid, 0)[1] == 0

    def test_fork(self):
        """A child is no worker: whatever it does, its parent is what it was."""
        world, data = World(), memory(4096)
        self.worker._party = party = world.party(3)
        self.worker._attached = True
        lock = pgbgw.Lock.create(party, data[:1024])
        queue = Queue.create(party, data[1024:2048])
        sender, receiver = queue.sender(), Queue.open(world.party(4), data[1024:2048]).receiver()
        lock.acquire()

        def child():
            for f in (lambda: self.worker.ready("?"), lambda: self.worker.latch.wait(0), self.worker.attach,
                      lambda: lock.acquire(0), lambda: sender.send(b"?"), lambda: self.worker.area("?", 8)):
                try:
                    f()
                    return False
                except pgbgw.Error:
                    pass
            self.worker.latch.set()
            sender.detach()
            released = lock.release()
            self.worker.close()
            return not released
        self.assertTrue(self.in_child(child))
        self.assertIsNone(self.heard())
        self.assertFalse(self.worker.latch.is_set())
        sender.send(b"still here")
        self.assertEqual(receiver.receive(timeout=0), b"still here")
        self.assertTrue(lock.release())
        self.worker._attached = False

    def test_closed(self):
        """A latch that is closed is nobody's: its descriptor may be another file's by then."""
        latch = self.worker.latch
        self.worker.close()
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        self.addCleanup(os.close, write)
        latch.set()
        for f in (lambda: latch.wait(0), latch.is_set, latch.reset, self.worker.attach, lambda: self.worker.slots):
            with self.assertRaises(pgbgw.Error):
                f()
        self.assertEqual(latch.fileno(), -1)

    def test_fields(self):
        for wrong in (5, 10**12, "abc", [1, 2]):
            with self.assertRaisesRegex(pgbgw.Error, "extra"):
                self.worker.register(name="n", restart_time=1, extra=wrong)
        self.assertIsNone(self.heard())


class Errors(unittest.TestCase):
    def test_copies(self):
        """They come back from other processes as they are: multiprocessing pickles them."""
        for e in (pgbgw.Refused("REGISTER", 28, "no slot"), pgbgw.Refused("REGISTER", 28, ""), pgbgw.Timeout("t"),
                  control.UnknownType(control.Record(99, id=7))):
            for again in (pickle.loads(pickle.dumps(e)), copy.copy(e)):
                self.assertEqual((type(again), str(again), again.__dict__), (type(e), str(e), e.__dict__))
        self.assertEqual(pickle.loads(pickle.dumps(handle(3))), handle(3))
