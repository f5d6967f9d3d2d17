"""Methods as `grpc.Server` itself serves them: those that stream, and with HITCHPOST_CALL_LOOP=grpc all.

It knows nothing of grpcio's inside, so that a grpcio whose inside has changed can be taken at once. A call
takes a thread of its method's lane, as in the loop of our own; but before that its message has been received
already, whoever sent it. Decision 18 says what else is different.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from threading import Lock
from typing import Any

import grpc

from server.rpc.call import Call, Method, Stream, StreamingMethod
from server.rpc.handled import Handled
from server.rpc.lanes import Lane

# Sends a message and returns when it is on its way; None ends the call with the status of its context.
Send = Callable[[bytes | None], None]


class Handlers(grpc.GenericRpcHandler):
    """The methods that it serves, by their paths."""

    def __init__(self, lanes: Mapping[str, Lane]) -> None:
        """The lanes' names are those that methods give; somebody else starts and stops them."""
        self._lanes = lanes
        self._handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {}

    def add(self, method: Method | StreamingMethod) -> None:
        """Serves the method's path."""
        # gRPC does not know whether one message follows or many; and only a stream can end in another thread.
        behaviour = _NonBlocking(partial(self._begin, method))
        self._handlers[method.path] = grpc.unary_stream_rpc_method_handler(behaviour)

    def add_stream(self, stream: Stream) -> None:
        """Serves the stream's path; one of `many` messages takes a thread of the server's for as long as it
        is open."""
        if stream.many:
            behaviour = partial(_converse, stream)
            self._handlers[stream.path] = grpc.stream_stream_rpc_method_handler(behaviour)
        else:
            listening = _NonBlocking(partial(_listen, stream))
            self._handlers[stream.path] = grpc.unary_stream_rpc_method_handler(listening)

    def service(self, details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        """grpc.GenericRpcHandler."""
        return self._handlers.get(details.method)

    def _begin(
        self, method: Method | StreamingMethod, request: bytes, context: grpc.ServicerContext, send: Send
    ) -> None:
        call = _call(context)
        Handled(method, request, call, _Caller(context, send)).begin(self._lanes[method.lane])


def _call(context: grpc.ServicerContext) -> Call:
    left = context.time_remaining()
    now = time.monotonic()
    deadline = math.inf if left is None else now + left
    return Call(context.invocation_metadata(), context.peer().encode(), deadline, now)


class _NonBlocking:
    """A behaviour that may go on after it has returned, as `grpc.Server` calls it."""

    experimental_non_blocking = True

    def __init__(self, begin: Callable[[bytes, grpc.ServicerContext, Send], None]) -> None:
        self._begin = begin

    def __call__(
        self, request: bytes, context: grpc.ServicerContext, send_response_callback: Send
    ) -> Iterator[bytes]:
        """Begins; nothing comes by the iterator."""
        self._begin(request, context, send_response_callback)
        return iter(())


class _Caller:
    """See handled.Client."""

    def __init__(self, context: grpc.ServicerContext, send: Send) -> None:
        self._context = context
        self._send = send

    def is_active(self) -> bool:
        """See Client."""
        return bool(self._context.is_active())

    def send(self, answer: bytes) -> None:
        """See Client."""
        self._send(answer)

    def end(self, call: Call) -> None:
        """See Client."""
        self._context.set_code(call.code)
        self._context.set_details(call.details)
        self._context.set_trailing_metadata(tuple(call.trailers))
        self._send(None)


class _Client:
    """The client of an open stream; a message that is on its way holds up who sends the next."""

    def __init__(self, context: grpc.ServicerContext, send: Send) -> None:
        self._context = context
        self._send = send
        self._lock = Lock()

    def send(self, message: bytes) -> None:
        """See Listener."""
        with self._lock:
            if self._context.is_active():
                self._send(message)

    def end(self, code: grpc.StatusCode = grpc.StatusCode.OK, details: str = "") -> None:
        """See Listener."""
        with self._lock:
            if self._context.is_active():
                self._context.set_code(code)
                self._context.set_details(details)
                self._send(None)


def _listen(stream: Stream, request: bytes, context: grpc.ServicerContext, send: Send) -> None:
    client = _Client(context, send)
    stream.hear(request, client)
    if not context.add_callback(partial(stream.gone, client)):
        stream.gone(client)


def _converse(stream: Stream, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
    """One answer at most for each message: what is said before the next one comes."""
    said: list[Any] = []
    client = _Client(context, said.append)
    for request in requests:
        stream.hear(request, client)
        if said and said[-1] is None:
            return
        yield from said
        said.clear()
    stream.gone(client)


class ServerLoop:
    """A `grpc.Server` that has not started, and all methods served by its own handlers; see CallLoop."""

    def __init__(self, server: grpc.Server, handlers: Handlers, lanes: Mapping[str, Lane]) -> None:
        self._server = server
        self._lanes = lanes
        self.add = handlers.add
        self.add_stream = handlers.add_stream

    def start(self) -> None:
        """Accepts calls from now on."""
        for lane in self._lanes.values():
            lane.start()
        self._server.start()

    def look(self) -> None:
        """Nobody counts what is under way here."""

    def stop(self, grace: float) -> None:
        """Accepts no more calls, and waits `grace` seconds for those there are before it cancels them."""
        self._server.stop(grace).wait()
        for lane in self._lanes.values():
            lane.stop()
