"""The client for everything that leaves the house, as a caller uses it, and a resolver for its names."""

import time
from typing import Any

import httpx2

from server.platforms.http import Http, run


class MockResolver:
    """Says what names mean: each time the next of these lists of addresses. All else in a test is real."""

    def __init__(self, *meanings: list[str]) -> None:
        self._meanings = iter(meanings)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        """The addresses, whichever host it is."""
        self.asked.append(host)
        return next(self._meanings)


def get(http: Http, url: str, seconds: float = 10, **options: Any) -> httpx2.Response:
    """The answer to GET, read to its end. Raises PlatformUnreachable."""

    async def asking() -> httpx2.Response:
        async with httpx2.AsyncClient(**http.options(**options)) as client:
            return await client.get(url)

    return run(asking(), time.monotonic() + seconds)
