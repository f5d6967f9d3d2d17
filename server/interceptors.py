"""What happens around every call: observe -> errors -> authenticate -> validate, outermost first.

`Pipeline` is one gRPC interceptor. It composes the four layers around a method once, when the method is
first called, so that a call costs four plain function calls. Methods of other packages (health,
reflection) pass untouched.
"""

import dataclasses
import logging
import os
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextvars import ContextVar
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, NoReturn, TypeAlias

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import DecodeError, Message

from generated.hitchpost.v1 import social_account_service_pb2, social_post_service_pb2
from server import errors, logs, validation
from server.identity import Caller
from server.projects import KeyRing

log = logging.getLogger(__name__)

# A layer takes what comes after it and returns what comes before; the innermost gets the message's bytes.
Behaviour = Callable[[Any, grpc.ServicerContext], Message]
# Quoted: the type takes parameters in its stubs only.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Metadata = Sequence[tuple[str, str | bytes]]

METHODS: dict[str, MethodDescriptor] = {
    f"/{service.full_name}/{method.name}": method
    for file in (social_account_service_pb2.DESCRIPTOR, social_post_service_pb2.DESCRIPTOR)
    for service in file.services_by_name.values()
    for method in service.methods
}
REQUEST_ID = re.compile(r"[!-~]{1,128}")


@dataclasses.dataclass(slots=True)
class Call:
    """The call that a thread is serving: no caller before it is authenticated, its code when it has ended."""

    request_id: str
    caller: Caller | None = None
    code: grpc.StatusCode = grpc.StatusCode.OK


_call: ContextVar[Call] = ContextVar("call")


def caller() -> Caller:
    """Who makes the call that this thread is serving."""
    current = _call.get().caller
    if current is None:
        raise errors.ApiKeyMissing
    return current


class _QueuedCall:
    """A call in the pool; of a Future it has what grpcio uses."""

    __slots__ = ("_callbacks", "_done", "_function")

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._callbacks: list[Callable[[Any], None]] = []
        self._done = False

    def run(self) -> None:
        """Serves the call."""
        try:
            self._function()
        except BaseException:
            # Whatever a call does, its thread has to serve the next one.
            log.exception("a call ended its thread's work")
        finally:
            self._done = True
            self._tell()

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """grpcio counts the calls in progress by it."""
        self._callbacks.append(callback)
        if self._done:
            self._tell()

    def _tell(self) -> None:
        # Two threads may come here at once; a list gives each of its items to one of them.
        try:
            callback = self._callbacks.pop()
        except IndexError:
            return
        callback(self)


class CallPool(Executor):
    """The threads that serve calls. Not a ThreadPoolExecutor: its futures, which nobody waits for, take
    as long as reading and checking a request."""

    def __init__(self, threads: int) -> None:
        self._queue: SimpleQueue[_QueuedCall] = SimpleQueue()
        for number in range(threads):
            Thread(target=self._serve, name=f"call_{number}", daemon=True).start()

    @property
    def waiting(self) -> int:
        """How many calls wait for a thread."""
        return self._queue.qsize()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Queues a call."""
        call = _QueuedCall(partial(fn, *args, **kwargs))
        self._queue.put(call)
        return call

    def _serve(self) -> None:
        while True:
            self._queue.get().run()


class Pipeline(grpc.ServerInterceptor):
    """The layers around every method of hitchpost.v1, and load shedding before them."""

    def __init__(self, keys: KeyRing, pool: CallPool, max_waiting: int) -> None:
        self._keys = keys
        self._pool = pool
        self._max_waiting = max_waiting
        # Refusals have a thread of their own: they must not wait in the queue that is full.
        self._refusing = ThreadPoolExecutor(1, thread_name_prefix="refuse")
        self._handlers: dict[str, Handler] = {}
        self._refusals = {path: self._refusal(method) for path, method in METHODS.items()}

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], "Handler | None"],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """Runs on the thread that receives calls, before the call is queued."""
        path = handler_call_details.method
        if path not in METHODS:
            return continuation(handler_call_details)
        if self._pool.waiting >= self._max_waiting:
            return self._refusals[path]
        if path not in self._handlers:
            handler = continuation(handler_call_details)
            if handler is None:
                return None
            self._handlers[path] = self._composed(METHODS[path], handler)
        return self._handlers[path]

    def _composed(self, method: MethodDescriptor, handler: Handler) -> Handler:
        decode, servicer = handler.request_deserializer, handler.unary_unary
        if decode is None or servicer is None:
            raise TypeError(f"{method.full_name} is not a unary method")
        behaviour = validate(decode, servicer)
        behaviour = authenticate(self._keys, method, behaviour)
        behaviour = observe(method, answer_errors(behaviour))
        return grpc.unary_unary_rpc_method_handler(behaviour, None, handler.response_serializer)

    def _refusal(self, method: MethodDescriptor) -> Handler:
        behaviour = observe(method, answer_errors(refuse))
        # grpcio runs a behaviour with this attribute in that pool instead of the server's.
        setattr(behaviour, "experimental_thread_pool", self._refusing)  # noqa: B010
        return grpc.unary_unary_rpc_method_handler(behaviour)


def refuse(request: bytes, context: grpc.ServicerContext) -> NoReturn:  # noqa: ARG001
    """What a call gets that the queue has no room for."""
    raise errors.Overloaded


def observe(method: MethodDescriptor, inner: Behaviour) -> Behaviour:
    """Gives the call its request id, and logs one line when it ends."""
    name = f"{method.containing_service.name}/{method.name}"

    def behaviour(request: bytes, context: grpc.ServicerContext) -> Message:
        started = time.perf_counter()
        call = Call(_request_id(context.invocation_metadata()))
        _call.set(call)
        context.set_trailing_metadata((("x-request-id", call.request_id),))
        try:
            return inner(request, context)
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

    def behaviour(request: bytes, context: grpc.ServicerContext) -> Message:
        call = _call.get()
        try:
            return inner(request, context)
        except errors.HitchpostError as domain_error:
            error = domain_error
        except Exception:
            log.exception("unexpected error", extra={"request_id": call.request_id})
            error = errors.Internal()
        call.code = error.code
        status = errors.to_status(error)
        context.set_trailing_metadata(
            (("x-request-id", call.request_id), ("grpc-status-details-bin", status.SerializeToString()))
        )
        return context.abort(error.code, status.message)

    return behaviour


def authenticate(keys: KeyRing, method: MethodDescriptor, inner: Behaviour) -> Behaviour:
    """Finds out whose key the call has, whether it may write, and which owner it is confined to."""
    writes = method.GetOptions().idempotency_level != MethodOptions.NO_SIDE_EFFECTS

    def behaviour(request: bytes, context: grpc.ServicerContext) -> Message:
        metadata = context.invocation_metadata()
        known = keys.caller(_api_key(metadata))
        call = _call.get()
        call.caller = known
        if writes and known.read_only:
            raise errors.ApiKeyReadOnly(method=method.name)
        owner = _owner_scope(metadata)
        if owner is not None:
            call.caller = dataclasses.replace(known, owner=owner)
        return inner(request, context)

    return behaviour


def validate(decode: Callable[[bytes], Message], inner: Behaviour) -> Behaviour:
    """Reads the request, and refuses what its checks don't allow."""

    def behaviour(request: bytes, context: grpc.ServicerContext) -> Message:
        try:
            message = decode(request)
        except DecodeError:
            raise errors.invalid("request", "is not a valid message of the method's request type") from None
        validation.check(message)
        return inner(message, context)

    return behaviour


def _values(metadata: Metadata, *names: str) -> list[str | bytes]:
    return [value for name, value in metadata if name in names]


def _request_id(metadata: Metadata) -> str:
    """The caller's, if it is one that can be searched for in a log; else a new one."""
    given = _values(metadata, "x-request-id")
    if len(given) == 1 and isinstance(given[0], str) and REQUEST_ID.fullmatch(given[0]):
        return given[0]
    return os.urandom(16).hex()


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
