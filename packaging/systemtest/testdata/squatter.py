"""Owns org.pgbgw1 until it is killed."""
import signal
import sys

import dbus

reply = dbus.SystemBus().request_name("org.pgbgw1", 4)
print("owner" if reply == 1 else f"refused: {reply}", flush=True)
if reply != 1:
    sys.exit(1)
signal.pause()
