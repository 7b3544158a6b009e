"""A client that keeps its connection when the server has closed."""

import signal
import socket

client = socket.create_connection(("192.0.2.10", 80), source_address=("198.51.100.41", 0))
client.sendall(b"GET / HTTP/1.1\r\nHost: 192.0.2.10\r\n\r\n")
signal.pause()
