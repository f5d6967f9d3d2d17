"""Domain errors: each class is a status code, a reason and a message, and `to_status` is the only
place that turns one into google.rpc details."""

import traceback
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

from generated.hitchpost.v1 import error_reason_pb2 as pb

DOMAIN = "hitchpost"


class HitchpostError(Exception):
    """An error that the caller is told about: the docstring of a subclass is its message.

    Keyword arguments fill the message's {placeholders} and become ErrorInfo.metadata, so none of them
    may be a secret or another owner's data.
    """

    code = StatusCode.INTERNAL
    reason = pb.ERROR_REASON_INTERNAL
    retry_after: timedelta | None = None

    def __init__(self, **metadata: str) -> None:
        self.metadata = metadata
        super().__init__((type(self).__doc__ or "").format(**metadata))

    @property
    def for_operator(self) -> str:
        """What a log or the command line says."""
        return str(self)


class FieldViolation(NamedTuple):
    """One wrong field: its path in the request (`media[0].url`) and what would be right."""

    field: str
    description: str


class InvalidArgument(HitchpostError):
    """The request is invalid: {fields}."""

    code, reason = StatusCode.INVALID_ARGUMENT, pb.ERROR_REASON_FIELD_INVALID

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
    """This call needs an API key with its scheme, as metadata: send "authorization: Bearer <key>"."""

    code, reason = StatusCode.UNAUTHENTICATED, pb.ERROR_REASON_API_KEY_MISSING


class ApiKeyInvalid(HitchpostError):
    """The API key is unknown or revoked."""

    code, reason = StatusCode.UNAUTHENTICATED, pb.ERROR_REASON_API_KEY_INVALID


class ApiKeyReadOnly(HitchpostError):
    """The API key is read-only; {method} writes."""

    code, reason = StatusCode.PERMISSION_DENIED, pb.ERROR_REASON_API_KEY_READ_ONLY


class OwnedByAnother(HitchpostError):
    """This {platform} profile is already connected for another owner; nothing was changed."""

    code, reason = StatusCode.ALREADY_EXISTS, pb.ERROR_REASON_OWNED_BY_ANOTHER


class OwnerMismatch(HitchpostError):
    """This belongs to another owner, or to none, than the one the call names."""

    code, reason = StatusCode.PERMISSION_DENIED, pb.ERROR_REASON_OWNER_MISMATCH


class ExternalIdImmutable(HitchpostError):
    """The account's external_id can't be changed by an update; use TransferSocialAccount."""

    code, reason = StatusCode.PERMISSION_DENIED, pb.ERROR_REASON_EXTERNAL_ID_IMMUTABLE


class SocialAccountNotFound(HitchpostError):
    """There is no social account {id}."""

    code, reason = StatusCode.NOT_FOUND, pb.ERROR_REASON_SOCIAL_ACCOUNT_NOT_FOUND


class SocialPostNotFound(HitchpostError):
    """There is no social post {id}."""

    code, reason = StatusCode.NOT_FOUND, pb.ERROR_REASON_SOCIAL_POST_NOT_FOUND


class EtagMismatch(HitchpostError):
    """The resource has changed since this etag was read; read it again and decide again."""

    code, reason = StatusCode.ABORTED, pb.ERROR_REASON_ETAG_MISMATCH


class RequestIdReused(HitchpostError):
    """This request_id was already used for another body, method or owner; use a new one."""

    code, reason = StatusCode.FAILED_PRECONDITION, pb.ERROR_REASON_REQUEST_ID_REUSED


class SocialAccountHasPosts(HitchpostError):
    """Posts still name this account; delete them first, or disconnect the account instead."""

    code, reason = StatusCode.FAILED_PRECONDITION, pb.ERROR_REASON_SOCIAL_ACCOUNT_HAS_POSTS


class SocialPostNotEditable(HitchpostError):
    """Only a draft or a scheduled post can be changed or deleted; this one is {state}."""

    code, reason = StatusCode.FAILED_PRECONDITION, pb.ERROR_REASON_SOCIAL_POST_NOT_EDITABLE


class AnswerTooLarge(HitchpostError):
    """The answer has {bytes} bytes, more than clients accept: update the post to have less, or delete it."""

    code, reason = StatusCode.FAILED_PRECONDITION, pb.ERROR_REASON_ANSWER_TOO_LARGE


class PlatformNotConfigured(HitchpostError):
    """This server has no settings for connecting {platform}."""

    code, reason = StatusCode.FAILED_PRECONDITION, pb.ERROR_REASON_PLATFORM_NOT_CONFIGURED


class PlatformUnavailable(HitchpostError):
    """{platform} can't be reached at the moment; nothing was lost, try the same call again."""

    code, reason = StatusCode.UNAVAILABLE, pb.ERROR_REASON_PLATFORM_UNAVAILABLE
    retry_after = timedelta(seconds=5)


class AuthStateUnknown(HitchpostError):
    """No connection attempt has this state; begin a new one with CreateAuthUrl."""

    code, reason = StatusCode.NOT_FOUND, pb.ERROR_REASON_AUTH_STATE_UNKNOWN


class AuthStateUsed(HitchpostError):
    """This connection attempt was already completed; begin a new one with CreateAuthUrl."""

    code, reason = StatusCode.FAILED_PRECONDITION, pb.ERROR_REASON_AUTH_STATE_USED


class AuthStateExpired(HitchpostError):
    """This connection attempt has expired; begin a new one with CreateAuthUrl."""

    code, reason = StatusCode.FAILED_PRECONDITION, pb.ERROR_REASON_AUTH_STATE_EXPIRED


class AuthStateOfAnotherProject(HitchpostError):
    """This connection attempt was begun with an API key of another project."""

    code, reason = StatusCode.NOT_FOUND, pb.ERROR_REASON_AUTH_STATE_OF_ANOTHER_PROJECT


class AuthDenied(HitchpostError):
    """The connection was declined on the page of {platform}."""

    code, reason = StatusCode.FAILED_PRECONDITION, pb.ERROR_REASON_AUTH_DENIED


class AuthCodeRefused(HitchpostError):
    """{platform} refused the authorization code; begin a new attempt with CreateAuthUrl."""

    code, reason = StatusCode.FAILED_PRECONDITION, pb.ERROR_REASON_AUTH_CODE_REFUSED


class AuthInterrupted(HitchpostError):
    """{platform} failed after it had accepted the code; begin a new attempt with CreateAuthUrl."""

    code, reason = StatusCode.ABORTED, pb.ERROR_REASON_AUTH_INTERRUPTED


class AuthWrongProfile(HitchpostError):
    """The person signed in to {platform} with another profile than the one to reconnect."""

    code, reason = StatusCode.FAILED_PRECONDITION, pb.ERROR_REASON_AUTH_WRONG_PROFILE


class AuthNoProfile(HitchpostError):
    """The login to {platform} shared no profile."""

    code, reason = StatusCode.FAILED_PRECONDITION, pb.ERROR_REASON_AUTH_NO_PROFILE


class Overloaded(HitchpostError):
    """The server has more calls waiting than it accepts; try again shortly."""

    code, reason = StatusCode.RESOURCE_EXHAUSTED, pb.ERROR_REASON_OVERLOADED
    retry_after = timedelta(seconds=1)


class RequestNotReceived(HitchpostError):
    """The call's request did not arrive in time; send the message together with the call."""

    code, reason = StatusCode.DEADLINE_EXCEEDED, pb.ERROR_REASON_REQUEST_NOT_RECEIVED


class MethodUnknown(HitchpostError):
    """This server has no method {method}; look at the service's name, and at the server's version."""

    code, reason = StatusCode.UNIMPLEMENTED, pb.ERROR_REASON_METHOD_UNKNOWN


class DatabaseUnavailable(HitchpostError):
    """The database can't be reached at the moment; try again."""

    code, reason = StatusCode.UNAVAILABLE, pb.ERROR_REASON_DATABASE_UNAVAILABLE
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
    """A database statement took longer than this server allows; narrow the request."""

    code, reason = StatusCode.DEADLINE_EXCEEDED, pb.ERROR_REASON_STATEMENT_TIMEOUT


class ConcurrentWrite(HitchpostError):
    """Another call changed the same rows at the same time; nothing was changed, try again."""

    code, reason = StatusCode.ABORTED, pb.ERROR_REASON_CONCURRENT_WRITE
    retry_after = timedelta(milliseconds=100)


class Internal(HitchpostError):
    """Internal error; the server's log has the details under this call's x-request-id."""


def forget_frames(error: BaseException | None) -> None:
    """Lets go of all that an error's way holds, since the error is in one of its frames, too.

    Such a cycle would keep the request and all that was made of it until the cyclic collector comes.
    """
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def reason_name(error: HitchpostError) -> str:
    """The reason as ErrorInfo has it: ERROR_REASON_OWNED_BY_ANOTHER."""
    return pb.ErrorReason.Name(error.reason)


def to_status(error: HitchpostError) -> status_pb2.Status:
    """The error as google.rpc.Status: ErrorInfo, then BadRequest or RetryInfo where they apply."""
    status = status_pb2.Status(code=error.code.value[0], message=str(error))
    status.details.add().Pack(
        error_details_pb2.ErrorInfo(reason=reason_name(error), domain=DOMAIN, metadata=error.metadata)
    )
    if isinstance(error, InvalidArgument):
        bad_request = error_details_pb2.BadRequest()
        for violation in error.violations:
            bad_request.field_violations.add(field=violation.field, description=violation.description)
        status.details.add().Pack(bad_request)
    if error.retry_after is not None:
        retry_info = error_details_pb2.RetryInfo()
        retry_info.retry_delay.FromTimedelta(error.retry_after)
        status.details.add().Pack(retry_info)
    return status
