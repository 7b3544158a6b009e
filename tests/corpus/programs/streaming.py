"""A server that, once the client has said all it has to say, streams an answer without end; or stops and forgets it."""

import itertools
import socket
import sys
import time

FAULTY = sys.argv[1] == "faulty"

listener = socket.create_server(("127.0.0.1", 8000))
connections = [listener.accept()[0] for _ in range(3)]
for connection in connections:
    while connection.recv(4096):
        pass
for number in itertools.count():
    for connection in connections:
        connection.sendall(b"x" * 100)
    if number == 2:
        print("streaming", flush=True)
        if FAULTY:
            sys.stdin.read()
    time.sleep(0.05)
