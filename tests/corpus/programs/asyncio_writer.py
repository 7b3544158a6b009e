"""An asyncio server whose handler returns at the end of the stream, and closes the writer or does not."""

import asyncio
import sys

FAULTY = sys.argv[1] == "faulty"
sessions = []


async def session(reader, writer):
    sessions.append(writer)
    await reader.read()
    if not FAULTY:
        writer.close()
        await writer.wait_closed()


async def main():
    server = await asyncio.start_server(session, "::1", 8000)
    await server.serve_forever()


asyncio.run(main())
