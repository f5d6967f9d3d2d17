"""What failures say to an owner, and how long they are tried."""

from datetime import timedelta
from typing import Any

from generated.hitchpost.v1 import social_post_service_pb2 as pb
from server.accounts import publishing
from server.publish.publisher import PublishFailed
from server.storage.due_work import backoff

AUTH, PERMISSION = pb.PUBLISH_ERROR_CATEGORY_AUTH, pb.PUBLISH_ERROR_CATEGORY_PERMISSION
PLATFORM, NETWORK = pb.PUBLISH_ERROR_CATEGORY_PLATFORM, pb.PUBLISH_ERROR_CATEGORY_NETWORK
RATE_LIMIT = pb.PUBLISH_ERROR_CATEGORY_RATE_LIMIT

FIRST_SECONDS, MOST_SECONDS = 5.0, 600.0
# Since it was first begun.
GIVE_UP, GIVE_UP_LIMITED = timedelta(hours=1), timedelta(days=1)

_RECONNECT = "Let the account's person connect it again, then call RetrySocialPost."
# Category, message, and whether the same may succeed without anybody changing the post or the account.
_UNUSABLE = {
    publishing.OWNER_CHANGED: (
        PERMISSION,
        "The account is not whose it was when this was scheduled. To publish it in the name of whose it is "
        "now, create the post anew.",
        False,
    ),
    publishing.DISCONNECTED: (AUTH, f"The account is disconnected. {_RECONNECT}", False),
    publishing.NEEDS_REAUTH: (AUTH, f"The account's tokens do not work any more. {_RECONNECT}", False),
    publishing.TOKENS_EXPIRED: (
        AUTH,
        f"The account's access token has expired, and can't be refreshed. {_RECONNECT}",
        False,
    ),
    publishing.APP_DELETED: (AUTH, f"The app that the account was connected by is gone. {_RECONNECT}", False),
    publishing.TOKENS_UNREADABLE: (
        AUTH,
        "No encryption key of this server decrypts the account's tokens. Let its operator look at hitchpost "
        "doctor, then call RetrySocialPost.",
        True,
    ),
}


def unusable(code: str) -> PublishFailed:
    """The account can't be published for; see accounts/publishing.py."""
    category, message, retryable = _UNUSABLE[code]
    return PublishFailed(category, code, message, retryable=retryable)


def unsupported() -> PublishFailed:
    """There is no publisher for the platform."""
    return PublishFailed(
        PLATFORM, "PLATFORM_NOT_SUPPORTED", "This server can't publish to the account's platform yet."
    )


def too_late() -> PublishFailed:
    """It could not be begun for a day."""
    return PublishFailed(
        PLATFORM,
        "TOO_LATE",
        "It was due more than a day ago, and could not be sent then. RetrySocialPost sends it now.",
        retryable=True,
    )


def tokens_refused() -> PublishFailed:
    """The platform says that they have ended, and new ones are not to be had, or are refused, too."""
    return PublishFailed(AUTH, "TOKENS_REFUSED", f"The platform refuses the account's tokens. {_RECONNECT}")


def unanswered(code: str) -> PublishFailed:
    """Nobody knows how a call ended that publishes nothing."""
    return PublishFailed(NETWORK, code, "The platform did not answer; it is tried again.", retryable=True)


def not_ready() -> PublishFailed:
    """The platform does not come to an end with what it was given."""
    return PublishFailed(
        PLATFORM, "NOT_READY", "The platform is still at work on what it was given.", retryable=True
    )


def internal() -> PublishFailed:
    """A defect, or what nobody expected, while nothing was published."""
    return PublishFailed(PLATFORM, "INTERNAL", "The server failed; its log has the details.", retryable=True)


def error(failure: PublishFailed, *, given_up: bool = False) -> dict[str, Any]:
    """As it is stored and shown: by the names of PublishError."""
    message = failure.message
    if given_up:
        message = f"It was tried in vain for {_span(failure)}. RetrySocialPost sends it again."
    return {
        "category": failure.category,
        "code": failure.code,
        "message": message,
        "retryable": failure.retryable,
    }


def unconfirmed(code: str) -> dict[str, Any]:
    """The error of what may have been published."""
    return {
        "category": PLATFORM if code.startswith("HTTP") else NETWORK,
        "code": code,
        "message": "Nobody knows whether the platform has published it, so it is not sent again by itself. "
        "Look there, then call ResolveSocialPostTarget.",
        "retryable": False,
    }


def delay(failure: PublishFailed, tried: int, since: timedelta) -> float | None:
    """In how many seconds to try again, after so many tries, the first of them so long ago; None is never."""
    if not failure.retryable:
        return None
    seconds = failure.retry_after
    if seconds is None:
        seconds = backoff(tried, first=FIRST_SECONDS, most=MOST_SECONDS)
    limit = GIVE_UP_LIMITED if failure.category == RATE_LIMIT else GIVE_UP
    return None if since + timedelta(seconds=seconds) > limit else seconds


def _span(failure: PublishFailed) -> str:
    return "a day" if failure.category == RATE_LIMIT else "an hour"
