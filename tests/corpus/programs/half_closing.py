"""A client that half-closes three connections and reads each to its end, for as long as that takes."""

import socket
import sys
import threading


def read(connection):
    with connection:
        while connection.recv(4096):
            pass


connections = [socket.create_connection((sys.argv[1], 8000)) for _ in range(3)]
for connection in connections:
    connection.sendall(b"x" * 100)
    connection.shutdown(socket.SHUT_WR)
readers = [threading.Thread(target=read, args=(connection,)) for connection in connections]
for reader in readers:
    reader.start()
print("reading", flush=True)
for reader in readers:
    reader.join()
sys.stdin.read()
