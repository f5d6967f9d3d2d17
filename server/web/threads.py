"""Endpoints that wait for the database or a platform: each kind has a few threads of its own.

A thread keeps a database connection, so the threads bound the connections. None is taken before the whole
request is there, and those that wait for one are bounded, too.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar, TypeVarTuple

import anyio
from anyio import to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from server.base import errors

MAX_BODY_BYTES = 65_536
MAX_WAITING = 100

Endpoint = Callable[[Request], Response]
Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")


class Threads:
    """At most so many threads at a time, for the endpoints that they are given."""

    def __init__(self, threads: int) -> None:
        self._limiter = anyio.CapacityLimiter(threads)
        self._most = threads + MAX_WAITING
        self._now = 0

    def run(self, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        """The endpoint as an asynchronous one that finds the request's body in `request.state.body`.

        The body is None when it has more than MAX_BODY_BYTES. Raises Overloaded when too many wait.
        """

        async def wait(request: Request) -> Response:
            try:
                request.state.body = await _body(request)
            except ClientDisconnect:
                # Nobody is there to read this.
                return Response(status_code=400)
            return await self.call(endpoint, request)

        return wait

    async def call(self, function: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        """What the function returns, or raises. Raises Overloaded when too many wait."""
        if self._now >= self._most:
            raise errors.Overloaded
        self._now += 1
        try:
            return await to_thread.run_sync(function, *arguments, limiter=self._limiter)
        finally:
            self._now -= 1


async def _body(request: Request) -> bytes | None:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            return None
    return body
