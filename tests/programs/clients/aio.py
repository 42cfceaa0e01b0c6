# SPDX-License-Identifier: Apache-2.0
"""aio.py PORT CA LOOP CONNECTIONS [COUNT]: aiohttp's client, all connections at once in one thread, COUNT requests each.
Without COUNT: a request on each for each line that is read, of that path and the connection's number, and a line when all
are answered."""
import asyncio
import ssl
import sys

import aiohttp

port, ca, loop, connections = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])


async def ask(session, path):
    async with session.get(f"https://localhost:{port}{path}") as answer:
        assert await answer.text() in (path, "hello\n")


async def many(session, number, count):
    for n in range(count):
        await ask(session, f"/aio/{number}/{n}")


async def main():
    context = ssl.create_default_context(cafile=ca)
    sessions = [aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, limit=1)) for _ in range(connections)]
    if len(sys.argv) > 5:
        await asyncio.gather(*(many(s, i, int(sys.argv[5])) for i, s in enumerate(sessions)))
    else:
        for line in sys.stdin:
            await asyncio.gather(*(ask(s, f"{line.strip()}/{i}") for i, s in enumerate(sessions)))
            print("done", flush=True)
    for session in sessions:
        await session.close()


if loop == "uvloop":
    import uvloop
    uvloop.run(main())
else:
    asyncio.run(main())
