"""A backend that answers each request and, once the other end has closed, closes or does not."""

import socket
import sys

FAULTY = sys.argv[1] == "faulty"
ANSWER = b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nok\n"
kept = []

listener = socket.create_server(("127.0.0.1", 8001))
while True:
    connection, _ = listener.accept()
    request = b""
    while b"\r\n\r\n" not in request:
        request += connection.recv(4096)
    connection.sendall(ANSWER)
    while connection.recv(4096):
        pass
    if FAULTY:
        kept.append(connection)
    else:
        connection.close()
