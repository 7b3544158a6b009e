"""A server with a thread for each connection, in which an error of recv ends the thread, and closes the connection or forgets it."""

import socket
import sys
import threading

FAULTY = sys.argv[1] == "faulty"
kept = []


def serve(connection):
    kept.append(connection)
    try:
        while connection.recv(4096):
            pass
    except ConnectionResetError:
        if not FAULTY:
            connection.close()
        print("reset", flush=True)


listener = socket.create_server(("127.0.0.1", 8000), backlog=64)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
