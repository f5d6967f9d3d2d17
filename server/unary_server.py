"""Serves unary methods of a `grpc.Server` by a loop of its own, which is what makes a call cheap.

grpcio's loop hands each call over between its receiving thread and a pool's several times, and each time two
threads wait for the interpreter's lock. Here the receiving thread takes a call from gRPC's completion queue,
looks at whose it is, and only then asks for its message; a thread of the method's lane serves it, and nothing
is handed back. Ports, TLS, connections, draining and all other methods stay the `grpc.Server`'s. This is the
only file that knows grpcio's inner module; decision 8 says what for, and what it rests on.
"""

import logging
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from threading import Lock, Thread
from typing import Any

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined] # the stubs leave it out

from server.identity import Caller
from server.lanes import Lane
from server.traffic import Connection, Traffic

log = logging.getLogger(__name__)

Metadata = Sequence[tuple[str, str | bytes]]
# How long the receiving thread waits before it looks whether the server has stopped.
_POLL_SECONDS = 0.2


@dataclass(slots=True)
class Call:
    """A call as its method sees it: what came with it, who made it, and how it ends.

    `deadline` and `start` are of time.monotonic().
    """

    metadata: Metadata = ()
    deadline: float = math.inf
    start: float = 0.0
    request_id: str = ""
    caller: Caller | None = None
    code: grpc.StatusCode = grpc.StatusCode.OK
    details: str = ""
    trailers: Metadata = ()


class Refusal(Enum):
    """Why a call ends without its method's work."""

    OVERLOADED = "too many calls wait, or too much is under way"
    NO_MESSAGE = "it has no message"
    LATE_MESSAGE = "its message did not come in time"


@dataclass(frozen=True)
class Method:
    """What is done with the calls of one method. Whatever ends a call sets its code, details and trailers.

    `admit` looks at what came with the call, and calls back, perhaps from another thread: the call's message
    is asked for unless the code is no longer OK. `rows` are those that a request may have to wait for.
    `serve` returns the answer's bytes, or None when it has set another code. `ended` hears of every call that
    was answered.
    """

    path: str
    lane: str
    admit: Callable[[Call, Callable[[], None]], None]
    rows: Callable[[bytes], Collection[str]]
    serve: Callable[[bytes, Call], bytes | None]
    refuse: Callable[[Call, Refusal], None]
    ended: Callable[[Call], None]


class _Exchange:
    """A call on the wire. `closed` and `received` are called with the event that they were started for."""

    __slots__ = (
        "_answered",
        "_call",
        "_core",
        "_method",
        "_request",
        "_server",
        "connection",
        "gone",
        "held",
        "rows",
    )

    def __init__(self, server: "UnaryServer", method: Method, connection: Connection, event: Any) -> None:
        self._server = server
        self._method = method
        self._core = event.call
        now = time.monotonic()
        deadline = now + event.call_details.deadline - time.time()
        self._call = Call(event.invocation_metadata, deadline, now)
        self._request = b""
        self._answered = False
        self.gone = False
        self.connection = connection
        self.held = 0
        self.rows: Collection[str] = ()
        # An operation is good for one batch only: gRPC keeps its memory there.
        self._start(self.closed, cygrpc.ReceiveCloseOnServerOperation(0))

    def admit(self) -> None:
        """Lets the method look at what came with the call before its message is asked for."""
        try:
            self._method.admit(self._call, self._admitted)
        except Exception:
            self._broken()

    def receive(self) -> None:
        """Asks for the request's message."""
        if not self._over:
            self._start(self.received, cygrpc.ReceiveMessageOperation(0))

    def received(self, event: Any) -> None:
        """The message is there, or there is none."""
        request = event.batch_operations[0].message()
        self._server.traffic.arrived(self, len(request or b""))
        if self._over:
            return
        if request is None:
            self.refuse(Refusal.NO_MESSAGE)
            return
        self._request = request
        self.rows = self._method.rows(request)
        if not self._server.lanes[self._method.lane].put(self):
            self.refuse(Refusal.OVERLOADED)

    def serve(self) -> None:
        """Does the method's work and answers."""
        request, self._request = self._request, b""
        if self._over:
            return
        if self._server.traffic.is_crowded(self.connection):
            self.refuse(Refusal.OVERLOADED)
            return
        try:
            self._end(self._method.serve(request, self._call))
        except Exception:
            self._broken()

    def refuse(self, why: Refusal) -> None:
        """Answers without the method's work."""
        try:
            self._method.refuse(self._call, why)
            self._end(None)
        except Exception:
            self._broken()

    def give_up(self) -> None:
        """Ends the call: its client has not sent its message, or not taken its answer, for too long."""
        if self._over:
            self._core.cancel(grpc.StatusCode.CANCELLED.value[0], "the answer was not taken in time")
        else:
            self.refuse(Refusal.LATE_MESSAGE)

    def closed(self, event: Any) -> None:  # noqa: ARG002
        """The call has ended, perhaps before its answer."""
        self._server.traffic.leave(self)

    @property
    def _over(self) -> bool:
        return self._answered or self.gone

    def _admitted(self) -> None:
        if self._over:
            return
        if self._call.code is grpc.StatusCode.OK:
            self._server.traffic.ask(self)
        else:
            self._end(None)

    def _broken(self) -> None:
        log.exception("unexpected error around a call", extra={"request_id": self._call.request_id})
        self._call.code, self._call.details = grpc.StatusCode.INTERNAL, "internal error"
        self._call.trailers = ()
        self._end(None)

    def _end(self, answer: bytes | None) -> None:
        call = self._call
        operations = [
            cygrpc.SendInitialMetadataOperation(None, 0),
            cygrpc.SendStatusFromServerOperation(call.trailers, call.code.value[0], call.details, 0),
        ]
        if answer is not None:
            operations.append(cygrpc.SendMessageOperation(answer, 0))
        self._server.traffic.answering(self, len(answer or b""))
        if not self._answered:
            self._answered = True
            self._method.ended(call)
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

    def __init__(self, server: grpc.Server, lanes: Mapping[str, Lane], max_message_bytes: int) -> None:
        """The lanes' names are those that methods give; requests have `max_message_bytes` at most."""
        self._server = server
        self._core = server._cy_server  # type: ignore[attr-defined]
        self._events = cygrpc.CompletionQueue()
        self._core.register_completion_queue(self._events)
        self._methods: list[Method] = []
        self._accepting = Lock()
        self._stopping = self._stopped = False
        self.lanes = lanes
        self.traffic = Traffic(max_message_bytes)

    def add(self, method: Method) -> None:
        """Serves the method's path."""
        self._core.register_method(method.path)
        self._methods.append(method)

    def start(self) -> None:
        """Accepts calls from now on."""
        self._server.start()
        for lane in self.lanes.values():
            lane.start()
        for method in self._methods:
            self._accept(method)
        Thread(target=self._receive, name="receive", daemon=True).start()

    def stop(self, grace: float) -> None:
        """Accepts no more calls, and waits `grace` seconds for those there are before it cancels them."""
        with self._accepting:
            self._stopping = True
        self._server.stop(grace).wait()
        self._stopped = True
        for lane in self.lanes.values():
            lane.stop()

    def _accept(self, method: Method) -> None:
        with self._accepting:
            if not self._stopping:
                begin = partial(self._begin, method)
                _check(self._core.request_registered_call(self._events, self._events, method.path, begin))

    def _begin(self, method: Method, event: Any) -> None:
        self._accept(method)
        # It fails once the server stops.
        if not event.success:
            return
        exchange = _Exchange(self, method, self.traffic.enter(event.call.peer()), event)
        if self.traffic.is_full:
            exchange.refuse(Refusal.OVERLOADED)
        else:
            exchange.admit()

    def _receive(self) -> None:
        looked = time.monotonic()
        while not self._stopped:
            event = self._events.poll(time.time() + _POLL_SECONDS)
            try:
                if event.completion_type != cygrpc.CompletionType.queue_timeout:
                    event.tag(event)
                if time.monotonic() - looked > 1:
                    looked = time.monotonic()
                    self.traffic.give_up_overdue()
            except Exception:
                # Whatever happens with a call, the thread has to go on to the next.
                log.exception("unexpected error in the loop that serves calls")
            # Else the last call would stay in memory until the next one.
            del event
