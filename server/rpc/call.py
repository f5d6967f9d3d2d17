"""A call as its method sees it, and what a method says of itself to the loop that serves it."""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

import grpc

from server.base.errors import HitchpostError
from server.base.identity import Caller

if TYPE_CHECKING:
    from opentelemetry.trace import Span

Metadata = Sequence[tuple[str, str | bytes]]


@dataclass(slots=True)
class Call:
    """What came with a call, who made it, and how it ends.

    `peer` is the connection that it came by; `deadline` and `start` are of time.monotonic(). Where `code` is
    not OK, `error` says why, unless it was a defect around the call. `wire` is grpc, rest or mcp.
    """

    metadata: Metadata = ()
    peer: bytes = b""
    deadline: float = math.inf
    start: float = 0.0
    request_id: str = ""
    caller: Caller | None = None
    code: grpc.StatusCode = grpc.StatusCode.OK
    details: str = ""
    trailers: Metadata = ()
    error: HitchpostError | None = None
    span: "Span | None" = None
    wire: str = "grpc"


class Refusal(Enum):
    """Why a call ends without its method's work."""

    OVERLOADED = "too many calls wait, or too much is under way"
    NO_MESSAGE = "it has no message"
    LATE_MESSAGE = "its message did not come in time"


@dataclass(frozen=True)
class _Served:
    """What is done with the calls of one method. Whatever ends a call sets its code, details and trailers.

    `admit` looks at what came with the call, and calls back, perhaps from another thread: the call goes on
    unless the code is no longer OK. `rows` are those that a request may have to wait for. `ended` hears of
    every call that was answered.
    """

    path: str
    lane: str
    admit: Callable[[Call, Callable[[], None]], None]
    rows: Callable[[bytes, Call], Collection[str]]
    refuse: Callable[[Call, Refusal], None]
    ended: Callable[[Call], None]


@dataclass(frozen=True)
class Method(_Served):
    """A method with one answer: `serve` returns its bytes, or None when it has set another code."""

    serve: Callable[[bytes, Call], bytes | None]


@dataclass(frozen=True)
class StreamingMethod(_Served):
    """A method with any number of answers: after the last one, `serve` may have set another code."""

    serve: Callable[[bytes, Call], Iterator[bytes]]


class Listener(Protocol):
    """The client of an open call of a Stream. Safe to use from any thread, also when it has gone."""

    def send(self, message: bytes) -> None:
        """Sends the message; while one is on its way, only the last of those that come meanwhile."""

    def end(self, code: grpc.StatusCode = grpc.StatusCode.OK, details: str = "") -> None:
        """Ends the call once what was to be sent has been sent."""


@dataclass(frozen=True)
class Stream:
    """A method that is open to everybody: it hears messages and answers when it has something to say.

    `hear` is called with each message of the client, if it is `many`, else with the only one. `gone` is
    called when the call has ended, however it did.
    """

    path: str
    many: bool
    hear: Callable[[bytes, Listener], None]
    refuse: Callable[[Call, Refusal], None]
    gone: Callable[[Listener], None] = lambda listener: None  # noqa: ARG005
