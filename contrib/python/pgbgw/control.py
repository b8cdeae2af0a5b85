"""The language of the control socket: records into bytes and back.

Package control of the Go module describes it; the vectors there are this
module's tests. Nothing here holds a connection: see _client.
"""

import enum
import struct
from dataclasses import dataclass, field

from ._environment import Handle
from ._errors import Error

VERSION = 1
HEADER = struct.Struct("<IHHQ")
MAX_RECORD = 64 << 10
MAX_KEY = 64
MAX_PAIRS = 64
MAX_LIST = 1024
MAX_ERRNO = 4095
MAX_DYNAMIC = 63  # bytes of a dynamic segment's name

ANSWER = 0x8000
EVENT = 0x4000


class Malformed(Error):
    """The bytes are no record, or no such record can be made."""


class UnknownVersion(Error):
    """A record of another version."""


class UnknownType(Error):
    """A record of a type that is not known here; record has type and id."""

    def __init__(self, record):
        super().__init__(f"control record has the unknown type 0x{record.type:04x}")
        self.record = record

    def __reduce__(self):
        return UnknownType, (self.record,)


class Type(enum.IntEnum):
    HELLO = 1
    ATTACH = 2
    DETACH = 3
    READY = 4
    REGISTER = 5
    GET_PID = 6
    WAIT_STARTUP = 7
    WAIT_SHUTDOWN = 8
    TERMINATE = 9
    LATCH = 10
    DYNAMIC_CREATE = 11
    DYNAMIC_ATTACH = 12
    DYNAMIC_DETACH = 13
    DYNAMIC_PIN = 14
    DYNAMIC_UNPIN = 15
    DYNAMIC_NAMED = 16
    DYNAMIC_READY = 17
    WORKER_STATE_CHANGED = EVENT | 1


@dataclass
class Record:
    """A record of any type; which fields count depends on it. pairs are (key,
    value) with value str, Unsigned, Signed, bytes or a list of str."""
    type: int
    id: int = 0
    errno: int = 0
    text: str = ""
    handle: Handle = Handle(0, 0)
    slot: int = 0
    timeout_usec: int = 0
    flags: int = 0
    pairs: list = field(default_factory=list)
    start: int = 0
    state: int = 0
    status: int = 0
    pid: int = 0
    exit_code: int = 0
    exit_signal: int = 0
    segment: int = 0  # handle of a dynamic segment
    size: int = 0
    found: bool = False
    done: bool = False


class Unsigned(int):
    """An integer that is sent as u64 in a pair."""


class Signed(int):
    """An integer that is sent as i64 in a pair."""


# The fields of each body, in their order, by the name of the Record's field.
_WAIT = ("handle", "timeout_usec")
_STATUS = ("status", "pid")
_DYNAMIC = ("segment", "size", "found")
_BODIES = {
    Type.HELLO: ("text",), Type.HELLO | ANSWER: ("text",),
    Type.ATTACH: (), Type.ATTACH | ANSWER: (),
    Type.DETACH: (), Type.DETACH | ANSWER: (),
    Type.READY: ("text",), Type.READY | ANSWER: (),
    Type.REGISTER: ("flags", "pairs"), Type.REGISTER | ANSWER: ("handle",),
    Type.GET_PID: ("handle",), Type.GET_PID | ANSWER: _STATUS,
    Type.WAIT_STARTUP: _WAIT, Type.WAIT_STARTUP | ANSWER: _STATUS,
    Type.WAIT_SHUTDOWN: _WAIT, Type.WAIT_SHUTDOWN | ANSWER: _STATUS,
    Type.TERMINATE: ("handle",), Type.TERMINATE | ANSWER: (),
    Type.LATCH: ("slot",), Type.LATCH | ANSWER: (),
    Type.DYNAMIC_CREATE: ("size",), Type.DYNAMIC_CREATE | ANSWER: _DYNAMIC,
    Type.DYNAMIC_ATTACH: ("segment",), Type.DYNAMIC_ATTACH | ANSWER: _DYNAMIC,
    Type.DYNAMIC_DETACH: ("segment",), Type.DYNAMIC_DETACH | ANSWER: (),
    Type.DYNAMIC_PIN: ("segment",), Type.DYNAMIC_PIN | ANSWER: (),
    Type.DYNAMIC_UNPIN: ("segment",), Type.DYNAMIC_UNPIN | ANSWER: (),
    Type.DYNAMIC_NAMED: ("size", "dynamic_name"), Type.DYNAMIC_NAMED | ANSWER: _DYNAMIC,
    Type.DYNAMIC_READY: ("segment", "done"), Type.DYNAMIC_READY | ANSWER: (),
    Type.WORKER_STATE_CHANGED: ("handle", "start", "state", "status", "pid", "exit_code", "exit_signal", "text"),
}

_NUMBERS = {
    "slot": "<I", "timeout_usec": "<Q", "flags": "<Q", "start": "<Q", "state": "<I", "status": "<I",
    "pid": "<i", "exit_code": "<i", "exit_signal": "<i", "segment": "<I", "size": "<Q",
}


def encode(record):
    """The bytes of a record; Malformed where decode would refuse them."""
    fields = _BODIES.get(record.type)
    if record.type & ANSWER and record.errno:
        fields = ("text",)
    if fields is None:
        raise UnknownType(record)
    if (record.id == 0) != (record.type & (ANSWER | EVENT) == EVENT):
        raise Malformed(f"the request id is {record.id}; it is 0 in events and nowhere else")
    body = bytearray()
    if record.type & ANSWER:
        if not 0 <= record.errno <= MAX_ERRNO:
            raise Malformed(f"errno {record.errno} is not 0 to {MAX_ERRNO}")
        body += struct.pack("<i", -record.errno)
    try:
        for name in fields:
            _ENCODERS.get(name, _encode_number)(body, name, getattr(record, _ATTRIBUTES.get(name, name)))
        data = HEADER.pack(HEADER.size + len(body), VERSION, record.type, record.id) + body
    except struct.error as e:
        raise Malformed(f"cannot encode a control record: {e}") from None
    if len(data) > MAX_RECORD:
        raise Malformed(f"a control record has {len(data)} bytes, at most {MAX_RECORD} are allowed")
    return data


def _encode_number(body, name, value):
    body += struct.pack(_NUMBERS[name], value)


def _encode_text(body, _, value):
    try:
        data = value.encode()
    except UnicodeEncodeError:
        data = b"\0"
    if b"\0" in data:
        raise Malformed(f"text {value[:40]!r} is not UTF-8 without NUL")
    body += struct.pack("<I", len(data)) + data


def _encode_name(body, name, value):
    _check_name(value)
    _encode_text(body, name, value)


def _check_name(name):
    if not 1 <= len(name.encode(errors="replace")) <= MAX_DYNAMIC:
        raise Malformed(f"the name of a dynamic segment, {name[:80]!r}, should have 1 to {MAX_DYNAMIC} bytes")


def _encode_bool(body, _, value):
    body += struct.pack("<I", bool(value))


def _encode_handle(body, _, value):
    body += struct.pack("<IQ", value.slot, value.generation)


def _encode_pairs(body, _, pairs):
    if len(pairs) > MAX_PAIRS:
        raise Malformed(f"{len(pairs)} pairs, at most {MAX_PAIRS} are allowed")
    if len({key for key, _ in pairs}) != len(pairs):
        raise Malformed("a key is there twice")
    body += struct.pack("<H", len(pairs))
    for key, value in pairs:
        data = key.encode()
        if not 1 <= len(data) <= MAX_KEY or b"\0" in data:
            raise Malformed(f"key {key!r} should have 1 to {MAX_KEY} bytes without NUL")
        body += struct.pack("<H", len(data)) + data
        _encode_value(body, key, value)


def _encode_value(body, key, value):
    match value:
        case str():
            body.append(1)
            _encode_text(body, key, value)
        case Unsigned():
            body += struct.pack("<BQ", 2, value)
        case Signed():
            body += struct.pack("<Bq", 3, value)
        case bytes():
            body += struct.pack("<BI", 4, len(value)) + value
        case list() | tuple() if len(value) <= MAX_LIST:
            body += struct.pack("<BH", 5, len(value))
            for text in value:
                _encode_text(body, key, text)
        case _:
            raise Malformed(f"key {key!r} cannot have the value {value!r}")


_ENCODERS = {
    "text": _encode_text, "handle": _encode_handle, "pairs": _encode_pairs, "dynamic_name": _encode_name,
    "found": _encode_bool, "done": _encode_bool,
}

# Where a field of a body is not that of the Record of the same name.
_ATTRIBUTES = {"dynamic_name": "text"}


def decode(data):
    """The record of these bytes. Every length is checked against what is there;
    bytes left over are an error."""
    if not HEADER.size <= len(data) <= MAX_RECORD:
        raise Malformed(f"a control record has {len(data)} bytes, {HEADER.size} to {MAX_RECORD} are allowed")
    length, version, kind, number = HEADER.unpack_from(data)
    if length != len(data):
        raise Malformed(f"a control record's length says {length}, it has {len(data)} bytes")
    record = Record(type=kind, id=number)
    if version != VERSION:
        raise UnknownVersion(f"control record has version {version}, this side knows {VERSION}")
    if (number == 0) != (kind & (ANSWER | EVENT) == EVENT):
        raise Malformed(f"the request id is {number}; it is 0 in events and nowhere else")
    d = _Decoder(data, HEADER.size)
    fields = _BODIES.get(kind)
    if kind & ANSWER:
        status = d.number("<i")
        if not -MAX_ERRNO <= status <= 0:
            raise Malformed(f"the status is {status}, it must be 0 or a negative errno")
        record.errno = -status
        if status:
            fields = ("text",)
    if fields is None:
        raise UnknownType(record)
    for name in fields:
        setattr(record, _ATTRIBUTES.get(name, name), d.field(name))
    if d.at != len(data):
        raise Malformed(f"{len(data) - d.at} bytes are left over")
    return record


class _Decoder:
    def __init__(self, data, at):
        self.data = data
        self.at = at

    def take(self, n):
        if n > len(self.data) - self.at:
            raise Malformed(f"{n} bytes are wanted where {len(self.data) - self.at} are left")
        self.at += n
        return self.data[self.at - n:self.at]

    def number(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def field(self, name):
        match name:
            case "text":
                return self.text()
            case "dynamic_name":
                text = self.text()
                _check_name(text)
                return text
            case "found" | "done":
                value = self.number("<I")
                if value > 1:
                    raise Malformed(f"{value} is neither 0 nor 1")
                return bool(value)
            case "handle":
                return Handle(self.number("<I"), self.number("<Q"))
            case "pairs":
                return self.pairs()
        return self.number(_NUMBERS[name])

    def utf8(self, n):
        data = bytes(self.take(n))
        try:
            text = data.decode()
        except UnicodeDecodeError:
            text = "\0"
        if "\0" in text:
            raise Malformed("a text is not UTF-8 without NUL")
        return text

    def text(self):
        return self.utf8(self.number("<I"))

    def pairs(self):
        n = self.number("<H")
        if n > MAX_PAIRS:
            raise Malformed(f"{n} pairs, at most {MAX_PAIRS} are allowed")
        pairs = {}
        for _ in range(n):
            size = self.number("<H")
            if not 1 <= size <= MAX_KEY:
                raise Malformed(f"a key has {size} bytes, 1 to {MAX_KEY} are allowed")
            key = self.utf8(size)
            if key in pairs:
                raise Malformed(f"key {key!r} is there twice")
            pairs[key] = self.value()
        return list(pairs.items())

    def value(self):
        kind = self.number("<B")
        match kind:
            case 1:
                return self.text()
            case 2:
                return Unsigned(self.number("<Q"))
            case 3:
                return Signed(self.number("<q"))
            case 4:
                return bytes(self.take(self.number("<I")))
            case 5:
                n = self.number("<H")
                if n > MAX_LIST:
                    raise Malformed(f"a list of {n} texts, at most {MAX_LIST} are allowed")
                return [self.text() for _ in range(n)]
        raise Malformed(f"value of the unknown kind {kind}")
