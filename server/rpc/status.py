"""Errors as google.rpc.Status, which gRPC clients read the details of."""

from google.rpc import error_details_pb2, status_pb2

from server.base.errors import HitchpostError, InvalidArgument, reason_name

DOMAIN = "hitchpost"


def to_status(error: HitchpostError) -> status_pb2.Status:
    """The error as google.rpc.Status: ErrorInfo, then BadRequest or RetryInfo where they apply."""
    status = status_pb2.Status(code=error.kind, message=str(error))
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
