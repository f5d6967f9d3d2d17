"""How a thread waits for a platform: for as long as it may, and not a moment longer.

An HTTP client's own limits are for one read each: a server that sends a byte now and then is waited for as
long as it does. So the requests run in one event loop, where everything that a call asks can be given up.
"""

import asyncio
import time
from collections.abc import Coroutine
from threading import Lock, Thread
from typing import Any, TypeVar

Answer = TypeVar("Answer")


class EventLoop:
    """An event loop in a thread of its own, which starts when it is first needed."""

    def __init__(self) -> None:
        self._starting = Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, asking: Coroutine[Any, Any, Answer], until: float) -> Answer:
        """What the coroutine returns or raises. Raises TimeoutError at `until` (time.monotonic())."""
        limited = _limited(asking, until - time.monotonic())
        return asyncio.run_coroutine_threadsafe(limited, self._started()).result()

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._starting:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                Thread(target=self._loop.run_forever, name="platforms", daemon=True).start()
            return self._loop


async def _limited(asking: Coroutine[Any, Any, Answer], seconds: float) -> Answer:
    async with asyncio.timeout(seconds):
        return await asking
