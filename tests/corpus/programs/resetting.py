"""Clients that send so many bytes each, and reset their connections."""

import socket
import struct
import sys

HOST, PORT, COUNT, BYTES = sys.argv[1], *map(int, sys.argv[2:])

for _ in range(COUNT):
    connection = socket.create_connection((HOST, PORT))
    connection.sendall(b"x" * BYTES)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
