"""What servers of the AT Protocol say when they refuse, and what it means for a post.

Facts: @atproto/pds and @atproto/oauth-provider, which most accounts are at, and
https://docs.bsky.app/docs/advanced-guides/rate-limits.
"""

import re
from typing import Any

import httpx2

from server.base.identity import utc_now
from server.publish import calls
from server.publish.categories import AUTH, CONTENT, DUPLICATE, MEDIA, PERMISSION, PLATFORM, RATE_LIMIT
from server.publish.publisher import PublishFailed, TokenExpired, Uncertain

CONNECT = (
    "The account's server does not let these tokens in: connect the account again, then RetrySocialPost."
)
SUSPENDED = "The account is suspended or deactivated at its server: its person has to settle that there."
ALLOW = (
    "The connection may not publish: connect the account again with the permission transition:generic, "
    "then RetrySocialPost."
)
CHANGE = "The server does not take this text or one of its options: change the post."
CHANGE_MEDIUM = "The server does not take a medium, its type or its size: change it, then RetrySocialPost."
UPLOAD_AGAIN = (
    "The server has forgotten a medium that was not used for too long: RetrySocialPost uploads it again."
)
TAKEN = "Another post is where this one was to be: look at the profile, then RetrySocialPost."
NO_POST = (
    "The post that this one replies to is not there, or nobody knows its address: it can't be published."
)
CLOCK = (
    "The server does not take our signature; the clock of its machine may be wrong, or that of the database."
)
UNKNOWN = "The account's server does not know this call: it may be no server for posts of Bluesky."

# With new tokens the same may succeed: of an app password's session, and by OAuth (RFC 6750).
EXPIRED = {"ExpiredToken", "invalid_token"}
REFUSALS = {
    "AccountDeactivated": (AUTH, SUSPENDED),
    "AccountNotFound": (AUTH, CONNECT),
    "AccountSuspended": (AUTH, SUSPENDED),
    "AccountTakedown": (AUTH, SUSPENDED),
    "AuthFactorTokenRequired": (AUTH, CONNECT),
    "AuthMissing": (AUTH, CONNECT),
    "AuthenticationRequired": (AUTH, CONNECT),
    "BlobNotFound": (MEDIA, UPLOAD_AGAIN),
    "BlobTooLarge": (MEDIA, CHANGE_MEDIUM),
    "InvalidMimeType": (MEDIA, CHANGE_MEDIUM),
    "InvalidSize": (MEDIA, CHANGE_MEDIUM),
    "InvalidSwap": (DUPLICATE, TAKEN),
    "InvalidToken": (AUTH, CONNECT),
    "MethodNotImplemented": (PLATFORM, UNKNOWN),
    "PayloadTooLarge": (MEDIA, CHANGE_MEDIUM),
    "ScopeMissingError": (PERMISSION, ALLOW),
    "XRPCNotSupported": (PLATFORM, UNKNOWN),
}
# For names that are not known.
BY_STATUS = {
    401: (AUTH, CONNECT),
    403: (PERMISSION, ALLOW),
    404: (PLATFORM, UNKNOWN),
    413: (MEDIA, CHANGE_MEDIUM),
    501: (PLATFORM, UNKNOWN),
}
# The only one of its kind after which it is certain that nothing has happened.
NOT_IMPLEMENTED = 501
# Of our signature; it may be good at the next try.
SIGNATURES = {"invalid_dpop_proof", "use_dpop_nonce"}

# Writes are counted for each account, by the hour and by the day; all else for each address that calls.
POLICY = re.compile(r"\d+;\s*w=(?P<seconds>\d{1,9})")
COUNTED_BY_ACCOUNT = (3600, 86_400)
# What a write costs.
POINTS = {"account": 2, "server": 1}
LONGEST_PAUSE = 86_400.0


def check(response: httpx2.Response, *, writes: bool = False, uploads: bool = False) -> dict[str, Any]:
    """What an answer says. `writes`: the call publishes; `uploads`: it brings a medium.

    Raises TokenExpired, PublishFailed, and Uncertain if a call that publishes may have."""
    status = response.status_code
    if status == 429:
        raise PublishFailed(
            RATE_LIMIT,
            "RateLimitExceeded",
            calls.LIMITED,
            retryable=True,
            retry_after=_seconds(response) or calls.retry_after(response),
            scope=_scope(response, writes=writes),
        )
    if status != NOT_IMPLEMENTED:
        calls.check_status(response, publishes=writes)
    said = calls.json_of(response)
    body: dict[str, Any] | None = said if isinstance(said, dict) else None
    if response.is_success:
        if body is None:
            raise _unreadable(writes=writes)
        return body
    raise _refusal(status, calls.code((body or {}).get("error"), f"HTTP {status}"), uploads=uploads)


def _refusal(status: int, code: str, *, uploads: bool) -> PublishFailed | TokenExpired:
    if code in EXPIRED:
        return TokenExpired(code)
    if code in SIGNATURES:
        return PublishFailed(PLATFORM, code, CLOCK, retryable=True)
    if status in (408, 425):
        return PublishFailed(PLATFORM, code, calls.AT_FAULT, retryable=True)
    otherwise = BY_STATUS.get(status, (MEDIA, CHANGE_MEDIUM) if uploads else (CONTENT, CHANGE))
    return PublishFailed(*_category_and_message(code, otherwise))


def _category_and_message(code: str, otherwise: tuple[int, str]) -> tuple[int, str, str]:
    category, message = REFUSALS.get(code, otherwise)
    return category, code, message


def _unreadable(*, writes: bool) -> PublishFailed | Uncertain:
    """A success that says nothing: somebody between us and the server may have made it up."""
    if writes:
        return Uncertain("an answer that can't be read")
    return PublishFailed(PLATFORM, "an answer that can't be read", calls.AT_FAULT, retryable=True)


def pause(response: httpx2.Response, *, writes: bool) -> tuple[str, float] | None:
    """Of what scope the server takes no more calls after this one, and for how many seconds."""
    remaining, scope = response.headers.get("RateLimit-Remaining", ""), _scope(response, writes=writes)
    seconds = _seconds(response)
    if seconds is None or not remaining.isdecimal() or int(remaining[:9]) >= POINTS[scope]:
        return None
    return scope, seconds


def _scope(response: httpx2.Response, *, writes: bool) -> str:
    """Whether it is a limit of the account or of our address, by how long it counts; an account's when nobody
    says so, since that holds up less."""
    policy = POLICY.fullmatch(response.headers.get("RateLimit-Policy", ""))
    if policy is None:
        return "account"
    return "account" if writes and int(policy["seconds"]) in COUNTED_BY_ACCOUNT else "server"


def _seconds(response: httpx2.Response) -> float | None:
    """How long until RateLimit-Reset, in the server's own time, since that is what it is said in."""
    reset = response.headers.get("RateLimit-Reset", "")
    if not reset.isdecimal():
        return None
    now = (calls.server_time(response) or utc_now()).timestamp()
    return min(max(float(reset[:12]) - now, 1.0), LONGEST_PAUSE)
