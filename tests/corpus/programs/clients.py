"""Clients that connect (all of them, before any goes on), send so many bytes each, and close."""

import socket
import sys

HOST, PORT, COUNT, BYTES = sys.argv[1], *map(int, sys.argv[2:])

connections = [socket.create_connection((HOST, PORT)) for _ in range(COUNT)]
for connection in connections:
    connection.sendall(b"x" * BYTES)
for connection in connections:
    connection.close()
