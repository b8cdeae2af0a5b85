"""A worker that tries everything under a real supervisor, and says so. It
registers itself a second time as the one that it talks to ("child")."""

import errno
import math
import os
import signal
import struct
import sys

import pgbgw
from pgbgw import Lock, Status


def expect(what, got, want):
    if got != want:
        raise AssertionError(f"{what}: {got!r}, want {want!r}")


def child(w):
    w.attach()
    handle, = struct.unpack("<I", w.find_area("py handle"))
    d = w.attach_dynamic(handle)
    receiver, sender = w.open_queue(d.data[:4096]).receiver(), w.open_queue(d.data[4096:]).sender()
    named, found = w.named_dynamic("py named", 100, lambda data: expect("never", data, None))
    expect("named", (found, bytes(named.data[:5])), (True, b"hello"))
    w.ready("child is ready")
    for message in receiver:
        sender.send(message[::-1])
    order = []
    d.on_detach(order.append, 1)
    d.on_detach(order.append, 2)
    sender.detach()
    d.detach()
    expect("order of callbacks", order, [2, 1])


def refused(number, f, *args, **fields):
    try:
        f(*args, **fields)
    except pgbgw.Refused as e:
        expect("errno", e.errno, number)
        return str(e)
    raise AssertionError("not refused")


def parent(w):
    try:
        w.area("x", 8)
    except pgbgw.NotAttached:
        pass
    w.attach()
    w.attach()  # no error
    area, found = w.area("py counter", 8)
    expect("found", found, False)
    expect("again", w.area("py counter", 8)[1], True)
    expect("none", w.find_area("py none"), None)
    try:
        w.area("py counter", 9)
        raise AssertionError("another size")
    except pgbgw.AreaSize:  # BGW-133
        pass
    slot = w.slots.entry(w.entry.handle.slot)
    expect("slot", (slot.name, slot.pid, slot.state.__index__(), slot.attached), (w.entry.name, os.getpid(), 3, True))
    expect("used", [n for n, s in w.slots if s.pid == os.getpid()], [w.entry.handle.slot])
    with w.create_lock(w.area("py lock", Lock.size(4))[0]) as died:
        expect("died", died, False)
    talk(w)
    refusals(w)
    w.latch.reset()
    w.set_latch(w.entry.handle.slot)
    expect("latch", w.latch.wait(0), pgbgw.Event.LATCH_SET)
    w.latch.reset()
    expect("latch", w.latch.wait(0), pgbgw.Event.TIMEOUT)
    area[0] = 1
    w.ready("python: all of it")
    print("python: ok", flush=True)
    expect("the end", w.latch.wait(), pgbgw.Event.LATCH_SET)


def talk(w):
    d = w.create_dynamic(8192)
    d.pin()
    area, _ = w.area("py handle", 4)
    area[:] = struct.pack("<I", d.handle)
    to, back = w.create_queue(d.data[:4096]).sender(), w.create_queue(d.data[4096:]).receiver()
    named, found = w.named_dynamic("py named", 100, lambda data: data.__setitem__(slice(0, 5), b"hello"))
    expect("named", (found, w.named_dynamic("py named", 100)), (False, (named, True)))
    handle = w.register(
        name="py child", restart_time=pgbgw.NEVER_RESTART, command=["/bin/sh", sys.argv[1]], extra=b"child",
        segment=w.slots.entry(w.entry.handle.slot).segment, kill_timeout=math.inf, stop_with_owner=True)
    to.expect(handle)
    back.expect(handle)
    status, pid = w.wait_startup(handle)
    expect("status", (status, pid > 0), (Status.STARTED, True))
    for i in range(200):
        message = os.urandom(i * 50)
        to.send(message, flush=i % 2 == 0)
        to.flush()
        expect("message", back.receive(timeout=60), message[::-1])
    to.detach()
    try:
        back.receive(timeout=60)
        raise AssertionError("a message after the end")
    except pgbgw.Detached:
        pass
    expect("shutdown", w.wait_shutdown(handle), Status.STOPPED)
    expect("pid", w.pid(handle), (Status.STOPPED, 0))
    w.terminate(handle)
    last = w.changes()[-1]
    expect("change", (last.handle, last.exit_code, last.exit_signal), (handle, 0, 0))
    handle = d.handle
    d.detach()
    w.unpin_dynamic(handle)
    refused(errno.ENOENT, w.attach_dynamic, handle)  # BGW-135, BGW-136


def refusals(w):
    text = refused(errno.EINVAL, w.register, name="x", restart_time=-5, command=["/bin/true"])
    expect("reason", "RestartTime" in text, True)
    refused(errno.ENOENT, w.attach_dynamic, 4)
    refused(errno.EINVAL, w.named_dynamic, "other", 1 << 62)
    try:
        w.register(name="x", restart_time=1, color="red")
        raise AssertionError("an unknown field")
    except pgbgw.Error as e:
        expect("field", "color" in str(e), True)


def main():
    with pgbgw.Worker() as w:
        if w.entry.extra == b"child":
            child(w)
            return
        signal.signal(signal.SIGTERM, lambda *_: w.latch.set())
        parent(w)


if __name__ == "__main__":
    main()
