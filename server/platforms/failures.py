"""The ways in which a platform fails us, and how its answers say so."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import httpx2
from httpx2 import Response

from server.platforms.facts import Facts
from server.platforms.paths import at

Answer = TypeVar("Answer")


class PlatformRefused(Exception):
    """The platform clearly said no; the same call will not succeed later."""


class TokensRefused(PlatformRefused):
    """The platform clearly said that these tokens are dead: the person has to connect again."""


class ClientRefused(PlatformRefused):
    """The platform clearly said that it does not know this app, or not this secret of it."""


class PlatformUnreachable(Exception):
    """The platform did not answer, is overloaded, or answered what can't be read; it may work later."""


class NotConnected(PlatformUnreachable):
    """No connection came about, so nothing that was to be sent has left."""


class CodeSpent(Exception):
    """The platform took a code, and then failed: it can't be exchanged again."""


# Only these are repeated in an error: any other text is the platform's, and might hold a secret.
REFUSALS = {
    "access_denied",
    "insufficient_scope",
    "invalid_client",
    "invalid_grant",
    "invalid_request",
    "invalid_scope",
    "invalid_token",
    "unauthorized_client",
    "unsupported_grant_type",
    "unsupported_token_type",
}
TRANSIENT_STATUSES = {408, 425, 429}


async def check(response: Response, facts: Facts) -> None:
    """Lets a 2xx answer pass. Raises PlatformRefused for a 4xx, PlatformUnreachable for everything else."""
    status = response.status_code
    if response.is_success:
        return
    if 400 <= status < 500 and status not in TRANSIENT_STATUSES:
        await response.aread()
        raise failure(_body(response), facts, f"HTTP {status}")
    raise PlatformUnreachable(f"HTTP {status}")


def check_body(answer: object, facts: Facts) -> None:
    """The same for an answer with HTTP 200, which may still say no. Raises ValueError if it is no object."""
    if not isinstance(answer, dict):
        raise ValueError("an answer is not an object")
    if facts.success:
        check_success(answer, facts.success, facts)
    elif at(answer, facts.error_code) is not None:
        raise failure(answer, facts, "an unknown OAuth error")


def check_success(answer: object, success: Mapping[str, int | str], facts: Facts) -> None:
    """Raises as check, unless the answer has these values at these paths."""
    if any(at(answer, path) != value for path, value in success.items()):
        raise failure(answer, facts, "an answer that says no")


def failure(body: object, facts: Facts, otherwise: str) -> PlatformRefused | PlatformUnreachable:
    """The exception for what a failure's body says; `otherwise` is its text when that is unknown."""
    code = at(body, facts.error_code)
    if any(at(body, path) == value for path, value in facts.passing.items()):
        return PlatformUnreachable("an error that passes")
    if isinstance(code, (str, int)) and code in facts.passing_errors:
        return PlatformUnreachable(str(code))
    if isinstance(code, (str, int)) and code in facts.dead_tokens:
        return TokensRefused(str(code))
    if code == "invalid_client":
        return ClientRefused(code)
    return PlatformRefused(code if isinstance(code, str) and code in REFUSALS else otherwise)


def _body(response: Response) -> object:
    try:
        return response.json()
    except (ValueError, RecursionError):
        return None


def read(asking: Callable[[], Answer]) -> Answer:
    """What is read of answers. What can't be read raises PlatformUnreachable, without its cause: a body."""
    try:
        return asking()
    except (httpx2.HTTPError, ValueError, LookupError, TypeError, ArithmeticError, RecursionError):
        raise PlatformUnreachable("an answer that can't be read") from None
