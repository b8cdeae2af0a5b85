"""The worker's end of the control socket: one request at a time."""

import array
import collections
import os
import socket
import threading
import time

from . import control
from ._errors import Error, Refused, SupervisorDied, Timeout

_BRING_MEMORY = (control.Type.DYNAMIC_CREATE, control.Type.DYNAMIC_ATTACH, control.Type.DYNAMIC_NAMED)

MAX_CHANGES = 256  # events kept for who reads them late; the oldest goes


class Client:
    """Requests may come from any thread; a later one waits for an earlier."""

    def __init__(self, fd):
        self._socket = socket.socket(fileno=fd)
        if self._socket.type & ~(socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) != socket.SOCK_SEQPACKET:
            self._socket.detach()
            raise Error(f"PGBGW_FDS: control (descriptor {fd}) is no SOCK_SEQPACKET socket")
        self._lock = threading.RLock()
        self._last = 0
        self._broken = None
        self.changes = collections.deque(maxlen=MAX_CHANGES)

    def close(self):
        with self._lock:
            self._broken = self._broken or Error("worker is closed")
            self._socket.close()

    def forked(self):
        """In a child of fork(2): nothing is said in the parent's name. Another
        thread may have held the lock, and is not here to give it back."""
        self._lock = threading.RLock()
        self._broken = Error("this process was forked from the worker")

    def tell(self, record):
        """Sends a request whose answer nobody waits for; it may be lost."""
        with self._lock:
            if self._broken:
                return
            self._last += 1
            record.id = self._last
            timeout = self._socket.gettimeout()
            self._socket.settimeout(0)  # with another one Python waits for room before it sends
            try:
                self._socket.send(control.encode(record), socket.MSG_NOSIGNAL)
            except OSError:
                pass
            finally:
                self._socket.settimeout(timeout)

    def call(self, record, timeout=None):
        """Returns (answer, descriptor or -1). Refused if the answer says so;
        Timeout after so many seconds, whereupon a late answer is given back."""
        with self._lock:
            if self._broken:
                raise self._broken
            self._last += 1
            record.id = self._last
            deadline = None if timeout is None else time.monotonic() + timeout
            try:
                self._socket.settimeout(timeout)
                self._socket.send(control.encode(record), socket.MSG_NOSIGNAL)
                answer, fd = self._await(record.id, deadline)
            except TimeoutError:
                raise Timeout("the supervisor does not answer") from None
            except (BrokenPipeError, ConnectionResetError, EOFError):
                self._broken = SupervisorDied("the supervisor died")
                raise self._broken from None
        name = control.Type(record.type).name
        if answer.type != record.type | control.ANSWER:
            _close(fd)
            raise Error(f"the supervisor answered {name} with type 0x{answer.type:04x}")
        if answer.errno:
            _close(fd)
            raise Refused(name, answer.errno, answer.text)
        return answer, fd

    def poll(self):
        """Takes the events that have come by now."""
        with self._lock:
            self._socket.settimeout(0)
            while not self._broken:
                try:
                    self._drop(*self._take(*self._receive()))
                except BlockingIOError:
                    return
                except (ConnectionResetError, EOFError):
                    self._broken = SupervisorDied("the supervisor died")

    def _await(self, number, deadline):
        while True:
            if deadline is not None:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                self._socket.settimeout(left)
            answer, fd = self._take(*self._receive())
            if answer is not None and answer.id == number:
                return answer, fd
            self._drop(answer, fd)

    def _drop(self, answer, fd):
        """Gives back what came with an answer whose caller has given up."""
        _close(fd)
        if answer is not None and not answer.errno and answer.type & ~control.ANSWER in _BRING_MEMORY:
            self.tell(control.Record(control.Type.DYNAMIC_DETACH, segment=answer.segment))

    def _take(self, data, fd):
        """Returns an answer and its descriptor; an event is kept for later."""
        try:
            record = control.decode(data)
        except control.UnknownType as e:
            _close(fd)
            if e.record.type & control.ANSWER:
                raise Error("the supervisor answers what was not asked") from None
            return None, -1
        except Error as e:
            _close(fd)
            self._broken = Error(f"the supervisor does not speak this library's language: {e}")
            raise self._broken from None
        if record.type & control.ANSWER:
            return record, fd
        _close(fd)
        if record.type == control.Type.WORKER_STATE_CHANGED:
            self.changes.append(record)
        return None, -1

    def _receive(self):
        room = socket.CMSG_LEN(4)
        data, rights, flags, _ = self._socket.recvmsg(control.MAX_RECORD, room, socket.MSG_CMSG_CLOEXEC)
        fd = -1
        for level, kind, content in rights:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds = array.array("i")
                fds.frombytes(content[:len(content) // 4 * 4])
                for n in fds:
                    _close(fd)
                    fd = n
        if not data:
            _close(fd)
            raise EOFError
        if flags & socket.MSG_TRUNC:
            _close(fd)
            data = b""
        return data, fd


def _close(fd):
    if fd >= 0:
        os.close(fd)
