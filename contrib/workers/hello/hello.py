#!/usr/bin/python3
"""A background worker in Python: it attaches to its segment, counts its starts
in a named area that outlives it, says that it is ready, and works when its
latch is set or ten seconds have passed, until it is asked to end.

    worker "hello-python" {
      command      = ["/usr/bin/python3", "/usr/lib/pg-bgw/workers/hello.py"]
      flags        = ["shmem_access"]
      restart_time = "10s"
    }
"""

import signal
import struct
import sys

import pgbgw


class Asked(Exception):
    """Somebody asks this worker to end."""


def on_term(*_):
    raise Asked


def work(w):
    """Returns PostgreSQL's exit codes: 0 is done and never again, 1 is to be
    started again after restart_time."""
    w.attach()
    area, _ = w.area("hello starts", 8)
    starts = struct.unpack("<Q", area)[0] + 1
    area[:] = struct.pack("<Q", starts)
    w.ready(f"start {starts} in this segment")
    try:
        signal.signal(signal.SIGTERM, on_term)
        while True:
            print(f"hello from {w.entry.name}, start {starts} in this segment", flush=True)
            if w.latch.wait(10) is pgbgw.Event.SUPERVISOR_DIED:
                return 1
            w.latch.reset()
    except Asked:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        return 1


def main():
    with pgbgw.Worker() as w:  # leaving it detaches: an end without that is a crash
        return work(w)


if __name__ == "__main__":
    sys.exit(main())
