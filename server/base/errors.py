"""What can go wrong, as the caller is told: each class is a kind, a reason and a message.

Whoever renders one asks for these: gRPC in rpc/status.py, HTTP in web/problems.py.
"""

from collections.abc import Sequence
from datetime import timedelta
from enum import IntEnum
from typing import ClassVar, NamedTuple

from generated.hitchpost.v1 import error_reason_pb2 as pb


class Kind(IntEnum):
    """What sort of failure it is: the codes of google.rpc.Code, which gRPC has, too."""

    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


class HitchpostError(Exception):
    """An error that the caller is told about.

    Keyword arguments fill the message's {placeholders} and become `metadata`, so none of them may be a
    secret or another owner's data.
    """

    kind: ClassVar[Kind]
    reason: ClassVar[int]
    message: ClassVar[str]
    retry_after: timedelta | None = None

    def __init__(self, **metadata: str) -> None:
        self.metadata = metadata
        super().__init__(self.message.format(**metadata))

    @property
    def for_operator(self) -> str:
        """What a log or the command line says."""
        return str(self)


class FieldViolation(NamedTuple):
    """One wrong field: its path in the request (`media[0].url`) and what would be right."""

    field: str
    description: str


class InvalidArgument(HitchpostError):
    """Fields of a request are wrong; `violations` says which, and what would be right."""

    kind, reason = Kind.INVALID_ARGUMENT, pb.ERROR_REASON_FIELD_INVALID
    message = "The request is invalid: {fields}."

    # Trailers are metadata, for which clients accept 8 KiB by default.
    MAX_VIOLATIONS = 20

    def __init__(self, violations: Sequence[FieldViolation]) -> None:
        self.violations = violations[: self.MAX_VIOLATIONS]
        super().__init__(fields="; ".join(f"{v.field}: {v.description}" for v in self.violations))
        self.metadata = {}


def invalid(field: str, description: str) -> InvalidArgument:
    """The error for a single wrong field."""
    return InvalidArgument([FieldViolation(field, description)])


class ApiKeyMissing(HitchpostError):
    """A call came without an API key, or with one in another form than Bearer."""

    kind, reason = Kind.UNAUTHENTICATED, pb.ERROR_REASON_API_KEY_MISSING
    message = 'This call needs an API key with its scheme, as metadata: send "authorization: Bearer <key>".'


class ApiKeyInvalid(HitchpostError):
    """No project has this API key, or it was revoked."""

    kind, reason = Kind.UNAUTHENTICATED, pb.ERROR_REASON_API_KEY_INVALID
    message = "The API key is unknown or revoked."


class ApiKeyReadOnly(HitchpostError):
    """A read-only key was used for a method that writes."""

    kind, reason = Kind.PERMISSION_DENIED, pb.ERROR_REASON_API_KEY_READ_ONLY
    message = "The API key is read-only; {method} writes."


class OwnedByAnother(HitchpostError):
    """A profile is claimed for an owner while another has it."""

    kind, reason = Kind.ALREADY_EXISTS, pb.ERROR_REASON_OWNED_BY_ANOTHER
    message = "This {platform} profile is already connected for another owner; nothing was changed."


class OwnerMismatch(HitchpostError):
    """A call that is confined to an owner, or names one, meets what is not theirs."""

    kind, reason = Kind.PERMISSION_DENIED, pb.ERROR_REASON_OWNER_MISMATCH
    message = "This belongs to another owner, or to none, than the one the call names."


class ExternalIdImmutable(HitchpostError):
    """An update would give an account that has an owner another one."""

    kind, reason = Kind.PERMISSION_DENIED, pb.ERROR_REASON_EXTERNAL_ID_IMMUTABLE
    message = "The account's external_id can't be changed by an update; use TransferSocialAccount."


class SocialAccountNotFound(HitchpostError):
    """The project has no account with this id."""

    kind, reason = Kind.NOT_FOUND, pb.ERROR_REASON_SOCIAL_ACCOUNT_NOT_FOUND
    message = "There is no social account {id}."


class SocialPostNotFound(HitchpostError):
    """The project has no post with this id."""

    kind, reason = Kind.NOT_FOUND, pb.ERROR_REASON_SOCIAL_POST_NOT_FOUND
    message = "There is no social post {id}."


class PlatformAppNotFound(HitchpostError):
    """The project has no app of a platform with this id."""

    kind, reason = Kind.NOT_FOUND, pb.ERROR_REASON_PLATFORM_APP_NOT_FOUND
    message = "There is no platform app {id}."


class EtagMismatch(HitchpostError):
    """The caller decided by a state that is no longer there."""

    kind, reason = Kind.ABORTED, pb.ERROR_REASON_ETAG_MISMATCH
    message = "The resource has changed since this etag was read; read it again and decide again."


class RequestIdReused(HitchpostError):
    """Two different requests have the same request_id."""

    kind, reason = Kind.FAILED_PRECONDITION, pb.ERROR_REASON_REQUEST_ID_REUSED
    message = "This request_id was already used for another body, method or owner; use a new one."


class SocialAccountHasPosts(HitchpostError):
    """An account that posts still name can't be deleted."""

    kind, reason = Kind.FAILED_PRECONDITION, pb.ERROR_REASON_SOCIAL_ACCOUNT_HAS_POSTS
    message = "Posts still name this account; delete them first, or disconnect the account instead."


class SocialPostNotEditable(HitchpostError):
    """A post has left the states in which it can be changed."""

    kind, reason = Kind.FAILED_PRECONDITION, pb.ERROR_REASON_SOCIAL_POST_NOT_EDITABLE
    message = "Only a draft or a scheduled post can be changed or deleted; this one is {state}."


class SocialPostNotPublishable(HitchpostError):
    """A post has left the states from which it can be sent."""

    kind, reason = Kind.FAILED_PRECONDITION, pb.ERROR_REASON_SOCIAL_POST_NOT_PUBLISHABLE
    message = "Only a draft or a scheduled post can be published; this one is {state}."


class SocialPostNotCancellable(HitchpostError):
    """No target of a post is scheduled and not begun yet."""

    kind, reason = Kind.FAILED_PRECONDITION, pb.ERROR_REASON_SOCIAL_POST_NOT_CANCELLABLE
    message = "Nothing of this post is left that could be called off; it is {state}."


class SocialPostNotRetryable(HitchpostError):
    """What is to be sent again has not failed."""

    kind, reason = Kind.FAILED_PRECONDITION, pb.ERROR_REASON_SOCIAL_POST_NOT_RETRYABLE
    message = "Only what has FAILED can be sent again; this is {state}."


class SocialPostTargetNotUnconfirmed(HitchpostError):
    """Somebody says what became of a target of which that is known, or which is still being sent."""

    kind, reason = Kind.FAILED_PRECONDITION, pb.ERROR_REASON_SOCIAL_POST_TARGET_NOT_UNCONFIRMED
    message = "Only a target that is UNCONFIRMED can be resolved; this one is {state}."


class SocialPostTargetNotFound(HitchpostError):
    """A post has no target for this account."""

    kind, reason = Kind.NOT_FOUND, pb.ERROR_REASON_SOCIAL_POST_TARGET_NOT_FOUND
    message = "The post is not for the social account {id}."


class AnswerTooLarge(HitchpostError):
    """A single resource, stored by an earlier version, has no room in an answer."""

    kind, reason = Kind.FAILED_PRECONDITION, pb.ERROR_REASON_ANSWER_TOO_LARGE
    message = "The answer has {bytes} bytes, more than clients accept: shorten the post, or delete it."


class PlatformNotConfigured(HitchpostError):
    """No platform of this name can be connected here."""

    kind, reason = Kind.FAILED_PRECONDITION, pb.ERROR_REASON_PLATFORM_NOT_CONFIGURED
    message = (
        "There is no app for connecting {platform}: register one there, and set it with SetPlatformApp "
        "or hitchpost apps set."
    )


class PlatformUnavailable(HitchpostError):
    """A platform did not answer before anything was decided; the same call may be repeated."""

    kind, reason = Kind.UNAVAILABLE, pb.ERROR_REASON_PLATFORM_UNAVAILABLE
    message = "{platform} can't be reached at the moment; nothing was lost, try the same call again."
    retry_after = timedelta(seconds=5)


class AuthStateUnknown(HitchpostError):
    """A callback's state belongs to no attempt."""

    kind, reason = Kind.NOT_FOUND, pb.ERROR_REASON_AUTH_STATE_UNKNOWN
    message = "No connection attempt has this state; begin a new one with CreateAuthUrl."


class AuthStateUsed(HitchpostError):
    """An attempt is completed a second time."""

    kind, reason = Kind.FAILED_PRECONDITION, pb.ERROR_REASON_AUTH_STATE_USED
    message = "This connection attempt was already completed; begin a new one with CreateAuthUrl."


class AuthStateExpired(HitchpostError):
    """An attempt is completed after its lifetime."""

    kind, reason = Kind.FAILED_PRECONDITION, pb.ERROR_REASON_AUTH_STATE_EXPIRED
    message = "This connection attempt has expired; begin a new one with CreateAuthUrl."


class AuthStateOfAnotherProject(HitchpostError):
    """An attempt is completed with a key of another project."""

    kind, reason = Kind.NOT_FOUND, pb.ERROR_REASON_AUTH_STATE_OF_ANOTHER_PROJECT
    message = "This connection attempt was begun with an API key of another project."


class AuthDenied(HitchpostError):
    """The person declined on the platform's page."""

    kind, reason = Kind.FAILED_PRECONDITION, pb.ERROR_REASON_AUTH_DENIED
    message = "The connection was declined on the page of {platform}."


class AuthCodeRefused(HitchpostError):
    """The platform did not take the code that the browser brought back."""

    kind, reason = Kind.FAILED_PRECONDITION, pb.ERROR_REASON_AUTH_CODE_REFUSED
    message = "{platform} refused the authorization code; begin a new attempt with CreateAuthUrl."


class AuthInterrupted(HitchpostError):
    """The code is spent, and then the platform failed."""

    kind, reason = Kind.ABORTED, pb.ERROR_REASON_AUTH_INTERRUPTED
    message = "{platform} failed after it had accepted the code; begin a new attempt with CreateAuthUrl."


class AuthWrongProfile(HitchpostError):
    """A reconnect of one account brought other profiles."""

    kind, reason = Kind.FAILED_PRECONDITION, pb.ERROR_REASON_AUTH_WRONG_PROFILE
    message = "The person signed in to {platform} with another profile than the one to reconnect."


class AuthNoProfile(HitchpostError):
    """A login brought no profile at all."""

    kind, reason = Kind.FAILED_PRECONDITION, pb.ERROR_REASON_AUTH_NO_PROFILE
    message = "The login to {platform} shared no profile."


class AuthConfirmationUnknown(HitchpostError):
    """The project has no attempt with this confirmation_code."""

    kind, reason = Kind.NOT_FOUND, pb.ERROR_REASON_AUTH_CONFIRMATION_UNKNOWN
    message = "No connection attempt has this confirmation_code; begin a new one with CreateAuthUrl."


class AuthConfirmationUsed(HitchpostError):
    """A confirmation_code is given a second time, or after the wrong owner has come with it."""

    kind, reason = Kind.FAILED_PRECONDITION, pb.ERROR_REASON_AUTH_CONFIRMATION_USED
    message = "This confirmation_code was used already; begin a new attempt with CreateAuthUrl."


class AppPasswordRefused(HitchpostError):
    """An account's server does not accept an app password."""

    kind, reason = Kind.FAILED_PRECONDITION, pb.ERROR_REASON_APP_PASSWORD_REFUSED
    message = (
        "{platform} refused this app password for this account; let the account's owner make a new one in "
        "its settings, and call again with that."
    )


class HandleUnknown(HitchpostError):
    """No account that can be connected is found by a handle or DID."""

    kind, reason = Kind.FAILED_PRECONDITION, pb.ERROR_REASON_HANDLE_UNKNOWN
    message = (
        "No {platform} account was found by this handle at a server of its own; look for a typing error, and "
        "whether the handle's domain and the account name each other."
    )


class Overloaded(HitchpostError):
    """A bound of calls, bytes or questions is reached; see rpc/traffic.py and rpc/lanes.py."""

    kind, reason = Kind.RESOURCE_EXHAUSTED, pb.ERROR_REASON_OVERLOADED
    message = "The server has more calls waiting than it accepts; try again shortly."
    retry_after = timedelta(seconds=1)


class RateLimited(HitchpostError):
    """A key makes more calls than it may."""

    kind, reason = Kind.RESOURCE_EXHAUSTED, pb.ERROR_REASON_RATE_LIMITED
    message = "This API key has made more than {limit} calls a second; wait a moment, and call less often."
    retry_after = timedelta(seconds=1)


class RequestNotReceived(HitchpostError):
    """A call was begun, and its message did not come."""

    kind, reason = Kind.DEADLINE_EXCEEDED, pb.ERROR_REASON_REQUEST_NOT_RECEIVED
    message = "The call's request did not arrive in time; send the message together with the call."


class MethodUnknown(HitchpostError):
    """A method was called that this server does not have."""

    kind, reason = Kind.UNIMPLEMENTED, pb.ERROR_REASON_METHOD_UNKNOWN
    message = "This server has no method {method}; look at the service's name, and at the server's version."


class DatabaseUnavailable(HitchpostError):
    """The database is away, can't be written to, or did not confirm a write."""

    kind, reason = Kind.UNAVAILABLE, pb.ERROR_REASON_DATABASE_UNAVAILABLE
    message = "The database can't be reached at the moment; try again."
    retry_after = timedelta(seconds=1)

    def __init__(self, cause: str = "", *, passes: bool = True) -> None:
        """`cause` is for the operator alone: it names hosts and users. `passes`: whether waiting may help."""
        super().__init__()
        self.cause, self.passes = cause, passes

    @property
    def for_operator(self) -> str:
        """Which of the many causes it is, in the driver's words."""
        return self.cause or str(self)


class StatementTimeout(HitchpostError):
    """PostgreSQL gave a statement up."""

    kind, reason = Kind.DEADLINE_EXCEEDED, pb.ERROR_REASON_STATEMENT_TIMEOUT
    message = "A database statement took longer than this server allows; narrow the request."


class ConcurrentWrite(HitchpostError):
    """PostgreSQL broke a deadlock, or gave up to serialize two writes."""

    kind, reason = Kind.ABORTED, pb.ERROR_REASON_CONCURRENT_WRITE
    message = "Another call changed the same rows at the same time; nothing was changed, try again."
    retry_after = timedelta(milliseconds=100)


class Internal(HitchpostError):
    """A defect, or what nobody expected."""

    kind, reason = Kind.INTERNAL, pb.ERROR_REASON_INTERNAL
    message = "Internal error; the server's log has the details under this call's x-request-id."


def reason_name(error: HitchpostError) -> str:
    """The reason as ErrorInfo has it: ERROR_REASON_OWNED_BY_ANOTHER."""
    return pb.ErrorReason.Name(error.reason)
