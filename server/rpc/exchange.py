"""Calls on the wire: what is asked of gRPC for a call, and what becomes of its answers, event by event."""

import logging
import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from threading import Lock
from typing import Any

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined] # the stubs leave it out

from server.rpc.call import Call, Method, Refusal, Stream
from server.rpc.lanes import Lane
from server.rpc.traffic import Traffic

log = logging.getLogger(__name__)

# What the server's receiving thread calls with an event; it answers whose call is over, and what to do then.
Tag = Callable[[Any], tuple[None, tuple[()]]]


class _OnTheWire:
    """What all calls have. Methods that take an event are called by the loop when it has come."""

    __slots__ = (
        "_answered",
        "_call",
        "_core",
        "_is_sending",
        "_message",
        "_traffic",
        "connection",
        "gone",
        "held",
        "rows",
        "untaken",
    )

    def __init__(self, traffic: Traffic, event: Any) -> None:
        self._traffic = traffic
        self._core = event.call
        peer, now = event.call.peer(), time.monotonic()
        deadline = now + event.call_details.deadline - time.time()
        self._call = Call(event.invocation_metadata, peer, deadline, now)
        self._answered = False
        # Something is on its way that does not end the call.
        self._is_sending = False
        self._message = b""
        self.connection = traffic.enter(peer)
        self.held = self.untaken = 0
        self.gone = False
        self.rows: Collection[str] = ()
        # An operation is good for one batch only: gRPC keeps its memory there.
        self._start(self.closed, cygrpc.ReceiveCloseOnServerOperation(0))

    @property
    def is_over(self) -> bool:
        """Whether the call has been answered, or has ended without."""
        return self._answered or self.gone

    @property
    def is_one_too_many(self) -> bool:
        """Whether there are too many open calls already."""
        return self._traffic.is_full(self.connection)

    def receive(self) -> None:
        """Asks for the next message."""
        if not self.is_over:
            self._start(self.received, cygrpc.ReceiveMessageOperation(0))

    def received(self, event: Any) -> None:
        """The message is there, or there is none."""
        raise NotImplementedError

    def serve(self) -> None:
        """Does what is to be done with the message."""
        message, self._message = self._message, b""
        if self.is_over:
            return
        if self._traffic.is_crowded(self.connection):
            self.refuse(Refusal.OVERLOADED)
            return
        try:
            self._work(message)
        except Exception:
            self._broken()

    def refuse(self, why: Refusal) -> None:
        """Answers without the method's work."""
        raise NotImplementedError

    def _work(self, message: bytes) -> None:
        raise NotImplementedError

    def _broken(self) -> None:
        """Ends the call after a defect, which goes to the log."""
        raise NotImplementedError

    def closed(self, event: Any) -> None:  # noqa: ARG002
        """The call has ended, perhaps before its answer."""
        self._traffic.leave(self)

    def give_up(self) -> None:
        """Ends the call, which has waited too long for room, or for its client to send or take something."""
        if self.is_over or self._is_sending:
            self._core.cancel(grpc.StatusCode.CANCELLED.value[0], "the answer was not taken in time")
        elif self.held:
            self.refuse(Refusal.LATE_MESSAGE)
        else:
            self.refuse(Refusal.OVERLOADED)

    def _status(self) -> Any:
        call = self._call
        return cygrpc.SendStatusFromServerOperation(call.trailers, call.code.value[0], call.details, 0)

    def _start(self, then: Callable[[Any], None], *operations: Any) -> None:
        check(self._core.start_server_batch(operations, tag(then)))


class Exchange(_OnTheWire):
    """A call of a Method: one message, one answer."""

    __slots__ = ("_lanes", "_method")

    def __init__(self, method: Method, traffic: Traffic, lanes: Mapping[str, Lane], event: Any) -> None:
        self._method = method
        self._lanes = lanes
        super().__init__(traffic, event)

    def begin(self) -> None:
        """Lets the method look at what came with the call before its message is asked for."""
        try:
            self._method.admit(self._call, self._admitted)
        except Exception:
            self._broken()

    def received(self, event: Any) -> None:
        """The message is there, or there is none."""
        request = event.batch_operations[0].message()
        self._traffic.settle(self, len(request or b""))
        if self.is_over:
            return
        if request is None:
            self.refuse(Refusal.NO_MESSAGE)
            return
        self._message = request
        self.rows = self._method.rows(request, self._call)
        if not self._lanes[self._method.lane].put(self):
            self.refuse(Refusal.OVERLOADED)

    def refuse(self, why: Refusal) -> None:
        """Answers without the method's work."""
        try:
            self._method.refuse(self._call, why)
            self._end(None)
        except Exception:
            self._broken()

    def _work(self, message: bytes) -> None:
        self._end(self._method.serve(message, self._call))

    def _admitted(self) -> None:
        if self.is_over:
            return
        if self._call.code is grpc.StatusCode.OK:
            self._traffic.ask(self)
        else:
            self._end(None)

    def _broken(self) -> None:
        log.exception("unexpected error around a call", extra={"request_id": self._call.request_id})
        self._call.code, self._call.details = grpc.StatusCode.INTERNAL, "internal error"
        self._call.trailers = ()
        self._end(None)

    def _end(self, answer: bytes | None) -> None:
        operations = [cygrpc.SendInitialMetadataOperation(None, 0), self._status()]
        if answer is not None:
            operations.append(cygrpc.SendMessageOperation(answer, 0))
        self._traffic.answering(self, len(answer or b""))
        if not self._answered:
            self._answered = True
            self._method.ended(self._call)
        self._start(_nothing, *operations)


class Conversation(_OnTheWire):
    """A call of a Stream, and its client as the stream knows it."""

    __slots__ = ("_ending", "_lane", "_lock", "_next", "_started", "_stream")

    def __init__(self, stream: Stream, traffic: Traffic, lane: Lane, event: Any) -> None:
        self._stream = stream
        self._lane = lane
        self._lock = Lock()
        self._next: bytes | None = None
        self._started = self._ending = False
        super().__init__(traffic, event)

    def begin(self) -> None:
        """Asks for the first message."""
        self._traffic.ask(self)

    def received(self, event: Any) -> None:
        """The next message is there, or there are no more."""
        message = event.batch_operations[0].message()
        self._traffic.settle(self, len(message or b""))
        if message is not None:
            self._message = message
            if not self._lane.put(self):
                self.refuse(Refusal.OVERLOADED)
        elif self._stream.many:
            self.end()
        else:
            self.refuse(Refusal.NO_MESSAGE)

    def refuse(self, why: Refusal) -> None:
        """Ends the call without the stream's work."""
        self._stream.refuse(self._call, why)
        self._finish()

    def closed(self, event: Any) -> None:
        """The call has ended."""
        super().closed(event)
        self._stream.gone(self)

    def send(self, message: bytes) -> None:
        """See Listener."""
        with self._lock:
            if self._is_sending:
                self._next = message
            elif not (self.is_over or self._ending):
                self._send(message)

    def end(self, code: grpc.StatusCode = grpc.StatusCode.OK, details: str = "") -> None:
        """See Listener."""
        self._call.code, self._call.details = code, details
        self._finish()

    def _work(self, message: bytes) -> None:
        self._stream.hear(message, self)
        if self.gone:
            # It may have gone before the stream had heard of it.
            self._stream.gone(self)

    def _broken(self) -> None:
        log.exception("unexpected error around a stream")
        self.end(grpc.StatusCode.INTERNAL, "internal error")

    def _sent(self, event: Any) -> None:  # noqa: ARG002
        self._traffic.settle(self, 0)
        with self._lock:
            self._is_sending = False
            following, self._next = self._next, None
            if following is not None and not self.is_over:
                self._send(following)
                return
        if self._ending:
            self._finish()
        elif self._stream.many:
            self._traffic.ask(self)

    def _send(self, message: bytes) -> None:
        self._is_sending = True
        self._traffic.answering(self, len(message))
        self._start(self._sent, *self._opening(), cygrpc.SendMessageOperation(message, 0))

    def _finish(self) -> None:
        with self._lock:
            self._ending = True
            if self._is_sending or self.is_over:
                return
            self._answered = True
            self._traffic.answering(self, 0)
            self._start(_nothing, *self._opening(), self._status())

    def _opening(self) -> list[Any]:
        """What has to go first, once."""
        if self._started:
            return []
        self._started = True
        return [cygrpc.SendInitialMetadataOperation(None, 0)]


def _nothing(event: Any) -> None:
    """Nothing follows the answer."""


def tag(then: Callable[[Any], None]) -> Tag:
    """What the server's receiving thread calls with an event, and hears that there is nothing else to do."""
    return partial(_tell, then)


def _tell(then: Callable[[Any], None], event: Any) -> tuple[None, tuple[()]]:
    try:
        then(event)
    except Exception:
        # Whatever happens with a call, the thread has to go on to the next.
        log.exception("unexpected error in the loop that serves calls")
    return None, ()


def check(error: int) -> None:
    """Raises RuntimeError for an operation that gRPC has not taken."""
    if error != cygrpc.CallError.ok:
        raise RuntimeError(f"gRPC refused an operation with error {error}")
