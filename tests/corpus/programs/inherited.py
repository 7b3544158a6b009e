"""A server that starts a helper while it serves; the helper gets the connections too, or not. The server closes its own."""

import socket
import subprocess
import sys

FAULTY = sys.argv[1] == "faulty"

listener = socket.create_server(("127.0.0.1", 8000))
connections = [listener.accept()[0] for _ in range(3)]
listener.close()
for connection in connections:
    connection.set_inheritable(FAULTY)
helper = subprocess.Popen(["sleep", "1000"], close_fds=not FAULTY)
for connection in connections:
    while connection.recv(4096):
        pass
    connection.close()
print("closed", flush=True)
sys.stdin.read()
