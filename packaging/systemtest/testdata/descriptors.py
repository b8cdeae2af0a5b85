"""Sends a call with a descriptor that its body does not mention, as a hostile peer would.

dbus-python attaches a descriptor to what has the type h, which is enough: the bus
counts descriptors, whatever the body says.
"""
import sys

import dbus

message = dbus.lowlevel.MethodCallMessage("org.pgbgw1", "/org/pgbgw1", "org.pgbgw1.Manager", "ListWorkers")
message.append(dbus.types.UnixFd(0), signature="h")
try:
    dbus.SystemBus().send_message_with_reply_and_block(message)
except dbus.DBusException as e:
    print(e.get_dbus_name())
    sys.exit(0)
sys.exit("the call was let through")
