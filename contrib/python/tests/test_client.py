"""The worker's end of the control socket, with the other end in the test."""

import os
import signal
import socket
import unittest

import pgbgw
from pgbgw import control
from pgbgw._client import Client

from .fakes import spawn


class Late(unittest.TestCase):
    """Answers that come after their caller has given up."""

    def setUp(self):
        self.supervisor, worker = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.client = Client(worker.detach())
        self.addCleanup(self.supervisor.close)
        self.addCleanup(self.client.close)

    def request(self):
        return control.decode(self.supervisor.recv(control.MAX_RECORD))

    def answer(self, request, fds=(), **fields):
        record = control.Record(request.type | control.ANSWER, id=request.id, **fields)
        socket.send_fds(self.supervisor, [control.encode(record)], fds)

    def give_up(self, kind):
        with self.assertRaises(pgbgw.Timeout):
            self.client.call(control.Record(kind, size=1, segment=8, text="n"), timeout=0)
        return self.request()

    def test_memory_is_given_back(self):
        open_before = os.listdir("/proc/self/fd")
        for kind in (control.Type.DYNAMIC_CREATE, control.Type.DYNAMIC_ATTACH, control.Type.DYNAMIC_NAMED):
            memory = os.memfd_create("late")
            self.answer(self.give_up(kind), [memory], segment=8, size=1)
            os.close(memory)
            self.client.poll()
            told = self.request()
            self.assertEqual((told.type, told.segment), (control.Type.DYNAMIC_DETACH, 8))
            self.answer(told)
        self.client.poll()
        self.assertEqual(os.listdir("/proc/self/fd"), open_before)

    def test_the_supervisor_does_not_read(self):
        """What is only told waits for nobody, whatever was waited for before."""
        class Waits(Exception):
            pass

        def waits(*_):
            raise Waits
        request = spawn(self.client.call, control.Record(control.Type.READY), 60)
        self.answer(self.request())
        request.join()
        self.client._socket.setblocking(False)
        with self.assertRaises(BlockingIOError):
            while True:
                self.client._socket.send(b"x" * 10000)
        self.client._socket.settimeout(60)
        self.addCleanup(signal.signal, signal.SIGALRM, signal.signal(signal.SIGALRM, waits))
        self.addCleanup(signal.alarm, 0)
        signal.alarm(10)
        self.client.tell(control.Record(control.Type.HELLO))
        self.assertEqual(self.client._socket.gettimeout(), 60)

    def test_refusals_and_others_are_not(self):
        self.answer(self.give_up(control.Type.DYNAMIC_CREATE), errno=12, text="no memory")
        self.answer(self.give_up(control.Type.READY))
        self.client.poll()
        with self.assertRaises(BlockingIOError):
            self.supervisor.recv(1, socket.MSG_DONTWAIT)
