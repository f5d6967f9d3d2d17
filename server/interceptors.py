"""What happens around every call, in this order: its key, the owner it is confined to, its message's checks,
and whatever goes wrong made an error that the caller can read; at the end a line in the log.

`compose` puts this together once for each method. Keys come first, before the message has been received:
whoever has none can make a worker hold nothing.
"""

import dataclasses
import logging
import random
import re
import time
from collections.abc import Callable, Collection, Iterator
from contextvars import ContextVar
from functools import partial
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from generated.hitchpost.v1 import social_account_service_pb2, social_post_service_pb2
from server import errors, logs, validation
from server.call import Call, Metadata, Method, Refusal
from server.identity import Caller
from server.key_ring import KeyRing

log = logging.getLogger(__name__)

METHODS: dict[str, MethodDescriptor] = {
    f"/{service.full_name}/{method.name}": method
    for file in (social_account_service_pb2.DESCRIPTOR, social_post_service_pb2.DESCRIPTOR)
    for service in file.services_by_name.values()
    for method in service.methods
}
# Calls of these methods wait for a platform.
WAITS_FOR_PLATFORM = frozenset(("CompleteAuth", "DeleteSocialAccount", "DisconnectSocialAccount"))
# The rows that a request may have to wait for, because another call is changing them.
ROWS: dict[str, Callable[[Any], Collection[str]]] = {
    "ImportSocialAccount": lambda request: (request.platform_user_id,),
    "UpdateSocialAccount": lambda request: (request.social_account.id,),
    "TransferSocialAccount": lambda request: (request.social_account_id,),
    "DisconnectSocialAccount": lambda request: (request.social_account_id,),
    "DeleteSocialAccount": lambda request: (request.social_account_id,),
    "CreateSocialPost": lambda request: request.social_post.social_account_ids,
    "UpdateSocialPost": lambda request: (request.social_post.id, *request.social_post.social_account_ids),
    "DeleteSocialPost": lambda request: (request.social_post_id,),
}
REQUEST_ID = re.compile(r"[!-~]{1,128}")

_call: ContextVar[Call] = ContextVar("call")
_REFUSALS: dict[Refusal, Callable[[], errors.HitchpostError]] = {
    Refusal.OVERLOADED: errors.Overloaded,
    Refusal.NO_MESSAGE: lambda: errors.invalid("request", "is missing: the call ended without a message"),
    Refusal.LATE_MESSAGE: errors.RequestNotReceived,
}


def caller() -> Caller:
    """Who makes the call that this thread is serving."""
    current = _call.get().caller
    if current is None:
        raise errors.ApiKeyMissing
    return current


def deadline() -> float:
    """When the caller of the call that this thread is serving stops waiting, of time.monotonic()."""
    return _call.get().deadline


def compose(keys: KeyRing, method: MethodDescriptor, servicer: object) -> Method:
    """The servicer's method with all that happens around it."""
    return Method(
        path=f"/{method.containing_service.full_name}/{method.name}",
        lane=_lane(method),
        admit=partial(_admit, keys, method, _writes(method)),
        rows=_rows(method),
        serve=_served(method, getattr(servicer, method.name)),
        refuse=refuse,
        ended=partial(_log, f"{method.containing_service.name}/{method.name}"),
    )


def _writes(method: MethodDescriptor) -> bool:
    return bool(method.GetOptions().idempotency_level != MethodOptions.NO_SIDE_EFFECTS)


def _lane(method: MethodDescriptor) -> str:
    if method.name in WAITS_FOR_PLATFORM:
        return "platform"
    return "write" if _writes(method) else "read"


def _rows(method: MethodDescriptor) -> Callable[[bytes, Call], Collection[str]]:
    """What finds the rows that a request of this method may have to wait for."""
    find = ROWS.get(method.name)
    if find is None:
        return _no_rows
    decode = GetMessageClass(method.input_type).FromString

    def rows(request: bytes, call: Call) -> Collection[str]:
        project = call.caller.project_id if call.caller else ""
        try:
            return [f"{project} {row}" for row in set(find(decode(request)))]
        except DecodeError:
            return ()

    return rows


def _no_rows(request: bytes, call: Call) -> Collection[str]:  # noqa: ARG001
    return ()


def _admit(
    keys: KeyRing, method: MethodDescriptor, writes: bool, call: Call, then: Callable[[], None]
) -> None:
    """Finds out whose key the call has, whether it may write, and which owner it is confined to."""
    _begin(call)
    try:
        key = _api_key(call.metadata)
        found = keys.find(key)
        if found is None:
            keys.ask(key, call.peer, partial(_asked, method, writes, call, then))
            return
        call.caller = _confined(method, writes, call, found)
    except Exception as error:
        _fail(call, error)
    then()


def _asked(
    method: MethodDescriptor,
    writes: bool,
    call: Call,
    then: Callable[[], None],
    answer: Caller | errors.HitchpostError,
) -> None:
    try:
        if isinstance(answer, errors.HitchpostError):
            raise answer
        call.caller = _confined(method, writes, call, answer)
    except Exception as error:
        _fail(call, error)
    then()


def _begin(call: Call) -> None:
    call.request_id = _request_id(call.metadata)
    call.trailers = (("x-request-id", call.request_id),)


def _confined(method: MethodDescriptor, writes: bool, call: Call, known: Caller) -> Caller:
    if writes and known.read_only:
        raise errors.ApiKeyReadOnly(method=method.name)
    owner = _owner_scope(call.metadata)
    return known if owner is None else dataclasses.replace(known, owner=owner)


def _served(
    method: MethodDescriptor, serve: Callable[[Message, None], Message]
) -> Callable[[bytes, Call], bytes | None]:
    """The method on bytes: it reads the request, and refuses what its checks don't allow.

    Servicers get no gRPC context: what they have to say they return or raise.
    """
    decode = GetMessageClass(method.input_type).FromString

    def behaviour(request: bytes, call: Call) -> bytes | None:
        _call.set(call)
        try:
            try:
                message = decode(request)
            except DecodeError:
                raise errors.invalid(
                    "request", "is not a valid message of the method's request type"
                ) from None
            validation.check(message)
            return serve(message, None).SerializeToString()
        except Exception as error:
            _fail(call, error)
            return None

    return behaviour


def refuse(call: Call, why: Refusal) -> None:
    """Ends the call for this reason."""
    _fail(call, _REFUSALS[why]())


def _fail(call: Call, error: Exception) -> None:
    """Ends the call with the error's status; one that nobody expected is INTERNAL, and in the log."""
    if not isinstance(error, errors.HitchpostError):
        log.error("unexpected error", exc_info=error, extra={"request_id": call.request_id})
    known = error if isinstance(error, errors.HitchpostError) else errors.Internal()
    status = errors.to_status(known)
    call.code, call.details = known.code, status.message
    call.trailers = (*call.trailers, ("grpc-status-details-bin", status.SerializeToString()))
    errors.forget_frames(error)


class UnknownMethods(grpc.GenericRpcHandler):
    """Answers calls of methods that there are not, so that they fail like all others: with a reason."""

    def service(self, details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        """grpc.GenericRpcHandler. The last to be asked."""
        return grpc.stream_stream_rpc_method_handler(partial(_unknown, details.method[:200]))


def _unknown(method: str, requests: object, context: grpc.ServicerContext) -> Iterator[bytes]:  # noqa: ARG001
    call = Call(context.invocation_metadata(), start=time.monotonic())
    _begin(call)
    _fail(call, errors.MethodUnknown(method=method))
    context.set_code(call.code)
    context.set_details(call.details)
    context.set_trailing_metadata(tuple(call.trailers))
    _log("unknown", call)
    return iter(())


def _log(name: str, call: Call) -> None:
    logs.calls(
        {
            "method": name,
            "code": call.code.name,
            "duration_ms": round((time.monotonic() - call.start) * 1000, 3),
            "project": call.caller.project_id if call.caller else None,
            "request_id": call.request_id,
        }
    )


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
    if len(values) > 1:
        raise errors.ApiKeyInvalid
    scheme, _, key = str(values[0]).partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise errors.ApiKeyMissing
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
