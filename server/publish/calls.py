"""Calls that publish: what their failures mean for a post."""

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx2

from server.base.identity import utc_now
from server.platforms.failures import NotConnected, PlatformUnreachable
from server.platforms.http import Http, run
from server.publish import categories
from server.publish.publisher import PublishFailed, Uncertain

Answer = TypeVar("Answer")
# What a platform calls an error, if it looks like a name and not like a secret.
CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
UNREACHABLE = "The platform can't be reached; it is tried again."
AT_FAULT = "The platform failed; it is tried again."
LIMITED = "The platform takes no more calls for now; it is tried again later."


def ask(
    http: Http, asking: Callable[[httpx2.AsyncClient], Awaitable[Answer]], until: float, *, publishes: bool
) -> Answer:
    """What a client is answered, in a coroutine of its own that is given up at `until`.

    Raises PublishFailed while nothing can have been published: always unless the call `publishes`, else only
    when no connection came about; and Uncertain."""

    async def inside() -> Answer:
        async with httpx2.AsyncClient(**http.options()) as client:
            return await asking(client)

    try:
        return run(inside(), until)
    except NotConnected as error:
        raise unreachable(str(error)) from None
    except PlatformUnreachable as error:
        if publishes:
            raise Uncertain(str(error)) from None
        raise unreachable(str(error)) from None


def unreachable(code: str) -> PublishFailed:
    """Nobody answered."""
    return PublishFailed(categories.NETWORK, code, UNREACHABLE, retryable=True)


def check_status(response: httpx2.Response, *, publishes: bool) -> None:
    """Lets every answer pass that says what it means: 2xx, and a 4xx that is the platform's word.

    Raises for 429 and 5xx, which mean the same everywhere: PublishFailed with RATE_LIMIT of the account, and
    a fault of the platform's own, after which nobody knows whether it has published."""
    status = response.status_code
    if status == 429:
        raise PublishFailed(
            categories.RATE_LIMIT,
            "HTTP 429",
            LIMITED,
            retryable=True,
            retry_after=retry_after(response),
            scope="account",
        )
    if status >= 500:
        if publishes:
            raise Uncertain(f"HTTP {status}")
        raise PublishFailed(
            categories.PLATFORM,
            f"HTTP {status}",
            AT_FAULT,
            retryable=True,
            retry_after=retry_after(response),
        )


def retry_after(response: httpx2.Response) -> float | None:
    """The header of this name (RFC 9110, 10.2.3), in seconds: a number, or a date."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value[:9])
    until = _date(value)
    return None if until is None else max(0.0, (until - (server_time(response) or utc_now())).total_seconds())


def server_time(response: httpx2.Response) -> datetime | None:
    """What time it is there, by which a server means its times; None if it doesn't say. The answer may be a
    cache's, of some Age."""
    said, age = _date(response.headers.get("Date", "")), response.headers.get("Age", "")
    return said and said + timedelta(seconds=int(age[:9]) if age.isdecimal() else 0)


def _date(value: str) -> datetime | None:
    try:
        return parsedate_to_datetime(value).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def json_of(response: httpx2.Response) -> Any:
    """What is in an answer; None if that can't be read."""
    try:
        return response.json()
    except (ValueError, RecursionError):
        return None


def code(value: object, otherwise: str) -> str:
    """What the platform calls its error, if that can be repeated."""
    return value if isinstance(value, str) and CODE.fullmatch(value) else otherwise
