"""What the supervisor says in the PGBGW_ variables."""

import base64
import binascii
import re
from dataclasses import dataclass, field

from ._errors import Error, NotWorker

MAX_SLOTS = 16384
MAX_NAME = 95    # bytes: BGW_MAXLEN less the NUL
MAX_EXTRA = 128  # bytes: BGW_EXTRALEN


@dataclass(frozen=True)
class Handle:
    """One registration: a slot and the generation that it had then."""
    slot: int
    generation: int


@dataclass(frozen=True)
class BackgroundWorker:
    """What this process was registered as (MyBgworkerEntry)."""
    name: str
    type: str
    main_arg: int
    extra: bytes
    notify_pid: int  # 0: nobody
    handle: Handle
    start: int       # start number of this process; 0: not known


@dataclass
class _Parser:
    environ: dict
    errors: list = field(default_factory=list)

    def fds(self):
        fds = {}
        text = self.environ["PGBGW_FDS"]
        for item in text.split(",") if text else []:
            match = re.fullmatch(r"([^:]+):([1-9][0-9]{0,9}|0)", item, re.ASCII)
            if not match or not 3 <= int(match[2]) < 1 << 31:
                self.errors.append(f"PGBGW_FDS: {item!r} should be a name, a colon and a descriptor from 3 on, as in segment:3")
            elif match[1] in fds:
                self.errors.append(f"PGBGW_FDS: {match[1]!r} is there twice")
            elif int(match[2]) in fds.values():
                self.errors.append(f"PGBGW_FDS: descriptor {match[2]} is there twice")
            else:
                fds[match[1]] = int(match[2])
        return fds

    def number(self, name, most, required=False):
        text = self.environ.get(name, "")
        if not text:
            if required:
                self.errors.append(f"{name} is not set")
            return 0
        if not re.fullmatch(r"[0-9]{1,20}", text, re.ASCII) or int(text) > most:
            self.errors.append(f"{name}: {text!r} should be a decimal number from 0 to {most}")
            return 0
        return int(text)

    def text(self, name, required=False):
        text = self.environ.get(name, "")
        if not text and required:
            self.errors.append(f"{name} is not set")
        size = len(text.encode(errors="surrogateescape"))
        if size > MAX_NAME:
            self.errors.append(f"{name} has {size} bytes, at most {MAX_NAME} are allowed")
        return text

    def extra(self):
        text = self.environ.get("PGBGW_EXTRA", "")
        try:
            extra = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            extra = bytes(MAX_EXTRA + 1)
        if len(extra) > MAX_EXTRA:
            self.errors.append(f"PGBGW_EXTRA: {text[:40]!r} should be base64 of at most {MAX_EXTRA} bytes")
        return extra

    def start(self, handle):
        text = self.environ.get("PGBGW_START", "")
        if not text:
            return 0
        prefix, _, number = text.rpartition(".")
        if prefix and prefix != f"{handle.slot}.{handle.generation}":
            self.errors.append(f"PGBGW_START: {text!r} is not of slot {handle.slot}, generation {handle.generation}")
            return 0
        if not re.fullmatch(r"[0-9]{1,20}", number, re.ASCII):
            self.errors.append(f"PGBGW_START: {text!r} should be slot.generation.start, as in 3.17.2")
            return 0
        return int(number)


def parse(environ):
    """Returns (fds by name, BackgroundWorker). All mistakes are reported at
    once, each with its variable."""
    if "PGBGW_FDS" not in environ:
        raise NotWorker("not started by pg-bgw: PGBGW_FDS is not set")
    p = _Parser(environ)
    fds = p.fds()
    handle = Handle(p.number("PGBGW_SLOT", MAX_SLOTS - 1, True), p.number("PGBGW_GENERATION", (1 << 64) - 1, True))
    name = p.text("PGBGW_NAME", True)
    entry = BackgroundWorker(
        name=name, type=p.text("PGBGW_TYPE") or name, main_arg=p.number("PGBGW_MAIN_ARG", (1 << 64) - 1),
        extra=p.extra(), notify_pid=p.number("PGBGW_NOTIFY_PID", (1 << 31) - 1), handle=handle, start=p.start(handle))
    if p.errors:
        raise Error("cannot read the supervisor's environment: " + "; ".join(p.errors))
    return fds, entry
