import unittest

from pgbgw import Handle, NotWorker, Worker
from pgbgw._environment import parse
from pgbgw._errors import Error

GOOD = {
    "PGBGW_FDS": "segment:3,slots:4,control:5,death:6,latch:7", "PGBGW_SLOT": "3", "PGBGW_GENERATION": "4294967313",
    "PGBGW_NAME": "w", "PGBGW_MAIN_ARG": "18446744073709551615", "PGBGW_EXTRA": "AAH/", "PGBGW_START": "3.4294967313.2",
}


class Environment(unittest.TestCase):
    def test_good(self):
        fds, entry = parse(GOOD)
        self.assertEqual(fds, {"segment": 3, "slots": 4, "control": 5, "death": 6, "latch": 7})
        self.assertEqual((entry.name, entry.type, entry.main_arg, entry.extra), ("w", "w", 2**64 - 1, b"\0\1\xff"))
        self.assertEqual((entry.handle, entry.start, entry.notify_pid), (Handle(3, 4294967313), 2, 0))

    def test_no_worker(self):
        with self.assertRaises(NotWorker):
            Worker({})

    def test_each_mistake_is_named(self):
        for name, text in (
                ("PGBGW_FDS", "segment"), ("PGBGW_FDS", "segment:2"), ("PGBGW_FDS", "segment:03"), ("PGBGW_FDS", "a:3,a:4"),
                ("PGBGW_FDS", "a:3,b:3"), ("PGBGW_FDS", "a:\u0663"), ("PGBGW_FDS", "a:3,"), ("PGBGW_SLOT", "16384"), ("PGBGW_SLOT", ""),
                ("PGBGW_SLOT", "-1"), ("PGBGW_SLOT", "+1"), ("PGBGW_GENERATION", "18446744073709551616"), ("PGBGW_NAME", ""),
                ("PGBGW_NAME", "x" * 96), ("PGBGW_EXTRA", "?"), ("PGBGW_EXTRA", "A" * 172), ("PGBGW_START", "4.17.2"),
                ("PGBGW_START", "3.4294967313.x")):
            with self.subTest(name + "=" + text):
                with self.assertRaisesRegex(Error, name):
                    parse(GOOD | {name: text})

    def test_descriptors_are_checked(self):
        with self.assertRaisesRegex(Error, r"control \(descriptor 999\)"):
            Worker(GOOD | {"PGBGW_FDS": "control:999"})
