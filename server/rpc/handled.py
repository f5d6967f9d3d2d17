"""A call of a method on its way through a lane, for whoever did not come by the loop of our own: by
`grpc.Server`, or by HTTP."""

import logging
from collections.abc import Collection, Iterator
from functools import partial
from typing import Protocol

import grpc

from server.rpc.call import Call, Method, Refusal, StreamingMethod
from server.rpc.lanes import Lane

log = logging.getLogger(__name__)


class Client(Protocol):
    """Who made a call. Safe to use from any thread, also when it has gone."""

    def is_active(self) -> bool:
        """Whether it still waits for an answer."""

    def send(self, answer: bytes) -> None:
        """Sends it an answer, and returns when that is on its way."""

    def end(self, call: Call) -> None:
        """Tells it how the call ended."""


class Handled:
    """A call of a method, which a lane serves."""

    def __init__(self, method: Method | StreamingMethod, request: bytes, call: Call, client: Client) -> None:
        self._method = method
        self._request = request
        self._call = call
        self._client = client
        self.rows: Collection[str] = ()

    def begin(self, lane: Lane) -> None:
        """Goes on, in this lane, once the key is known."""
        self._method.admit(self._call, partial(self.admitted, lane))

    def admitted(self, lane: Lane) -> None:
        """Goes on once the key is known, or ends. Never raises: it may be on the thread of all keys."""
        try:
            if self._call.code is grpc.StatusCode.OK:
                self.rows = self._method.rows(self._request, self._call)
                if lane.put(self):
                    return
                self._method.refuse(self._call, Refusal.OVERLOADED)
            self._end()
        except Exception:
            self._broken()

    def serve(self) -> None:
        """Does the method's work, unless the client has gone while the call waited."""
        if not self._client.is_active():
            return
        try:
            for answer in self._answers():
                if not self._client.is_active():
                    self._call.code = grpc.StatusCode.CANCELLED
                    break
                self._client.send(answer)
            self._end()
        except Exception:
            self._broken()

    def _answers(self) -> Iterator[bytes]:
        if isinstance(self._method, StreamingMethod):
            yield from self._method.serve(self._request, self._call)
        elif (answer := self._method.serve(self._request, self._call)) is not None:
            yield answer

    def _broken(self) -> None:
        """Ends the call after a defect, which goes to the log."""
        log.exception("unexpected error around a call", extra={"request_id": self._call.request_id})
        self._call.code, self._call.details = grpc.StatusCode.INTERNAL, "internal error"
        self._call.trailers = ()
        self._end()

    def _end(self) -> None:
        self._method.ended(self._call)
        self._client.end(self._call)
