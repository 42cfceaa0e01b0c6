# SPDX-License-Identifier: Apache-2.0
"""aio.py PORT LOG LOOP FOLDER: aiohttp's server over TLS, with the event loop `asyncio` or `uvloop`. Every GET is
answered with its path; one line a request goes into LOG."""
import asyncio
import ssl
import sys

from aiohttp import web

port, log_path, loop, folder = sys.argv[1:5]
log = open(log_path, "a", buffering=1)


async def answer(request):
    log.write(request.path + "\n")
    return web.Response(text=request.path)


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(f"{folder}/cert.pem", f"{folder}/key.pem")
app = web.Application()
app.router.add_get("/{path:.*}", answer)
new_loop = asyncio.new_event_loop
if loop == "uvloop":
    import uvloop
    new_loop = uvloop.new_event_loop
web.run_app(app, host="127.0.0.1", port=int(port), ssl_context=context, access_log=None, print=None, loop=new_loop())
