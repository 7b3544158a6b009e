"""A server with a thread for each connection, all of which need one lock; its holder waits for something, or not."""

import queue
import socket
import sys
import threading

FAULTY = sys.argv[1] == "faulty"
lock = threading.Lock()
work = queue.Queue()


def refresh():
    with lock:
        work.get()


def serve(connection):
    with connection:
        with lock:
            pass
        while connection.recv(4096):
            pass


if FAULTY:
    threading.Thread(target=refresh, daemon=True).start()
    while not lock.locked():
        pass
listener = socket.create_server(("127.0.0.1", 8000))
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
