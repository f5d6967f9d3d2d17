"""An application that is made when it is first asked for, since that takes long, and most never ask."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import anyio
from anyio import to_thread
from starlette.types import Receive, Scope, Send

from server.base import errors

log = logging.getLogger(__name__)


class Application(Protocol):
    """An ASGI application that serves inside a block."""

    def running(self) -> AbstractAsyncContextManager[None]:
        """The block, which is entered once."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""


class OnDemand:
    """The ASGI application that `make` makes, in a thread of its own, with the first request."""

    def __init__(self, make: Callable[[], Application]) -> None:
        self._make = make
        self._wanted = asyncio.Event()
        self._made = asyncio.Event()
        self._application: Application | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serves inside the block."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._run)
            yield
            tasks.cancel_scope.cancel()

    async def _run(self) -> None:
        await self._wanted.wait()
        try:
            application = await to_thread.run_sync(self._make)
        except Exception:
            log.exception("an application could not be made")
            self._made.set()
            return
        async with application.running():
            self._application = application
            self._made.set()
            await anyio.sleep_forever()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        self._wanted.set()
        await self._made.wait()
        if self._application is None:
            raise errors.Internal
        await self._application(scope, receive, send)
