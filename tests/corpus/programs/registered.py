"""A server that registers its connections with io_uring and closes its descriptors; it unregisters them, or does not."""

import ctypes
import os
import socket
import struct
import sys

FAULTY = sys.argv[1] == "faulty"
# The same numbers on every architecture since Linux 5.1.
IO_URING_SETUP, IO_URING_REGISTER = 425, 427
REGISTER_FILES, UNREGISTER_FILES = 2, 3

libc = ctypes.CDLL(None, use_errno=True)


def system_call(number, *arguments):
    result = libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        print("cannot:", "io_uring:", os.strerror(ctypes.get_errno()), flush=True)
        sys.exit(0)
    return result


def register(ring, what, files, count):
    system_call(IO_URING_REGISTER, ctypes.c_int(ring), ctypes.c_int(what), files, ctypes.c_int(count))


ring = system_call(IO_URING_SETUP, ctypes.c_int(4), ctypes.create_string_buffer(120))
listener = socket.create_server(("127.0.0.1", 8000))
print("ready", flush=True)
connections = [listener.accept()[0] for _ in range(3)]
files = struct.pack("3i", *(connection.fileno() for connection in connections))
register(ring, REGISTER_FILES, files, 3)
for connection in connections:
    connection.close()
if not FAULTY:
    register(ring, UNREGISTER_FILES, None, 0)
print("registered", flush=True)
sys.stdin.read()
