"""A server on a port that others may listen on too (SO_REUSEPORT). The faulty one never accepts."""

import socket
import sys
import time

listener = socket.create_server((sys.argv[1], 8000), reuse_port=True, backlog=16)
print("listening", flush=True)
while sys.argv[2] == "faulty":
    time.sleep(1)
while True:
    connection, _ = listener.accept()
    while connection.recv(4096):
        pass
    connection.close()
