import math
import unittest

import pgbgw

from .fakes import World


class Waits(unittest.TestCase):
    def test_long(self):
        """No time is too long for the kernel's clock."""
        latch = World().party(0).latch
        for timeout in (None, 1e12, math.inf):
            latch.set()
            self.assertIs(latch.wait(timeout), pgbgw.Event.LATCH_SET)
            latch.reset()
        self.assertIs(latch.wait(0), pgbgw.Event.TIMEOUT)
