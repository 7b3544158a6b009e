"""A server that reads each connection to its end, and then closes it or forgets it. A line on its input reminds it."""

import selectors
import socket
import sys

HOST, FAULTY = sys.argv[1], sys.argv[2] == "faulty"
forgotten = []
selector = selectors.DefaultSelector()


def accept(listener):
    connection, _ = listener.accept()
    selector.register(connection, selectors.EVENT_READ, read)


def read(connection):
    if not connection.recv(4096):
        selector.unregister(connection)
        forgotten.append(connection)
        if not FAULTY:
            close()


def close():
    while forgotten:
        forgotten.pop().close()


def reminded(line_input):
    line_input.readline()
    close()
    print("closed", flush=True)


family = socket.AF_INET6 if ":" in HOST else socket.AF_INET
listener = socket.create_server((HOST, 8000), family=family, backlog=1024)
selector.register(listener, selectors.EVENT_READ, accept)
selector.register(sys.stdin, selectors.EVENT_READ, reminded)
while True:
    for key, _ in selector.select():
        key.data(key.fileobj)
