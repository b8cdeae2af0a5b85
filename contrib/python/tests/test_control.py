"""The vectors of Go's package control, which every implementation reads."""

import glob
import json
import os
import unittest

from pgbgw import control
from pgbgw._environment import Handle
from pgbgw._errors import Error

VECTORS = os.path.join(os.path.dirname(__file__), "../../../shm/control/testdata")
NAMES = {
    "ID": "id", "Errno": "errno", "Text": "text", "Slot": "slot", "TimeoutUSec": "timeout_usec", "Flags": "flags",
    "Start": "start", "State": "state", "Status": "status", "Pid": "pid", "ExitCode": "exit_code",
    "ExitSignal": "exit_signal", "Type": "type", "Segment": "segment", "Size": "size", "Found": "found", "Done": "done",
}


def read(path):
    with open(path, encoding="utf-8") as f:
        lines = f.read().splitlines()
    comment = next(line[1:].strip() for line in lines if line.startswith("#"))
    return comment, bytes.fromhex("".join(line for line in lines if not line.startswith("#")))


def value(kind, v):
    return {1: str, 2: control.Unsigned, 3: control.Signed, 4: bytes.fromhex, 5: list}[kind](v)


def described(text):
    """The record that a vector's comment describes."""
    fields = json.loads(text)
    record = control.Record(fields["Type"])
    for name, v in fields.items():
        if name in NAMES:
            setattr(record, NAMES[name], v)
        elif name == "Handle":
            record.handle = Handle(v["Slot"], v["Generation"])
        elif name == "Pairs":
            record.pairs = [(key, value(kind, x)) for key, kind, x in v]
        elif name != "Name":
            raise AssertionError(f"the field {name} of a vector is not known here")
    return record


class Vectors(unittest.TestCase):
    def test_good(self):
        paths = glob.glob(os.path.join(VECTORS, "*.hex"))
        self.assertGreater(len(paths), 20)
        for path in paths:
            with self.subTest(os.path.basename(path)):
                comment, data = read(path)
                want = described(comment)
                self.assertEqual(control.decode(data), want)
                self.assertEqual(control.encode(want), data)

    def test_bad(self):
        paths = glob.glob(os.path.join(VECTORS, "bad", "*.hex"))
        self.assertGreater(len(paths), 15)
        for path in paths:
            with self.subTest(os.path.basename(path)):
                with self.assertRaises(Error):
                    control.decode(read(path)[1])

    def test_every_cut_is_refused(self):
        for path in glob.glob(os.path.join(VECTORS, "*.hex")):
            data = read(path)[1]
            for n in range(len(data)):
                with self.assertRaises(Error, msg=f"{path} cut to {n}"):
                    control.decode(data[:n])

    def test_what_cannot_be_sent(self):
        for record in (
                control.Record(control.Type.READY, 1, text="a\0b"), control.Record(control.Type.READY, 1, text="\udc80"),
                control.Record(control.Type.READY, 1, text="x" * 70000), control.Record(control.Type.READY),
                control.Record(control.Type.REGISTER, 1, pairs=[("K", 1.5)]),
                control.Record(control.Type.REGISTER, 1, pairs=[("K", "a"), ("K", "b")]),
                control.Record(control.Type.REGISTER, 1, pairs=[("K" * 65, "a")]),
                control.Record(control.Type.REGISTER, 1, pairs=[(f"K{i}", "a") for i in range(65)]),
                control.Record(control.Type.LATCH, 1, slot=-1), control.Record(0x77, 1)):
            with self.assertRaises(Error):
                control.encode(record)
