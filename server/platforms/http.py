"""HTTP for everything that leaves the house: to allowed addresses, for a limited time, and for so many bytes.

A client for one caller's wait, in a coroutine of its own:

    async def asking() -> bytes:
        async with httpx2.AsyncClient(**http.options()) as client:
            return (await client.get(url)).content

    run(asking(), until)
"""

import asyncio
import copy
import logging
import ssl
import time
from collections.abc import AsyncGenerator, Coroutine, Iterable
from contextlib import aclosing
from typing import Any, TypeVar

import httpcore2
import httpx2

from server.base import metrics, tracing
from server.platforms import addresses
from server.platforms.addresses import CheckedNetwork, Resolve
from server.platforms.failures import NotConnected, PlatformUnreachable
from server.platforms.waiting import EventLoop

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")

# Of an answer's body, as it is sent and as it is when unpacked. Its head has httpcore's limit of 100 KiB.
MOST_BYTES = 1024 * 1024
MOST_REDIRECTS = 5
# Reading the certificates takes about 40 ms, so all clients share them.
TLS = httpx2.create_ssl_context(trust_env=False)
_event_loop = EventLoop()


def run(asking: Coroutine[Any, Any, Answer], until: float) -> Answer:
    """What the coroutine returns, or raises; it is given up at `until` (time.monotonic()).

    Raises PlatformUnreachable, whose text holds no secret, at that time and for every failure on the way.
    """
    try:
        return _event_loop.run(asking, until)
    except TimeoutError:
        raise PlatformUnreachable("no answer in time") from None
    except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.InvalidURL) as error:
        raise NotConnected(type(error).__name__) from None
    except httpx2.RequestError as error:
        raise PlatformUnreachable(type(error).__name__) from None


class Http:
    """What HTTP clients are made with: where they may connect to, and what they may read.

    `allow_private` and `trusted` are those of addresses.CheckedNetwork. `resolve` and `tls` are for tests.
    """

    def __init__(
        self,
        *,
        allow_private: bool = False,
        trusted: Iterable[str] = (),
        resolve: Resolve = addresses.resolve,
        tls: ssl.SSLContext = TLS,
    ) -> None:
        self.allows_private = allow_private
        self._platform = "other"
        self._network = CheckedNetwork(allow_private=allow_private, trusted=trusted, resolve=resolve)
        self._tls = tls

    def named(self, platform: str) -> "Http":
        """The same, whose requests are counted as the platform's."""
        other = copy.copy(self)
        other._platform = platform
        return other

    def options(self, *, most_bytes: int = MOST_BYTES, follow_redirects: bool = False) -> dict[str, Any]:
        """The arguments for an httpx2.AsyncClient, or one of its kind, that is used inside `run`.

        An answer with a longer body is cut there, and raises PlatformUnreachable. Each address that is
        redirected to is checked like the first.
        """
        return {
            "transport": _Transport(self._network, self._tls, most_bytes, self._platform),
            "follow_redirects": follow_redirects,
            "max_redirects": MOST_REDIRECTS,
            # All that is asked has one limit, which `run` keeps.
            "timeout": None,
            "trust_env": False,
        }


class _Transport(httpx2.AsyncHTTPTransport):
    """HTTP/1.1 over a network that checks addresses, with answers that end."""

    def __init__(self, network: CheckedNetwork, tls: ssl.SSLContext, most_bytes: int, platform: str) -> None:
        # Instead of the base's, which has no argument for a network of our own.
        self._pool = httpcore2.AsyncConnectionPool(ssl_context=tls, network_backend=network)
        self._most_bytes = most_bytes
        self._platform = platform

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.scheme not in addresses.DEFAULT_PORTS:
            raise httpx2.UnsupportedProtocol("neither http nor https")
        start, outcome = time.monotonic(), "unreachable"
        answering = self._traced if tracing.on else super().handle_async_request
        try:
            response = await answering(request)
            outcome = _outcome(response.status_code)
        except asyncio.CancelledError:
            # Nobody else gives a request up than who has waited long enough.
            outcome = "timeout"
            raise
        finally:
            metrics.platform_called(self._platform, outcome, time.monotonic() - start)
        asked = {"method": request.method, "host": request.url.host, "status": response.status_code}
        log.debug("a request was answered", extra=asked)
        return _LimitedResponse(response, self._most_bytes)

    async def _traced(self, request: httpx2.Request) -> httpx2.Response:
        with tracing.request(request.method, request.url.host, request.url.port) as span:
            request.headers.update(tracing.outgoing())
            response = await super().handle_async_request(request)
            tracing.answered(span, response.status_code)
            return response


def _outcome(status: int) -> str:
    """What an answer means to whoever watches a platform."""
    if status == httpx2.codes.TOO_MANY_REQUESTS:
        return "rate_limited"
    if status >= 500:
        return "failed"
    return "refused" if status >= 400 else "ok"


class _LimitedResponse(httpx2.Response):
    """A response that can't be read past its limit, neither as it was sent nor as it is when unpacked."""

    def __init__(self, response: httpx2.Response, most_bytes: int) -> None:
        super().__init__(
            response.status_code,
            headers=response.headers,
            stream=response.stream,
            extensions=response.extensions,
        )
        self._most_bytes = most_bytes

    def aiter_raw(self, chunk_size: int | None = None) -> AsyncGenerator[bytes, None]:
        return _limited(super().aiter_raw(chunk_size), self._most_bytes)

    def aiter_bytes(self, chunk_size: int | None = None) -> AsyncGenerator[bytes, None]:
        # Packed twice, a few bytes keep the processor busy for hours before there is anything to count.
        if "," in self.headers.get("content-encoding", ""):
            raise PlatformUnreachable("an answer that is packed more than once")
        return _limited(super().aiter_bytes(chunk_size), self._most_bytes)


async def _limited(parts: AsyncGenerator[bytes, None], most_bytes: int) -> AsyncGenerator[bytes, None]:
    """The parts. Raises PlatformUnreachable as soon as they are more bytes in all."""
    read = 0
    async with aclosing(parts):
        async for part in parts:
            read += len(part)
            if read > most_bytes:
                raise PlatformUnreachable(f"an answer of more than {most_bytes} bytes")
            yield part
