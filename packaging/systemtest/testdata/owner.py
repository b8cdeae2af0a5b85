"""Registers a worker that exits with 1 over and over, and prints what its owner is told.

python3-dbus wants GLib's loop; one call through ctypes spares a dependency.
"""
import ctypes

import dbus
import dbus.mainloop.glib

dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
bus = dbus.SystemBus()
manager = dbus.Interface(bus.get_object("org.pgbgw1", "/org/pgbgw1"), "org.pgbgw1.Manager")


def changed(handle, state, status, pid, exit_code, exit_signal, reason, start_number):
    print("changed", handle, state, status, pid, exit_code, exit_signal, start_number, flush=True)


bus.add_signal_receiver(changed, "WorkerStateChanged", "org.pgbgw1.Manager", "org.pgbgw1")
handle = manager.RegisterDynamicBackgroundWorker(
    {
        "Name": "owned",
        "Flags": ["shmem_access"],
        "StartTime": "postmaster_start",
        "RestartTime": dbus.Int32(0),
        "Command": ["/bin/sleep", "infinity"],
        "MainArg": dbus.UInt64(2**64 - 1),
        "Extra": dbus.ByteArray(b"\x00\xff"),
        "StopWithOwner": True,
    },
    dbus.UInt64(0),
)
print("registered", handle, flush=True)
glib = ctypes.CDLL("libglib-2.0.so.0")
while True:
    glib.g_main_context_iteration(None, 1)
