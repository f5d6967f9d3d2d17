"""GET /metrics: what Prometheus scrapes."""

import time
from collections.abc import Callable

import anyio
from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.base import metrics

# However many ask, it is put together no more often.
KEPT_SECONDS = 1.0
# What proxies add to a request. Whoever asks through one comes from elsewhere, and is told nothing.
FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


class MetricsPage:
    """The metrics, for who asks the process itself and not the proxy before it."""

    def __init__(self, text: Callable[[], bytes]) -> None:
        """`text` puts them together, in a thread: it takes some milliseconds."""
        self._text = text
        self._limiter = anyio.CapacityLimiter(1)
        self._kept = b""
        self._until = 0.0

    def route(self) -> Route:
        """Where they are."""
        return Route("/metrics", self._answer)

    async def _answer(self, request: Request) -> Response:
        if any(name in request.headers for name in FORWARDED):
            raise HTTPException(404)
        if time.monotonic() >= self._until:
            self._kept = await to_thread.run_sync(self._renewed, limiter=self._limiter)
        return Response(self._kept, media_type=metrics.CONTENT_TYPE)

    def _renewed(self) -> bytes:
        # Others may have waited for the same.
        if time.monotonic() < self._until:
            return self._kept
        kept = self._text()
        self._until = time.monotonic() + KEPT_SECONDS
        return kept
