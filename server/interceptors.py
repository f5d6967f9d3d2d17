"""What happens around every call: observe -> errors -> authenticate -> validate, outermost first.

Each layer is a function that takes the next one; `compose` makes a method's behaviour of them once, so that a
call costs four plain function calls.
"""

import dataclasses
import logging
import random
import re
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import NoReturn

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from generated.hitchpost.v1 import social_account_service_pb2, social_post_service_pb2
from server import errors, logs, validation
from server.identity import Caller
from server.projects import KeyRing
from server.unary_server import Behaviour, Call, Metadata

log = logging.getLogger(__name__)

METHODS: dict[str, MethodDescriptor] = {
    f"/{service.full_name}/{method.name}": method
    for file in (social_account_service_pb2.DESCRIPTOR, social_post_service_pb2.DESCRIPTOR)
    for service in file.services_by_name.values()
    for method in service.methods
}
REQUEST_ID = re.compile(r"[!-~]{1,128}")

_call: ContextVar[Call] = ContextVar("call")


def caller() -> Caller:
    """Who makes the call that this thread is serving."""
    current = _call.get().caller
    if current is None:
        raise errors.ApiKeyMissing
    return current


def compose(keys: KeyRing, method: MethodDescriptor, servicer: object) -> Behaviour:
    """The servicer's method with the layers around it."""
    return observe(
        method, answer_errors(authenticate(keys, method, validate(method, getattr(servicer, method.name))))
    )


def refusal(method: MethodDescriptor) -> Behaviour:
    """What a call of this method gets when too many wait: RESOURCE_EXHAUSTED."""

    def refuse(request: bytes, call: Call) -> NoReturn:  # noqa: ARG001
        raise errors.Overloaded

    return observe(method, answer_errors(refuse))


def observe(method: MethodDescriptor, inner: Behaviour) -> Behaviour:
    """Gives the call its request id, and logs one line when it ends."""
    name = f"{method.containing_service.name}/{method.name}"

    def behaviour(request: bytes, call: Call) -> bytes | None:
        started = time.perf_counter()
        call.request_id = _request_id(call.metadata)
        call.trailers = (("x-request-id", call.request_id),)
        _call.set(call)
        try:
            return inner(request, call)
        finally:
            logs.calls(
                {
                    "method": name,
                    "code": call.code.name,
                    "duration_ms": round((time.perf_counter() - started) * 1000, 3),
                    "project": call.caller.project_id if call.caller else None,
                    "request_id": call.request_id,
                }
            )

    return behaviour


def answer_errors(inner: Behaviour) -> Behaviour:
    """Turns exceptions into a status with google.rpc details; unknown ones into INTERNAL without any."""

    def behaviour(request: bytes, call: Call) -> bytes | None:
        try:
            return inner(request, call)
        except errors.HitchpostError as domain_error:
            error = domain_error
        except Exception:
            log.exception("unexpected error", extra={"request_id": call.request_id})
            error = errors.Internal()
        status = errors.to_status(error)
        call.code, call.details = error.code, status.message
        call.trailers = (*call.trailers, ("grpc-status-details-bin", status.SerializeToString()))
        return None

    return behaviour


def authenticate(keys: KeyRing, method: MethodDescriptor, inner: Behaviour) -> Behaviour:
    """Finds out whose key the call has, whether it may write, and which owner it is confined to."""
    writes = method.GetOptions().idempotency_level != MethodOptions.NO_SIDE_EFFECTS

    def behaviour(request: bytes, call: Call) -> bytes | None:
        known = keys.caller(_api_key(call.metadata))
        call.caller = known
        if writes and known.read_only:
            raise errors.ApiKeyReadOnly(method=method.name)
        owner = _owner_scope(call.metadata)
        if owner is not None:
            call.caller = dataclasses.replace(known, owner=owner)
        return inner(request, call)

    return behaviour


def validate(method: MethodDescriptor, serve: Callable[[Message, None], Message]) -> Behaviour:
    """Reads the request, and refuses what its checks don't allow.

    Servicers get no gRPC context: what they have to say they return or raise.
    """
    decode = GetMessageClass(method.input_type).FromString

    def behaviour(request: bytes, call: Call) -> bytes:  # noqa: ARG001
        try:
            message = decode(request)
        except DecodeError:
            raise errors.invalid("request", "is not a valid message of the method's request type") from None
        validation.check(message)
        return serve(message, None).SerializeToString()

    return behaviour


def _values(metadata: Metadata, *names: str) -> list[str | bytes]:
    return [value for name, value in metadata if name in names]


def _request_id(metadata: Metadata) -> str:
    """The caller's, if it is one that can be searched for in a log; else a new one."""
    given = _values(metadata, "x-request-id")
    if len(given) == 1 and isinstance(given[0], str) and REQUEST_ID.fullmatch(given[0]):
        return given[0]
    # It has to be distinct, not secret: no call of the system is needed for it.
    return f"{random.getrandbits(128):032x}"


def _api_key(metadata: Metadata) -> str:
    values = _values(metadata, "authorization")
    if not values:
        raise errors.ApiKeyMissing
    scheme, _, key = str(values[0]).partition(" ")
    if len(values) > 1 or scheme.lower() != "bearer" or not key:
        raise errors.ApiKeyInvalid
    return key.strip()


def _checked_owner(value: str | bytes) -> str:
    try:
        return validation.owner_scope(value.decode() if isinstance(value, bytes) else value)
    except UnicodeDecodeError:
        raise errors.invalid("x-external-id-bin", "must be UTF-8") from None


def _owner_scope(metadata: Metadata) -> str | None:
    """Fails closed: an owner that is empty, malformed or given twice is refused, never taken for none."""
    values = _values(metadata, "x-external-id", "x-external-id-bin")
    if len(values) > 1:
        raise errors.invalid("x-external-id", "may be given only once, either as text or as -bin")
    return _checked_owner(values[0]) if values else None
