"""Serves methods of a `grpc.Server` by a loop of its own, which is what makes a call cheap.

grpcio's loop hands each call over between its receiving thread and a pool's several times, and each time two
threads wait for the interpreter's lock. Here the receiving thread takes a call from the server's completion
queue, looks at whose it is, and only then asks for its message; a thread of the method's lane serves it, and
nothing is handed back. Streams take no thread while nothing is said. Ports, TLS, connections, draining and
unknown methods stay the `grpc.Server`'s, and the receiving thread is its own: a second one with a queue of
its own would take from the network what the first has to deal with, and wake it. This file and exchange.py
are the only ones that know grpcio's inner modules; decisions 8 and 35 say what for, and what that rests on.
"""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from threading import Event, Lock, Thread
from typing import Any

import grpc

from server.base import metrics
from server.rpc.call import Method, Refusal, Stream
from server.rpc.exchange import Conversation, Exchange, Tag, check, tag
from server.rpc.lanes import Lane
from server.rpc.traffic import MAX_BYTES, Traffic

log = logging.getLogger(__name__)

# How often it is looked whose clients neither send nor take what they should.
_OVERDUE_SECONDS = 1.0
# Messages of streams that are waited for at once. A connection may have half of them.
_STREAM_THREADS, _STREAMS_WAITING = 1, 100

_Begin = Callable[[Any], Exchange | Conversation]


class CallLoop:
    """A `grpc.Server` that has not started, and the methods that are served beside its own."""

    def __init__(self, server: grpc.Server, lanes: Mapping[str, Lane], max_message_bytes: int) -> None:
        """The lanes' names are those that methods give; requests have `max_message_bytes` at most."""
        self._server = server
        self._core = server._cy_server  # type: ignore[attr-defined]
        self._events = server._state.completion_queue  # type: ignore[attr-defined]
        # What gRPC calls with a new call, by path.
        self._begin_by_path: dict[str, Tag] = {}
        self._accepting = Lock()
        self._stopping = False
        self._stopped = Event()
        self._lanes = lanes
        self._stream_lane = Lane("stream", _STREAM_THREADS, _STREAMS_WAITING)
        self.traffic = Traffic(max_message_bytes)
        # Whoever has no key has nothing under way among those who have one.
        self._stream_traffic = Traffic(max_message_bytes, max_bytes=2 * MAX_BYTES, share=2)

    def add(self, method: Method) -> None:
        """Serves the method's path."""
        self._add(method.path, partial(Exchange, method, self.traffic, self._lanes))

    def add_stream(self, stream: Stream) -> None:
        """Serves the stream's path."""
        self._add(stream.path, partial(Conversation, stream, self._stream_traffic, self._stream_lane))

    def start(self) -> None:
        """Accepts calls from now on."""
        self._server.start()
        for lane in (*self._lanes.values(), self._stream_lane):
            lane.start()
        for path in self._begin_by_path:
            self._accept(path)
        Thread(target=self._give_up_overdue, name="overdue", daemon=True).start()

    def look(self) -> None:
        """Notes what is under way: all of it, also what streams have."""
        both = self.traffic, self._stream_traffic
        metrics.calls_open.set(sum(traffic.calls for traffic in both))
        metrics.bytes_under_way.labels("requests").set(sum(traffic.bytes for traffic in both))
        metrics.bytes_under_way.labels("answers").set(sum(traffic.untaken for traffic in both))

    def stop(self, grace: float) -> None:
        """Accepts no more calls, and waits `grace` seconds for those there are before it cancels them."""
        with self._accepting:
            # Not a moment before: a call that comes and is not accepted is cancelled by gRPC.
            ended = self._server.stop(grace)
            self._stopping = True
        ended.wait()
        self._stopped.set()
        for lane in (*self._lanes.values(), self._stream_lane):
            lane.stop()

    def _add(self, path: str, begin: _Begin) -> None:
        self._core.register_method(path)
        self._begin_by_path[path] = tag(partial(self._begin, path, begin))

    def _accept(self, path: str) -> None:
        with self._accepting:
            if not self._stopping:
                begin = self._begin_by_path[path]
                check(self._core.request_registered_call(self._events, self._events, path, begin))

    def _begin(self, path: str, begin: _Begin, event: Any) -> None:
        self._accept(path)
        # It fails once the server stops.
        if not event.success:
            return
        call = begin(event)
        if call.is_one_too_many:
            call.refuse(Refusal.OVERLOADED)
        else:
            call.begin()

    def _give_up_overdue(self) -> None:
        while not self._stopped.wait(_OVERDUE_SECONDS):
            try:
                self.traffic.give_up_overdue()
                self._stream_traffic.give_up_overdue()
            except Exception:
                # Whatever happens with a call, others may become overdue.
                log.exception("unexpected error while overdue calls were ended")
