"""An HTTP client with a pool of connections, as `requests` has, that is idle after some requests."""

import sys

import urllib3

FAULTY = sys.argv[1] == "faulty"

pool = urllib3.HTTPConnectionPool("127.0.0.1", 8000, maxsize=3)
answers = [pool.request("GET", "/", preload_content=False) for _ in range(3)]
for answer in answers:
    answer.read()
    answer.release_conn()
if not FAULTY:
    pool.close()
print("idle", flush=True)
sys.stdin.read()
