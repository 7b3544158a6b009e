"""A server that leaves three connections to a worker it forks; each of the two relies on the other to close them."""

import os
import socket
import sys

FAULTY = sys.argv[1] == "faulty"

listener = socket.create_server(("127.0.0.1", 8000))
connections = [listener.accept()[0] for _ in range(3)]
worker = os.fork() == 0
if worker:
    listener.close()
    for connection in connections:
        while connection.recv(4096):
            pass
if not FAULTY:
    for connection in connections:
        connection.close()
if worker:
    print("worker done", flush=True)
sys.stdin.read()
