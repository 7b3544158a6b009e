"""A server that passes its connections on over a Unix socket (SCM_RIGHTS); somebody takes them out there, or nobody."""

import socket
import sys

FAULTY = sys.argv[1] == "faulty"

listener = socket.create_server(("127.0.0.1", 8000))
sender, receiver = socket.socketpair()
for _ in range(3):
    connection, _ = listener.accept()
    socket.send_fds(sender, [b"!"], [connection.fileno()])
    connection.close()
    if not FAULTY:
        _, (descriptor,), _, _ = socket.recv_fds(receiver, 1, 1)
        with socket.socket(fileno=descriptor) as connection:
            while connection.recv(4096):
                pass
print("passed on", flush=True)
sys.stdin.read()
