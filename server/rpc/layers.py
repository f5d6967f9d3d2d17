"""What happens around every call, in this order: its key, how often that may call, the owner it is confined
to, its message's checks, and whatever goes wrong made an error that the caller can read; at the end a line in
the log.

`compose` puts this together once for each method. Keys come first, before the message has been received:
whoever has none can make a worker hold nothing.
"""

import dataclasses
import logging
import random
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message

from server.base import admin_errors, errors, logs, metrics, tracing
from server.base.frames import forget_frames
from server.base.identity import Caller
from server.rpc import validation
from server.rpc.call import Call, Metadata, Method, Refusal, StreamingMethod
from server.rpc.key_ring import KeyRing
from server.rpc.rate_limits import RateLimits
from server.rpc.registry import Rpc
from server.rpc.status import to_status

log = logging.getLogger(__name__)

REQUEST_ID = re.compile(r"[!-~]{1,128}")

_CODES = {kind: grpc.StatusCode[kind.name] for kind in errors.Kind}
_REFUSALS: dict[Refusal, Callable[[], errors.HitchpostError]] = {
    Refusal.OVERLOADED: errors.Overloaded,
    Refusal.NO_MESSAGE: lambda: errors.invalid("request", "is missing: the call ended without a message"),
    Refusal.LATE_MESSAGE: errors.RequestNotReceived,
}


def compose(
    keys: KeyRing, rpc: Rpc, servicer: object, limits: RateLimits | None = None
) -> Method | StreamingMethod:
    """The servicer's method with all that happens around it. Without `limits` keys may call as often as they
    like."""
    name = f"{rpc.descriptor.containing_service.name}/{rpc.descriptor.name}"
    serve = getattr(servicer, rpc.descriptor.name)
    around: dict[str, Any] = {
        "path": rpc.path,
        "lane": rpc.lane,
        "admit": partial(admit, keys, rpc, limits),
        "rows": _rows(rpc),
        "refuse": refuse,
        "ended": partial(ended, name, lane=rpc.lane),
    }
    if rpc.streams:
        return StreamingMethod(serve=_streamed(rpc, serve), **around)
    return Method(serve=_served(rpc, serve), **around)


def _rows(rpc: Rpc) -> Callable[[bytes, Call], Collection[str]]:
    """What finds the rows that a request of this method may have to wait for."""
    if rpc.rows is None:
        return _no_rows
    find, decode = rpc.rows, rpc.decode

    def rows(request: bytes, call: Call) -> Collection[str]:
        project = call.caller.project_id if call.caller else ""
        try:
            return [f"{project} {row}" for row in set(find(decode(request)))]
        except DecodeError:
            return ()

    return rows


def _no_rows(request: bytes, call: Call) -> Collection[str]:  # noqa: ARG001
    return ()


def admit(
    keys: KeyRing, rpc: Rpc | None, limits: RateLimits | None, call: Call, then: Callable[[], None]
) -> None:
    """Finds out whose key the call has, whether it may call, and which owner it is confined to.

    Without a method it is to see what there is to call.
    """
    _begin(call, rpc.path if rpc else "/mcp/tools")
    try:
        key = _api_key(call.metadata)
        found = keys.find(key)
        if found is None:
            keys.ask(key, call.peer, partial(_asked, rpc, limits, call, then))
            return
        call.caller = _allowed(rpc, limits, call, found)
    except Exception as error:
        fail(call, error)
    then()


def _asked(
    rpc: Rpc | None,
    limits: RateLimits | None,
    call: Call,
    then: Callable[[], None],
    answer: Caller | errors.HitchpostError,
) -> None:
    try:
        if isinstance(answer, errors.HitchpostError):
            raise answer
        call.caller = _allowed(rpc, limits, call, answer)
    except Exception as error:
        fail(call, error)
    then()


def _begin(call: Call, path: str) -> None:
    if tracing.on:
        call.span = tracing.begin_call(path[1:], call.metadata)
    call.request_id = _request_id(call.metadata)
    call.trailers = (("x-request-id", call.request_id),)


def _allowed(rpc: Rpc | None, limits: RateLimits | None, call: Call, known: Caller) -> Caller:
    if rpc and limits:
        limits.take(known.key_id)
    if rpc:
        _permit(rpc, known)
    owner = _owner_scope(call.metadata)
    if rpc and rpc.admin and owner is not None:
        raise errors.OwnerMismatch
    if rpc and rpc.waits_for_platform:
        return dataclasses.replace(known, owner=owner, deadline=call.deadline)
    return known if owner is None else dataclasses.replace(known, owner=owner)


def _permit(rpc: Rpc, known: Caller) -> None:
    """Raises what keeps this key from the method."""
    if known.admin != rpc.admin:
        wrong = admin_errors.ApiKeyNotAdmin if rpc.admin else admin_errors.ApiKeyAdminOnly
        raise wrong(method=rpc.descriptor.name)
    if known.read_only and rpc.writes:
        raise errors.ApiKeyReadOnly(method=rpc.descriptor.name)


def _served(
    rpc: Rpc, serve: Callable[[Message, Caller | None], Message]
) -> Callable[[bytes, Call], bytes | None]:
    """A method with one answer on bytes: it reads the request, and refuses what its checks don't allow.

    Servicers get no gRPC context: what they have to say they return or raise.
    """
    read = _reader(rpc)

    def behaviour(request: bytes, call: Call) -> bytes | None:
        if tracing.on:
            tracing.enter(call.span)
        try:
            return serve(read(request), call.caller).SerializeToString()
        except Exception as error:
            fail(call, error)
            return None

    return behaviour


def _streamed(
    rpc: Rpc, serve: Callable[[Message, Caller | None], Iterable[Message]]
) -> Callable[[bytes, Call], Iterator[bytes]]:
    """The same for a method that streams."""
    read = _reader(rpc)

    def behaviour(request: bytes, call: Call) -> Iterator[bytes]:
        if tracing.on:
            tracing.enter(call.span)
        try:
            for answer in serve(read(request), call.caller):
                yield answer.SerializeToString()
        except Exception as error:
            fail(call, error)

    return behaviour


def _reader(rpc: Rpc) -> Callable[[bytes], Message]:
    decode, checks = rpc.decode, rpc.checks

    def read(request: bytes) -> Message:
        try:
            message = decode(request)
        except DecodeError:
            raise errors.invalid("request", "is not a valid message of the method's request type") from None
        validation.check(message, checks)
        return message

    return read


def refuse(call: Call, why: Refusal) -> None:
    """Ends the call for this reason."""
    fail(call, _REFUSALS[why]())


def fail(call: Call, error: Exception) -> None:
    """Ends the call with the error's status; one that nobody expected is INTERNAL, and in the log."""
    if not isinstance(error, errors.HitchpostError):
        log.error("unexpected error", exc_info=error, extra={"request_id": call.request_id})
    known = error if isinstance(error, errors.HitchpostError) else errors.Internal()
    status = to_status(known)
    call.error, call.code, call.details = known, _CODES[known.kind], status.message
    call.trailers = (*call.trailers, ("grpc-status-details-bin", status.SerializeToString()))
    forget_frames(error)


class UnknownMethods(grpc.GenericRpcHandler):
    """Answers calls of methods that there are not, so that they fail like all others: with a reason."""

    def service(self, details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        """grpc.GenericRpcHandler. The last to be asked."""
        return grpc.stream_stream_rpc_method_handler(partial(_unknown, details.method[:200]))


def _unknown(method: str, requests: object, context: grpc.ServicerContext) -> Iterator[bytes]:  # noqa: ARG001
    call = Call(context.invocation_metadata(), start=time.monotonic())
    _begin(call, "/unknown")
    fail(call, errors.MethodUnknown(method=method))
    context.set_code(call.code)
    context.set_details(call.details)
    context.set_trailing_metadata(tuple(call.trailers))
    ended("unknown", call)
    return iter(())


def ended(name: str, call: Call, lane: str = "") -> None:
    """The call's line in the log, its span's end, and what the metrics have of it."""
    code, seconds = call.code.name, time.monotonic() - call.start
    metrics.call_ended(name, call.wire, code, errors.reason_name(call.error) if call.error else "", seconds)
    if isinstance(call.error, errors.Overloaded) and lane:
        metrics.call_shed(lane)
    project = (call.caller.project_id or None) if call.caller else None
    trace: dict[str, str] = {}
    if tracing.on:
        trace = tracing.end_call(call.span, call.code.value[0], call.error, project)
    logs.calls(
        {
            **trace,
            "method": name,
            "code": code,
            "duration_ms": round(seconds * 1000, 3),
            "project": project,
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
