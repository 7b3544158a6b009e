"""An application with a leak: it accepts connections and closes none of them."""

import os
import socket

listener = socket.create_server(("0.0.0.0", 8000))
# Whoever started this waits until it listens.
if os.fork():
    os._exit(0)
kept = []
while True:
    kept.append(listener.accept())
