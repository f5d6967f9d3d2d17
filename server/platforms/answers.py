"""What a platform answers, read without trust: tokens, profiles, and the two ways to fail."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from httpx2 import Response

from server.platforms.facts import ProfileFields


class PlatformRefused(Exception):
    """The platform clearly said no; the same call will not succeed later."""


class PlatformUnreachable(Exception):
    """The platform did not answer, is overloaded, or answered what can't be read; it may work later."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a platform issued. `expire_time` is the access token's, None when the platform doesn't say.

    `scopes` is empty when the platform doesn't say; by RFC 6749 they are then those that were asked for.
    """

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    expire_time: datetime | None
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile that a login shares, with the tokens that act for it; texts are "" where it has none."""

    platform_user_id: str
    username: str
    display_name: str
    profile_photo_url: str
    tokens: Tokens


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
TRANSIENT_ERRORS = {"server_error", "temporarily_unavailable", "slow_down"}
TRANSIENT_STATUSES = {408, 425, 429}


async def check(response: Response) -> None:
    """Lets a 2xx answer pass. Raises PlatformRefused for a 4xx, PlatformUnreachable for everything else."""
    status = response.status_code
    if response.is_success:
        return
    if 400 <= status < 500 and status not in TRANSIENT_STATUSES:
        await response.aread()
        raise failure(_error_code(response), f"HTTP {status}")
    raise PlatformUnreachable(f"HTTP {status}")


def failure(code: object, otherwise: str) -> PlatformRefused | PlatformUnreachable:
    """The exception for an OAuth error code; `otherwise` is its text when the code is unknown."""
    if isinstance(code, str) and code in TRANSIENT_ERRORS:
        return PlatformUnreachable(code)
    return PlatformRefused(code if isinstance(code, str) and code in REFUSALS else otherwise)


def _error_code(response: Response) -> object:
    try:
        body = response.json()
    except (ValueError, RecursionError):
        return None
    return body.get("error") if isinstance(body, dict) else None


def login_tokens(answer: Mapping[str, Any], scope_separator: str, now: datetime) -> Tokens:
    """The tokens in a token endpoint's answer. Raises ValueError or OverflowError if it can't be read."""
    scope = _text(answer.get("scope"))
    return Tokens(
        access_token=_token(answer.get("access_token")),
        refresh_token=_token(answer["refresh_token"]) if answer.get("refresh_token") else None,
        expire_time=_expire_time(answer.get("expires_in"), now),
        scopes=tuple(part for part in scope.split(scope_separator) if part),
    )


def profile(item: object, fields: ProfileFields, login: Tokens, now: datetime) -> Profile:
    """One item of a profiles answer. Raises ValueError or OverflowError if it can't be read."""
    if not isinstance(item, dict):
        raise ValueError("a profile is not an object")
    photo = _text(item.get(fields.profile_photo_url))
    return Profile(
        platform_user_id=_identifier(item.get(fields.platform_user_id)),
        username=_text(item.get(fields.username)),
        display_name=_text(item.get(fields.display_name)),
        profile_photo_url=photo if photo.startswith(("https://", "http://")) else "",
        tokens=_profile_tokens(item, fields, login, now),
    )


def _profile_tokens(item: dict[str, Any], fields: ProfileFields, login: Tokens, now: datetime) -> Tokens:
    if not item.get(fields.access_token):
        return login
    refresh_token = item.get(fields.refresh_token)
    return Tokens(
        access_token=_token(item[fields.access_token]),
        refresh_token=_token(refresh_token) if refresh_token else None,
        expire_time=_expire_time(item.get(fields.expires_in), now),
        scopes=login.scopes,
    )


def _text(value: object) -> str:
    """Text as PostgreSQL and protobuf can hold it: JSON may carry NUL and half a surrogate pair."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError("a text is not a string")
    return value.replace("\0", "").encode("utf-8", "replace").decode()


def _identifier(value: object) -> str:
    """An id, taken as it is or not at all: a cleaned one could be another profile's."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not text or text != _text(text):
        raise ValueError("an id is missing or is no text")
    return text


def _token(value: object) -> str:
    if not (isinstance(value, str) and value and value.isascii() and value.isprintable()):
        raise ValueError("a token is missing or is no printable ASCII")
    return value


def _expire_time(expires_in: object, now: datetime) -> datetime | None:
    if expires_in is None:
        return None
    if not isinstance(expires_in, (int, str)):
        raise ValueError("expires_in is no whole number")
    return now + timedelta(seconds=int(expires_in))
