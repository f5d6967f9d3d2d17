"""A platform that answers as it is told, byte for byte: an HTTP server that keeps to no rule of HTTP."""

import asyncio
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from tests.kit.stand_in import Everywhere

# Whose login a request is of: in the code at first, and then in the tokens.
MARK = re.compile(rb"flow-(\d+)-")
# What is asked before there is one.
REGISTERING = re.compile(rb"\A\S+ /(?:\.well-known/|api/v1/apps)|grant_type=client_credentials")
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.I)
MIB = 1024 * 1024
NOTHING = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


class Reply(NamedTuple):
    """What is sent; and whether a byte comes now and then after it, for as long as anybody listens."""

    raw: bytes
    drips: bool = False


class ScriptedPlatform(Everywhere):
    """The replies to each login's requests, one after the other; and those to what registers an app."""

    def __init__(self) -> None:
        self.flows: dict[int, list[Reply]] = {}
        self.registering: list[Reply] = []
        # Of the thread that serves.
        self._loop: asyncio.AbstractEventLoop
        self._ended: asyncio.Event

    @contextmanager
    def serving(self) -> Iterator["ScriptedPlatform"]:
        """Runs it on a loopback port."""
        ready = threading.Event()

        async def serve() -> None:
            self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
            server = await asyncio.start_server(self._answer, "127.0.0.1", 0, limit=MIB, backlog=1024)
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            ready.set()
            await self._ended.wait()
            server.close()
            if answering := asyncio.all_tasks() - {asyncio.current_task()}:
                await asyncio.wait(answering, timeout=5)

        thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
        thread.start()
        assert ready.wait(10)
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._ended.set)
            thread.join(10)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._converse(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = LENGTH.search(head)
        body = await reader.readexactly(int(length[1])) if length else b""
        reply = self._reply(head + body)
        writer.write(reply.raw)
        await writer.drain()
        while reply.drips and not self._ended.is_set():
            await asyncio.sleep(0.2)
            writer.write(b" ")
            await writer.drain()

    def _reply(self, request: bytes) -> Reply:
        mark = MARK.search(request)
        waiting = self.flows.get(int(mark[1])) if mark else None
        if REGISTERING.search(request):
            waiting = self.registering
        return waiting.pop(0) if waiting else Reply(NOTHING)
