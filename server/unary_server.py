"""Serves unary methods of a `grpc.Server` by a loop of its own, which is what makes a call cheap.

grpcio's loop hands each call over between its receiving thread and a pool's several times, and each time two
threads wait for the interpreter's lock. Here the receiving thread takes a call with its message from gRPC's
completion queue, one thread serves it, and nothing is handed back. Ports, TLS, connections, draining and all
other methods stay the `grpc.Server`'s. This is the only file that knows grpcio's inner module; decision 8
says what for, and what it rests on.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined] # the stubs leave it out

from server.identity import Caller

log = logging.getLogger(__name__)

Metadata = Sequence[tuple[str, str | bytes]]
# How long the receiving thread waits before it looks whether the server has stopped.
_POLL_SECONDS = 0.2


@dataclass(slots=True)
class Call:
    """A call as a behaviour sees it: what came with it, who made it, and how it ends."""

    metadata: Metadata = ()
    request_id: str = ""
    caller: Caller | None = None
    code: grpc.StatusCode = grpc.StatusCode.OK
    details: str = ""
    trailers: Metadata = ()


# Takes the request's bytes and returns the response's, or None when it has set another code than OK.
Behaviour = Callable[[bytes, Call], bytes | None]


@dataclass(frozen=True)
class _Method:
    path: str
    serve: Behaviour
    refuse: Behaviour


class _Exchange:
    """A call on the wire. `closed` and `received` are called with the event that they were started for."""

    __slots__ = ("_cancelled", "_core", "_enqueue", "_metadata", "_method", "_request")

    def __init__(self, method: _Method, event: Any, enqueue: "Callable[[_Exchange], None]") -> None:
        self._method = method
        self._enqueue = enqueue
        self._core = event.call
        self._metadata = event.invocation_metadata
        self._request = b""
        self._cancelled = False
        # An operation is good for one batch only: gRPC keeps its memory there.
        self._start(self.closed, cygrpc.ReceiveCloseOnServerOperation(0))
        self._start(self.received, cygrpc.ReceiveMessageOperation(0))

    def closed(self, event: Any) -> None:
        """The call has ended, perhaps before its answer."""
        self._cancelled = event.batch_operations[0].cancelled()

    def received(self, event: Any) -> None:
        """The message is there, or there is none."""
        self._request = event.batch_operations[0].message()
        if self._request is None:
            self._end(Call(code=grpc.StatusCode.UNIMPLEMENTED, details="a request message is missing"), None)
        else:
            self._enqueue(self)

    def serve(self) -> None:
        """Does the method's work and answers."""
        self._run(self._method.serve)

    def refuse(self) -> None:
        """Answers without the method's work."""
        self._run(self._method.refuse)

    def _run(self, behaviour: Behaviour) -> None:
        if self._cancelled:
            return
        call = Call(self._metadata)
        try:
            self._end(call, behaviour(self._request, call))
        except Exception:
            log.exception("unexpected error around a call", extra={"request_id": call.request_id})
            self._end(Call(code=grpc.StatusCode.INTERNAL, details="internal error"), None)

    def _end(self, call: Call, answer: bytes | None) -> None:
        operations = [
            cygrpc.SendInitialMetadataOperation(None, 0),
            cygrpc.SendStatusFromServerOperation(call.trailers, call.code.value[0], call.details, 0),
        ]
        if answer is not None:
            operations.append(cygrpc.SendMessageOperation(answer, 0))
        self._start(_nothing, *operations)

    def _start(self, then: Callable[[Any], None], *operations: Any) -> None:
        _check(self._core.start_server_batch(operations, then))


def _nothing(event: Any) -> None:
    """Nothing follows the answer."""


def _check(error: int) -> None:
    if error != cygrpc.CallError.ok:
        raise RuntimeError(f"gRPC refused an operation with error {error}")


class UnaryServer:
    """A `grpc.Server` that has not started, and the methods that are served beside its own."""

    def __init__(self, server: grpc.Server, threads: int, max_waiting: int) -> None:
        """Calls beyond `max_waiting`, while all threads are busy, are refused."""
        self._server = server
        self._core = server._cy_server  # type: ignore[attr-defined]
        self._events = cygrpc.CompletionQueue()
        self._core.register_completion_queue(self._events)
        self._methods: list[_Method] = []
        self._calls: SimpleQueue[_Exchange | None] = SimpleQueue()
        self._threads = threads
        self._max_waiting = max_waiting
        self._accepting = Lock()
        self._stopping = self._stopped = False

    @property
    def waiting(self) -> int:
        """How many calls wait for a thread."""
        return self._calls.qsize()

    def add(self, path: str, serve: Behaviour, refuse: Behaviour) -> None:
        """Serves `path` by `serve`, or, when too many calls wait, by `refuse`, which must not wait."""
        self._core.register_method(path)
        self._methods.append(_Method(path, serve, refuse))

    def start(self) -> None:
        """Accepts calls from now on."""
        self._server.start()
        for method in self._methods:
            self._accept(method)
        Thread(target=self._receive, name="receive", daemon=True).start()
        for number in range(self._threads):
            Thread(target=self._serve, name=f"call_{number}", daemon=True).start()

    def stop(self, grace: float) -> None:
        """Accepts no more calls, and waits `grace` seconds for those there are before it cancels them."""
        with self._accepting:
            self._stopping = True
        self._server.stop(grace).wait()
        self._stopped = True
        for _ in range(self._threads):
            self._calls.put(None)

    def _accept(self, method: _Method) -> None:
        with self._accepting:
            if not self._stopping:
                begin = partial(self._begin, method)
                _check(self._core.request_registered_call(self._events, self._events, method.path, begin))

    def _begin(self, method: _Method, event: Any) -> None:
        self._accept(method)
        # It fails once the server stops.
        if event.success:
            _Exchange(method, event, self._enqueue)

    def _enqueue(self, exchange: _Exchange) -> None:
        if self.waiting >= self._max_waiting:
            exchange.refuse()
        else:
            self._calls.put(exchange)

    def _receive(self) -> None:
        while not self._stopped:
            event = self._events.poll(time.time() + _POLL_SECONDS)
            if event.completion_type != cygrpc.CompletionType.queue_timeout:
                _attend(event.tag, event)

    def _serve(self) -> None:
        while (exchange := self._calls.get()) is not None:
            _attend(_Exchange.serve, exchange)
            # Else its request would stay in memory until the next call.
            del exchange


def _attend(what: Callable[[Any], None], argument: Any) -> None:
    """Whatever happens with a call, its thread has to go on to the next."""
    try:
        what(argument)
    except Exception:
        log.exception("unexpected error in the loop that serves calls")
