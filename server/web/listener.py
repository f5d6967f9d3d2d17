"""How the web process takes connections: uvicorn, with the limits that it lacks.

A connection has a fixed time for each whole request, headers and body together, however it drips, and for
taking an answer; and when there are too many, the one that has made us wait longest makes room.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from server.web.problems import bare_problem

MAX_CONNECTIONS = 500
REQUEST_SECONDS = 10.0
ANSWER_SECONDS = 10.0
# What a client may send of its next requests before it has the answer to this one.
MAX_AHEAD_BYTES = 65_536
# How many more the kernel may hand over in one turn of the loop: they are open before they are counted, and
# those that make room for them for a turn longer.
ACCEPTED_AT_ONCE = 4
# How many more may wait in the kernel for that.
BACKLOG = 128

_LENGTHS = {b"content-length", b"transfer-encoding"}
_TOO_LATE = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class _OneLength(h11.Connection):
    """HTTP/1.1 without requests that have two lengths, of which a proxy may have read the other: what it took
    for a body would be a request here (RFC 9112, 6.1). `refusal` is the status of what is no request."""

    refusal = 400

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """See h11.Connection."""
        try:
            event = super().next_event()
        except h11.RemoteProtocolError as error:
            self.refusal = 431 if error.error_status_hint == 431 else 400
            raise
        if isinstance(event, h11.Request) and {name for name, _ in event.headers} >= _LENGTHS:
            raise h11.RemoteProtocolError("Content-Length and Transfer-Encoding")
        return event


class BoundedProtocol(H11Protocol):
    """A connection of a client that may be slow, or hostile."""

    evicted = False
    # Of time.monotonic(): an event loop may count in milliseconds, and many come within one.
    waiting_since = 0.0
    _request_timer: "_Timer"
    _answer_timer: "_Timer"

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """See H11Protocol."""
        super().__init__(*arguments, **named)
        self.conn = _OneLength(h11.SERVER)
        # Where an application finds it: in its scope's `state`.
        self.app_state = {**self.app_state, "hang_up": self.hang_up}

    @property
    def waiting(self) -> bool:
        """Whether it is the client's turn: to send a request, or the rest of one, or to take its leave."""
        return self.cycle is None or self.cycle.response_complete or self._receiving()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The connection is there; so is the first request, soon."""
        super().connection_made(transport)
        self.waiting_since = time.monotonic()
        self._request_timer = _Timer(self.loop, REQUEST_SECONDS, self._too_late)
        self._answer_timer = _Timer(self.loop, ANSWER_SECONDS, transport.abort)
        self._time_the_request()
        self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._request_timer.stop()
        self._answer_timer.stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Part of a request, or several."""
        before = self.conn.their_state
        super().data_received(data)
        if before is h11.SEND_BODY and self.conn.their_state is h11.IDLE:
            # The rest of one that was answered early; the next has all its time.
            self._request_timer.stop()
        self._time_the_request()
        if len(self.conn.trailing_data[0]) > MAX_AHEAD_BYTES:
            self.transport.abort()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        """What came is no HTTP, which may show in the middle of a request, and after its answer."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()
            return
        if self.cycle is not None:
            # Nobody waits for what the application still has to say.
            self.cycle.disconnected = True
        answer = bare_problem(cast(_OneLength, self.conn).refusal, {"Connection": "close"})
        response = h11.Response(status_code=answer.status_code, headers=answer.raw_headers)
        for event in (response, h11.Data(data=bytes(answer.body)), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event))
        self.transport.close()

    def on_response_complete(self) -> None:
        """The answer is written; it is the client's turn again."""
        self.waiting_since = time.monotonic()
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY:
            # The next request was there already, in part.
            self._time_the_request()

    def pause_writing(self) -> None:
        """The client does not take what it asked for."""
        self._answer_timer.start()
        super().pause_writing()

    def resume_writing(self) -> None:
        """It does."""
        self._answer_timer.stop()
        super().resume_writing()

    def evict(self) -> None:
        """Ends the connection at once."""
        self.evicted = True
        self.transport.abort()

    def hang_up(self) -> None:
        """Ends the connection without an answer, for an application that plays a server which fails."""
        # Else it would be found to have forgotten the answer, and 500 be sent in its place.
        self.cycle.disconnected = True
        self.transport.abort()

    def _receiving(self) -> bool:
        return self.conn.their_state in (h11.IDLE, h11.SEND_BODY)

    def _time_the_request(self) -> None:
        """Starts the clock with a request's first byte, and stops it with its last."""
        if self._receiving():
            self._request_timer.start()
        else:
            self._request_timer.stop()

    def _too_late(self) -> None:
        answered = self.conn.their_state is h11.SEND_BODY and self.cycle.response_started
        if not answered and not self.transport.is_closing():
            self.transport.write(_TOO_LATE)
        self.transport.close()

    def _make_room(self) -> None:
        if len(self.connections) <= MAX_CONNECTIONS:
            return
        present = [one for one in cast("set[BoundedProtocol]", self.connections) if not one.evicted]
        if len(present) > MAX_CONNECTIONS:
            waiting = (one for one in present if one.waiting)
            min(waiting, key=lambda one: one.waiting_since).evict()


class _Timer:
    """Does something later, unless it is stopped before."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, action: Callable[[], None]) -> None:
        self._loop, self._seconds, self._action = loop, seconds, action
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Goes on, if it is running already."""
        if self._handle is None:
            self._handle = self._loop.call_later(self._seconds, self._action)

    def stop(self) -> None:
        """Begins anew with the next start."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


def server(app: ASGIApp, drain_timeout: timedelta) -> uvicorn.Server:
    """A server, for sockets that listen, that lets requests in flight finish when it is told to exit."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=BoundedProtocol,
            # Not what happens to be installed: uvloop counts time otherwise, and sets up sockets otherwise.
            loop="asyncio",
            ws="none",
            lifespan="on",
            backlog=ACCEPTED_AT_ONCE,
            log_config=None,
            # It would log queries, which hold codes; AccessLog has taken its place.
            access_log=False,
            timeout_graceful_shutdown=int(drain_timeout.total_seconds()),
        )
    )
