"""Bodies of requests on their way: each is bounded, and so are the large ones of all clients together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.exceptions import HTTPException
from starlette.requests import Request

from server.base import errors

# A larger body is read in a thread of its own, so that nobody waits meanwhile, and counts with the others.
LARGE_BODY = 16_384
MAX_BYTES = 64 * 1024 * 1024


class Bodies:
    """The bodies that a web process has in memory."""

    def __init__(self, max_body: int) -> None:
        """Each has at most `max_body` bytes."""
        self.max_body = max_body
        self._most = max(MAX_BYTES, 2 * max_body)
        self._held = 0

    @asynccontextmanager
    async def of(self, request: Request) -> AsyncIterator[bytes]:
        """The request's body, which counts until the end of the block.

        Raises HTTPException, 413, for one that is too large, and Overloaded when there are too many.
        """
        if int(request.headers.get("content-length", "0")) > self.max_body:
            raise HTTPException(413)
        chunks, size, held = [], 0, 0
        try:
            async for chunk in request.stream():
                chunks.append(chunk)
                size += len(chunk)
                if size > self.max_body:
                    raise HTTPException(413)
                if size > LARGE_BODY:
                    self._held += size - held
                    held = size
                if held and self._held > self._most:
                    raise errors.Overloaded
            yield b"".join(chunks)
        finally:
            self._held -= held
