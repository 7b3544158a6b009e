"""An HTTP server that answers one request on each connection with a body of so many bytes, and closes: in the segment
of the answer's end (`together`), or when a line on its input says so (`apart`)."""

import socket
import sys

BODY, TOGETHER = b"x" * int(sys.argv[1]), sys.argv[2] == "together"
ANSWER = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY

listener = socket.create_server(("127.0.0.1", 8000))
connections = []
for _ in range(3):
    connection, _ = listener.accept()
    request = b""
    while b"\r\n\r\n" not in request:
        request += connection.recv(4096)
    connection.sendall(ANSWER, socket.MSG_MORE if TOGETHER else 0)
    if TOGETHER:
        connection.close()
    else:
        connections.append(connection)
sys.stdin.readline()
for connection in connections:
    connection.close()
print("closed", flush=True)
sys.stdin.read()
