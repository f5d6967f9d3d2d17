"""What a platform answers, read without trust: tokens and profiles."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from server.base.sizes import TEXT, TOKEN
from server.platforms.facts import PLACEHOLDER, Facts, ProfileFields, ProfileSource, fill
from server.platforms.paths import at


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a platform issued. `expire_time` is the access token's, None when the platform doesn't say.

    `context` is what calls with these tokens need beside them, such as the server that issued them; as
    secret as they are.
    """

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    expire_time: datetime | None
    scopes: tuple[str, ...]
    context: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile that a login shares, with the tokens that act for it; texts are "" where it has none.

    `shares_tokens`: they are the login's, which other profiles may have, too. `limits` are what the platform
    says of this profile's posts, see limits.py.
    """

    platform_user_id: str
    username: str
    display_name: str
    profile_photo_url: str
    tokens: Tokens
    shares_tokens: bool = False
    limits: Mapping[str, Any] = field(default_factory=dict)


def items(answer: object, source: ProfileSource) -> Sequence[object]:
    """The list of profiles; where the source has no path of one, the answer itself. Raises ValueError."""
    found = at(answer, source.items) if source.items else [answer]
    if found is None and source.may_lack_items and isinstance(answer, dict):
        return []
    if not isinstance(found, list):
        raise ValueError("the profiles are not a list")
    return found


def login_tokens(answer: Mapping[str, Any], facts: Facts, now: datetime, *, asked: str) -> Tokens:
    """The tokens in a token endpoint's answer. Raises ValueError or OverflowError if it can't be read.

    An answer without a scope means what was `asked` for (RFC 6749, 5.1).
    """
    refresh_token = at(answer, facts.answer.refresh_token)
    return Tokens(
        access_token=token(at(answer, facts.answer.access_token)),
        refresh_token=token(refresh_token) if refresh_token else None,
        expire_time=_expire_time(at(answer, facts.answer.expires_in), now),
        scopes=_scopes(at(answer, facts.answer.scope) or asked),
        context={name: _identifier(at(answer, path)) for name, path in facts.context.items()},
    )


def renewed_tokens(answer: Mapping[str, Any], facts: Facts, now: datetime, old: Tokens) -> Tokens:
    """The tokens in an answer that follows on others: what it does not say is as it was. Raises the same."""
    refresh_token = at(answer, facts.answer.refresh_token)
    scope = at(answer, facts.answer.scope)
    return Tokens(
        access_token=token(at(answer, facts.answer.access_token)),
        refresh_token=token(refresh_token) if refresh_token else old.refresh_token,
        expire_time=_expire_time(at(answer, facts.answer.expires_in), now),
        scopes=_scopes(scope) if scope else old.scopes,
        context=old.context,
    )


def client(answer: object) -> tuple[str, str]:
    """Id and secret in the answer to a registration. Raises ValueError if it can't be read."""
    client_id, secret = _identifier(at(answer, "client_id")), token(at(answer, "client_secret"))
    if len(client_id) > TEXT or len(secret) > TEXT:
        raise ValueError("a client is longer than is kept")
    return client_id, secret


def _scopes(scope: object) -> tuple[str, ...]:
    """Of a list, or of a text: with spaces, as RFC 6749 has it, or with commas, whatever was asked with."""
    parts = scope if isinstance(scope, list) else _text(scope).replace(",", " ").split()
    return tuple(part for part in map(_text, parts) if part)


def profile(item: object, fields: ProfileFields, login: Tokens, now: datetime) -> Profile:
    """One item of a profiles answer. Raises ValueError or OverflowError if it can't be read."""
    if not isinstance(item, dict):
        raise ValueError("a profile is not an object")

    def found(path: str) -> Any:
        return at(item, path) if path else None

    def identified(path: str) -> Any:
        return fill(path, login.context) if PLACEHOLDER.fullmatch(path) else found(path)

    photo = _text(found(fields.profile_photo_url))
    own = found(fields.access_token)
    return Profile(
        platform_user_id=_identifier(identified(fields.platform_user_id)),
        username=_text(found(fields.username)),
        display_name=" ".join(filter(None, (_text(found(path)) for path in fields.display_name.split()))),
        profile_photo_url=photo if photo.startswith(("https://", "http://")) else "",
        tokens=_own_tokens(found, fields, login, now) if own else login,
        shares_tokens=not own,
    )


def _own_tokens(found: Callable[[str], Any], fields: ProfileFields, login: Tokens, now: datetime) -> Tokens:
    refresh_token = found(fields.refresh_token)
    return Tokens(
        access_token=token(found(fields.access_token)),
        refresh_token=token(refresh_token) if refresh_token else None,
        expire_time=_expire_time(found(fields.expires_in), now),
        scopes=login.scopes,
        context=login.context,
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


def token(value: object, most: int = TOKEN) -> str:
    """A token, or another text of printable ASCII that is not empty. Raises ValueError for anything else."""
    if not (isinstance(value, str) and value and value.isascii() and value.isprintable()):
        raise ValueError("a token is missing or is no printable ASCII")
    if len(value) > most:
        raise ValueError("a token is longer than is kept")
    return value


def _expire_time(expires_in: object, now: datetime) -> datetime | None:
    if expires_in is None:
        return None
    if not isinstance(expires_in, (int, str)):
        raise ValueError("expires_in is no whole number")
    return now + timedelta(seconds=int(expires_in))
