#!/usr/bin/python3
"""A worker in a ring of queues, in Python: it copies every message from one
queue to another until the first is detached, and then ends. The ring's driver
registers it; see main.go. ring-member (Go) and c/ring-member.c do the same."""

import errno
import signal
import sys

import pgbgw


def queue(w, key):
    """The queue that the extra data names, as in "in=area out=area"."""
    for word in w.entry.extra.decode().split():
        name, _, area = word.partition("=")
        if name == key:
            data = w.find_area(area)
            if data is None:
                raise pgbgw.Error(f"there is no area {area!r}")
            return w.open_queue(data)
    raise pgbgw.Error(f"the extra data {w.entry.extra!r} has no {key}=")


def terminate(*_):
    """Ends the process, and lets nothing interrupt what closes the worker."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(1)


def main():
    with pgbgw.Worker() as w:
        signal.signal(signal.SIGTERM, terminate)
        try:
            w.attach()
        except pgbgw.Refused as e:
            if e.errno != errno.ESTALE:
                raise
            terminate()  # the segment crashed meanwhile: start again with the new one
        receiver = queue(w, "in").receiver()
        sender = queue(w, "out").sender()
        try:
            receiver.wait_attach(timeout=60)
            sender.wait_attach(timeout=60)
            for message in receiver:
                sender.send(message)
        except pgbgw.Detached:
            pass
        sender.detach()
        receiver.detach()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it ends


if __name__ == "__main__":
    main()
