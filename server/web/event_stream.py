"""A call with any number of answers, as server-sent events
(https://html.spec.whatwg.org/multipage/server-sent-events.html).

Each answer is a `message` whose data is its JSON. The last event is `end`, or `error` with the problem as its
data; what fails at once, before an answer, is an HTTP error like any other.
"""

import asyncio
from collections.abc import AsyncIterator

import grpc
from starlette.responses import Response, StreamingResponse

from server.rpc.call import Call
from server.web import http_headers, transcoding
from server.web.http_rules import Rule
from server.web.problems import failed

# Events that wait until the client has taken those before.
AHEAD = 4
# For so long a call may fail as a whole; then its headers go out.
EARLY_SECONDS = 1.0
# Proxies end connections on which nothing happens.
QUIET_SECONDS = 15.0
NOTHING = b": \n\n"

Event = bytes | Call


class EventStream:
    """The client of a call that streams. See handled.Client."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Event] = asyncio.Queue(AHEAD)
        self._gone = False

    def is_active(self) -> bool:
        """See Client."""
        return not self._gone

    def send(self, answer: bytes) -> None:
        """See Client."""
        body, _ = transcoding.write(self._rule, answer)
        self._put(b"data: " + body + b"\n\n")

    def end(self, call: Call) -> None:
        """See Client."""
        self._put(call)

    def _put(self, event: Event) -> None:
        if not self._gone:
            asyncio.run_coroutine_threadsafe(self._events.put(event), self._loop).result()

    async def response(self) -> Response:
        """The events, or why there are none."""
        coming = self._next()
        done, _ = await asyncio.wait([coming], timeout=EARLY_SECONDS)
        if done and isinstance(first := coming.result(), Call) and first.code is not grpc.StatusCode.OK:
            return failed(first)
        headers = {"Cache-Control": "no-store"}
        return StreamingResponse(self._all(coming), headers=headers, media_type=http_headers.EVENTS)

    def _next(self) -> asyncio.Task[Event]:
        return self._loop.create_task(self._events.get())

    async def _all(self, coming: asyncio.Task[Event]) -> AsyncIterator[bytes]:
        try:
            while True:
                done, _ = await asyncio.wait([coming], timeout=QUIET_SECONDS)
                if not done:
                    yield NOTHING
                    continue
                event = coming.result()
                if isinstance(event, Call):
                    yield _last(event)
                    return
                yield event
                coming = self._next()
        finally:
            self._gone = True
            coming.cancel()
            # Whoever waits to put one in may go on.
            while not self._events.empty():
                self._events.get_nowait()


def _last(call: Call) -> bytes:
    if call.code is grpc.StatusCode.OK:
        return b"event: end\ndata: {}\n\n"
    return b"event: error\ndata: " + bytes(failed(call).body) + b"\n\n"
