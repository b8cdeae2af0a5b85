"""This process as a background worker."""

import fcntl
import math
import os
import stat
import weakref

from . import _atomic, _environment, _latch, control
from ._barrier import Barrier
from ._client import Client
from ._condition import ConditionVariable
from ._dynamic import Table
from ._errors import Error, NotAttached, SupervisorDied
from ._lock import Lock
from ._party import Party
from ._queue import Queue
from ._segment import Segment
from ._slots import Slots, Status, party_word

NEVER_RESTART = -1  # BGW_NEVER_RESTART
_CALL = 60    # seconds until a supervisor that does not answer counts as silent
_CLOSE = 5    # the same at the end
_WAIT = 20_000_000  # microseconds of one wait in the supervisor

_DESCRIPTORS = ("segment", "slots", "control", "death", "latch")

_LIBRARY = "pgbgw (Python) 1.0"

_workers = weakref.WeakSet()


def _forked():
    for w in _workers:
        w._forked()


os.register_at_fork(after_in_child=_forked)


def _bytes(value):
    try:
        return bytes(memoryview(value))
    except TypeError:
        raise Error(f"cannot register: extra is {value!r}, it should be bytes") from None


# Keys of a definition, by the names of register's arguments, and how each is sent.
_KEYS = {
    "name": ("Name", str), "type": ("Type", str), "flags": ("Flags", list), "start_time": ("StartTime", str),
    "restart_time": ("RestartTime", control.Signed), "library_name": ("LibraryName", str),
    "function_name": ("FunctionName", str), "command": ("Command", list), "main_arg": ("MainArg", control.Unsigned),
    "extra": ("Extra", _bytes), "notify_pid": ("NotifyPid", control.Unsigned), "database": ("Database", str),
    "role": ("Role", str), "environment": ("Environment", list), "segment": ("Segment", str),
    "server": ("Server", str),
    "kill_signal": ("KillSignal", str), "stop_with_owner": ("StopWithOwner", control.Unsigned),
}


class Worker:
    """Opens what the supervisor passed. NotWorker in a process that no
    supervisor started; another error names each variable and descriptor that is
    wrong. Make one, and close it before a normal exit: as a context manager it
    closes itself, unless the block ends with an exception, which is a crash for
    an attached worker and is left to be seen as one."""

    def __init__(self, environ=None):
        fds, self.entry = _environment.parse(os.environ if environ is None else environ)
        # Others, such as the files of a connection, are for the programs that the worker runs.
        self._fds = {name: fd for name, fd in fds.items() if name in _DESCRIPTORS}
        _check(self._fds)
        self._closed = False
        self._segment = None
        self._attached = False
        self._party = None
        self._slots = None
        self._dynamics = Table(self._call, lambda memory: self._party and self._party.end_in(memory))
        self._client = Client(self._fds["control"]) if "control" in self._fds else None
        event = self._fds.get("latch")
        if event is None:
            event = self._fds["latch"] = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        #: The own latch (MyLatch).
        self.latch = _latch.Latch(event, self._fds.get("death", -1))
        _workers.add(self)
        if self._client:
            self._client.tell(control.Record(control.Type.HELLO, text=_LIBRARY))

    def _forked(self):
        """In a child of fork(2), which is no worker: see the package."""
        self._attached = False
        self.latch.leave()
        if self._party:
            self._party.forked()
        if self._client:
            self._client.forked()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, _):
        if kind is None or issubclass(kind, SystemExit):
            self.close()

    # Life

    def ready(self, status=""):
        """Says that this worker has done what it needs to before it is of use,
        with a text of at most 1,024 bytes for the administrator: StatusText on
        the bus."""
        self._call(control.Record(control.Type.READY, text=status))

    def attach(self):
        """Maps the segment, checks it and tells the supervisor, for whom this
        process is attached from then on: ending without detach or close is a
        crash, which ends all attached workers of the segment. Refused with
        ESTALE where the segment was renewed after a crash: exit with 1 then.
        Attached already is no error."""
        self._check_open()
        if self._attached:
            return
        if "segment" not in self._fds:
            raise Error('this worker has no segment (attach = "never")')
        if self._segment is None:
            self._segment = Segment(self._fds["segment"])
        self._call(control.Record(control.Type.ATTACH))
        self._attached = True
        if _atomic.available():
            _latch.enter(self._segment.latch(self.entry.handle.slot))

    def detach(self):
        """Tells the supervisor that this process uses the segment no more. Its
        queues are detached (what was sent without a flush is lost), its locks
        released. Not attached is no error."""
        self._detach(_CALL)

    def _detach(self, timeout):
        if not self._attached:
            return
        self._dynamics.leave()
        if self._party:
            self._party.end_all()
        self._attached = False
        self._call(control.Record(control.Type.DETACH), timeout)

    def close(self):
        """Detaches and closes the descriptors; the process should end soon
        after. Again it does nothing."""
        if self._closed:
            return
        try:
            self._detach(_CLOSE)
        except SupervisorDied:
            pass  # nobody is left to mind
        finally:
            self._closed = True
            self.latch.leave()
            if self._party:
                self._party.close()
            if self._client:
                self._client.close()
            for name, fd in self._fds.items():
                if name != "control":
                    os.close(fd)

    # Other workers

    def register(self, *, restart_time, command=None, flags=("shmem_access",), **fields):
        """RegisterDynamicBackgroundWorker; returns its Handle. restart_time is
        in seconds, or NEVER_RESTART, and has no default. Other fields: name,
        type, start_time, library_name and function_name (or command), main_arg,
        extra, notify_pid (0: nobody; this worker where it is not given),
        database, role, environment (list of NAME=value), segment, server, kill_signal,
        kill_timeout (seconds, math.inf: for ever), stop_with_owner; None is the
        supervisor's default. Refused says why not."""
        fields |= {"restart_time": restart_time, "flags": flags}
        if command is not None:
            fields["command"] = command
        pairs = []
        timeout = fields.pop("kill_timeout", None)
        if timeout is not None:
            usec = (1 << 64) - 1 if timeout == math.inf else math.ceil(timeout * 1e6)
            pairs.append(("KillTimeoutUSec", control.Unsigned(usec)))
        for name, value in fields.items():
            if name not in _KEYS:
                raise Error(f"cannot register: there is no field {name!r}")
            key, kind = _KEYS[name]
            if kind is list and isinstance(value, (str, bytes)):
                raise Error(f"cannot register: {name} is {value!r}, it should be a list")
            if value is not None:
                pairs.append((key, kind(value)))
        answer, _ = self._call(control.Record(control.Type.REGISTER, pairs=pairs))
        return answer.handle

    def pid(self, handle):
        """GetBackgroundWorkerPid: (Status, pid); the pid is not 0 only with
        STARTED."""
        return self._status(control.Type.GET_PID, handle)

    def wait_startup(self, handle):
        """WaitForBackgroundWorkerStartup: (Status, pid), and never
        NOT_YET_STARTED."""
        while True:
            status, pid = self._status(control.Type.WAIT_STARTUP, handle)
            if status != Status.NOT_YET_STARTED:
                return status, pid

    def wait_shutdown(self, handle):
        """WaitForBackgroundWorkerShutdown: STOPPED or POSTMASTER_DIED."""
        while True:
            status, _ = self._status(control.Type.WAIT_SHUTDOWN, handle)
            if status in (Status.STOPPED, Status.POSTMASTER_DIED):
                return status

    def terminate(self, handle):
        """TerminateBackgroundWorker. A handle that names nothing any more is no
        error."""
        self._call(control.Record(control.Type.TERMINATE, handle=handle))

    def changes(self):
        """Takes the state changes of workers that this process registered: a
        list of control.Record, oldest first; the oldest of 256 unread ones is
        dropped for a new one. Each also sets the latch."""
        if not self._client:
            return []
        self._client.poll()
        taken = []
        while self._client.changes:
            taken.append(self._client.changes.popleft())
        return taken

    def set_latch(self, slot):
        """Sets the latch of a slot's worker, whoever that is."""
        self._asparty().set_latch(slot)

    def _status(self, kind, handle):
        timeout = 0 if kind == control.Type.GET_PID else _WAIT
        try:
            answer, _ = self._call(control.Record(kind, handle=handle, timeout_usec=timeout))
        except SupervisorDied:
            return Status.POSTMASTER_DIED, 0
        return Status(answer.status), answer.pid

    # Shared memory

    @property
    def slots(self):
        """The view of all workers."""
        if self._slots is None:
            self._check_open()
            if "slots" not in self._fds:
                raise Error("cannot read the slot table: PGBGW_FDS names no slots")
            self._slots = Slots(self._fds["slots"])
        return self._slots

    def area(self, name, size):
        """(memory, found): the area of that name in the segment
        (ShmemInitStruct), a writable memoryview of size bytes, of zeros when it
        is new; found is False for the one caller in all processes that made it.
        AreaSize if it exists with another size (BGW-133)."""
        memory, found = self._inside().area(name, size)
        return memory.view, found

    def find_area(self, name):
        """The area of that name, whatever its size, as a writable memoryview;
        None if nobody has made it."""
        memory, _ = self._inside().area(name, None)
        return memory and memory.view

    def create_queue(self, data):
        """Makes an empty queue of such memory, and returns it; whatever was
        there is overwritten."""
        return Queue.create(self._asparty(), data)

    def open_queue(self, data):
        """The queue that another process made of the same memory."""
        return Queue.open(self._asparty(), data)

    def create_lock(self, data):
        return Lock.create(self._asparty(), data)

    def open_lock(self, data):
        return Lock.open(self._asparty(), data)

    def create_condition_variable(self, data):
        return ConditionVariable.create(self._asparty(), data)

    def open_condition_variable(self, data):
        return ConditionVariable.open(self._asparty(), data)

    def create_barrier(self, data, participants=0):
        """A barrier for a number of participants, or for those who attach."""
        return Barrier.create(self._asparty(), data, participants)

    def open_barrier(self, data):
        return Barrier.open(self._asparty(), data)

    def create_dynamic(self, size):
        """A new DynamicSegment of size bytes, all 0 (dsm_create). Refused with
        EDQUOT at a limit."""
        self._inside()
        return self._dynamics.ask(control.Record(control.Type.DYNAMIC_CREATE, size=size))[0]

    def attach_dynamic(self, handle):
        """The DynamicSegment of that handle (dsm_attach). Refused with ENOENT
        if there is none any more (BGW-136), with EEXIST if this process has it
        (BGW-137)."""
        self._inside()
        return self._dynamics.ask(control.Record(control.Type.DYNAMIC_ATTACH, segment=handle))[0]

    def find_dynamic(self, handle):
        """The one of that handle if this process has it (dsm_find_mapping), or
        None."""
        return self._dynamics.all.get(handle)

    def unpin_dynamic(self, handle):
        """Ends what DynamicSegment.pin began; this process need not have it."""
        self._call(control.Record(control.Type.DYNAMIC_UNPIN, segment=handle))

    def named_dynamic(self, name, size, init=None):
        """(segment, found): for all workers of this segment the same
        (GetNamedDSMSegment). Who asks first makes it, and init(data) fills it,
        while all others wait: it runs once, however many ask (BGW-139). If it
        raises, or its process ends, the next one begins anew."""
        self._inside()
        return self._dynamics.named(name, size, init)

    def _inside(self):
        if not self._attached:
            raise NotAttached("not attached to a segment: call attach first")
        return self._segment

    def _asparty(self):
        self._inside()
        if self._party is None:
            self._party = Party(party_word(self.entry), self.latch, self.slots, self._ask_latch)
        return self._party

    def _ask_latch(self, slot):
        _, fd = self._call(control.Record(control.Type.LATCH, slot=slot), _CLOSE)
        if fd < 0:
            raise Error("the supervisor's answer has no descriptor")
        return fd

    def _check_open(self):
        if self._closed:
            raise Error("worker is closed")

    def _call(self, record, timeout=_CALL):
        self._check_open()
        if not self._client:
            raise Error("this worker has no control socket: PGBGW_FDS names no control")
        return self._client.call(record, timeout)


def _check(fds):
    """Makes all descriptors close-on-exec, and checks their kinds."""
    errors = []
    for name, fd in fds.items():
        try:
            os.set_inheritable(fd, False)
            mode = os.fstat(fd).st_mode
            if name == "control" and not stat.S_ISSOCK(mode):
                errors.append(f"control (descriptor {fd}) is no socket")
            if name == "death" and not stat.S_ISFIFO(mode):
                errors.append(f"death (descriptor {fd}) is no pipe")
            if name == "latch":
                link = os.readlink(f"/proc/self/fd/{fd}")
                if link != "anon_inode:[eventfd]" or not fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK:
                    errors.append(f"latch (descriptor {fd}) is no non-blocking eventfd")
        except OSError as e:
            errors.append(f"{name} (descriptor {fd}): {e.strerror}")
    if errors:
        raise Error("cannot use what the supervisor passed: PGBGW_FDS: " + "; ".join(errors))
