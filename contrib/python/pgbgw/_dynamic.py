"""Memory that is made at run time: PostgreSQL's dsm, and its registry of names."""

import contextlib
import errno
import os

from . import control
from ._errors import Damaged, Error, Refused
from ._memory import map_fd, sealed_size


class DynamicSegment:
    """As this process has it, until detach, or until it detaches from its
    segment. It is removed when no process has it and it is not pinned, and with
    the segment in a crash (BGW-135). What can lie in an area can lie in it."""

    def __init__(self, table, answer, fd):
        if fd < 0:
            raise Error("the supervisor passed no memory")
        try:
            have = sealed_size(fd)
            if not 1 <= answer.size <= have:
                raise Damaged(f"the dynamic segment has {answer.size} bytes of {have}")
            self._memory = map_fd(fd, have, True, keep=False)
        finally:
            os.close(fd)
        self._table = table
        self._on_detach = contextlib.ExitStack()
        #: The number by which others attach it (dsm_segment_handle).
        self.handle = answer.segment
        #: Its name, or None.
        self.name = None
        #: The memory, writable. It stays mapped as long as somebody uses it.
        self.data = self._memory.view[:answer.size]

    def pin(self):
        """Keeps it even if no process has it (dsm_pin_segment)."""
        self._table.call(control.Record(control.Type.DYNAMIC_PIN, segment=self.handle))

    def on_detach(self, f, *args):
        """Has f called when this process detaches it, the last one first, while
        the memory is still there (BGW-138). What one of them raises comes out of
        the detach, when all was done."""
        self._on_detach.callback(f, *args)

    def detach(self):
        """Calls what on_detach was given and gives the segment back; queues in
        it are detached, locks in it released. Again it does nothing."""
        if self.handle not in self._table.all:
            return
        try:
            self.leave()
        finally:
            self._table.call(control.Record(control.Type.DYNAMIC_DETACH, segment=self.handle))

    def leave(self):
        """detach, without telling the supervisor."""
        if self._table.all.pop(self.handle, None) is None:
            return
        try:
            self._on_detach.close()
        finally:
            self._table.hollow(self._memory)


class Table:
    """What dynamic segments a process has, by handle."""

    def __init__(self, call, hollow):
        self.call = call
        self.hollow = hollow  # gives up what this process holds in some memory
        self.all = {}

    def ask(self, record):
        """(segment, found) for a request that a segment comes back for."""
        answer, fd = self.call(record)
        if answer.segment in self.all:  # it was attached by its handle
            if fd >= 0:
                os.close(fd)
            return self.all[answer.segment], True
        try:
            d = DynamicSegment(self, answer, fd)
        except BaseException:
            self.call(control.Record(control.Type.DYNAMIC_DETACH, segment=answer.segment))
            raise
        self.all[d.handle] = d
        return d, answer.found

    def named(self, name, size, init):
        """See Worker.named_dynamic."""
        for d in self.all.values():
            if d.name == name:
                if len(d.data) != size:
                    raise Error(f"the dynamic segment {name!r} has {len(d.data)} bytes, not {size}")
                return d, True
        while True:
            try:
                d, found = self.ask(control.Record(control.Type.DYNAMIC_NAMED, size=size, text=name))
                break
            except Refused as e:
                if e.errno != errno.EBUSY:  # somebody still fills it
                    raise
        if not found:
            self._fill(d, init)
        d.name = name
        return d, found

    def _fill(self, d, init):
        try:
            if init is not None:
                init(d.data)
            self._say_filled(d, True)
        except BaseException:
            try:
                d.leave()
            finally:
                self._say_filled(d, False)
            raise

    def _say_filled(self, d, done):
        self.call(control.Record(control.Type.DYNAMIC_READY, segment=d.handle, done=done))

    def leave(self):
        """Leaves all of them, the last one first; the supervisor knows."""
        with contextlib.ExitStack() as stack:
            for d in self.all.values():
                stack.callback(d.leave)
