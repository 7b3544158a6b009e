"""A server that serves one connection at a time, and whose first one stays."""

import socket
import sys
import threading

FAULTY = sys.argv[1] == "faulty"
slots = threading.Semaphore(0 if FAULTY else 1)

listener = socket.create_server((sys.argv[2], 8000), family=socket.AF_INET6, dualstack_ipv6=True, backlog=16)
while True:
    slots.acquire()
    connection, _ = listener.accept()
    while connection.recv(4096):
        pass
    connection.close()
    slots.release()
