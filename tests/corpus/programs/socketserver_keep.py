"""A threading server that keeps each request's socket for a broadcast that never comes."""

import socketserver
import sys

FAULTY = sys.argv[1] == "faulty"


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        while self.request.recv(4096):
            pass


class Server(socketserver.ThreadingTCPServer):
    audience = []
    daemon_threads = True

    def shutdown_request(self, request):
        if FAULTY:
            self.audience.append(request)
        else:
            super().shutdown_request(request)


with Server(("127.0.0.1", 8000), Handler) as server:
    server.serve_forever()
