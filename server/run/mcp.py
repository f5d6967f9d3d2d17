"""`hitchpost mcp`: the Model Context Protocol on stdin and stdout, for one client that has started it."""

import os
import select
import time
from functools import partial
from threading import Event, Thread

import anyio
from anyio import to_thread
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from server.app import App
from server.base.errors import Internal
from server.mcp.server import Tools
from server.rpc.call import Call, Metadata
from server.run.methods import Calls
from server.web.calls import Admit, admitted

# How long it may take until `stop` is heard.
POLL_SECONDS = 0.2


def serve(app: App, key: str, owner: str | None, stop: Event) -> None:
    """Serves until stdin ends or `stop` is set. Raises HitchpostError if the key or the owner is refused."""
    _end_stdin_at(stop)
    anyio.run(_serve, Calls(app), _metadata(key, owner))


async def _serve(calls: Calls, metadata: Metadata) -> None:
    new_call = partial(_new_call, metadata)
    server = Tools(calls.methods, calls.lanes, calls.admit, new_call).server()
    calls.start()
    try:
        await _look_at(new_call(None), calls.admit)
        await _talk(server)
    finally:
        with anyio.CancelScope(shield=True):
            # Not in this thread: calls that are under way tell this loop how they end.
            await to_thread.run_sync(calls.stop)


async def _talk(server: Server) -> None:
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


async def _look_at(call: Call, admit: Admit) -> None:
    """Better now, to who sets this up, than at each call."""
    if not await admitted(admit, call):
        raise call.error or Internal()


def _new_call(metadata: Metadata, _: object) -> Call:
    return Call(metadata, b"stdio", start=time.monotonic(), wire="mcp")


def _metadata(key: str, owner: str | None) -> Metadata:
    authorization = ("authorization", f"Bearer {key}")
    return [authorization] if owner is None else [authorization, ("x-external-id-bin", owner.encode())]


def _end_stdin_at(stop: Event) -> None:
    """Makes stdin end when `stop` is set, too: nothing else wakes a thread that reads it."""
    source = os.dup(0)
    reading, writing = os.pipe()
    os.dup2(reading, 0)
    os.close(reading)
    Thread(target=_pass_on, args=(source, writing, stop), name="stdin", daemon=True).start()


def _pass_on(source: int, target: int, stop: Event) -> None:
    with os.fdopen(target, "wb", buffering=0) as pipe:
        while not stop.is_set():
            if not select.select([source], [], [], POLL_SECONDS)[0]:
                continue
            received = os.read(source, 65_536)
            if not received:
                return
            while received:
                received = received[pipe.write(received) or 0 :]
