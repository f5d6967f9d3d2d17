"""What is under way on a worker: bounds for open calls, and for the bytes of their requests and answers.

How long a message will be is not known before it is there, so each one that is waited for counts with the
most that it may have. A call that finds no room waits until there is: its message is not asked for before,
and HTTP/2 keeps it with the client.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import takewhile
from threading import Lock
from typing import Protocol

MAX_CALLS = 2_000
# So many a connection may have even then.
FEW = 8
# Of requests, and as many of answers that are not taken yet.
MAX_BYTES = 64 * 1024 * 1024
# A connection may have this part of a worker's bytes under way.
CONNECTION_SHARE = 4
# Who has less than this to take gets its answers even when others leave theirs, up to twice MAX_BYTES.
LITTLE = 1024 * 1024
# For a call to find room, and then for its message to arrive.
REQUEST_SECONDS = 10.0
# For an answer to be taken, by a client that may have a slow line.
ANSWER_SECONDS = 60.0


@dataclass(slots=True, eq=False)
class Connection:
    """A client's connection: its open calls, the bytes of their requests and of their answers that it has not
    taken yet, and those of its calls that wait for room."""

    peer: bytes
    calls: int = 0
    bytes: int = 0
    untaken: int = 0
    waiting: "deque[Exchange]" = field(default_factory=deque)


class Exchange(Protocol):
    """A call on the wire, the bytes of its request and of its answer, and whether it counts no longer."""

    connection: Connection
    held: int
    untaken: int
    gone: bool

    def receive(self) -> None:
        """Asks for the request's message."""

    def give_up(self) -> None:
        """Ends the call, which has waited for its client, or for room, long enough."""


class Traffic:
    """The bounds of a worker. Safe to use from many threads."""

    def __init__(
        self,
        max_message_bytes: int,
        clock: Callable[[], float] = time.monotonic,
        *,
        max_bytes: int = MAX_BYTES,
        share: int = CONNECTION_SHARE,
    ) -> None:
        """`max_bytes` are under way at most, of a connection this share of them."""
        self._message_bytes = max_message_bytes
        # Else no message could ever be asked for.
        self._max_bytes = max(max_bytes, 2 * share * max_message_bytes)
        self._of_a_connection = self._max_bytes // share
        self._clock = clock
        self._lock = Lock()
        self._connections: dict[bytes, Connection] = {}
        # Those whose calls wait for room, in turn.
        self._crowded: deque[Connection] = deque()
        # Since when calls wait for room or their message, and for their answer to be taken; oldest first.
        self._asking: dict[Exchange, float] = {}
        self._answering: dict[Exchange, float] = {}
        self.calls = 0
        self.bytes = 0
        self.untaken = 0

    def is_full(self, connection: Connection) -> bool:
        """Whether the worker has more open calls than it accepts, and this connection more than its part."""
        return self.calls > MAX_CALLS and connection.calls > max(FEW, MAX_CALLS // len(self._connections))

    def enter(self, peer: bytes) -> Connection:
        """Counts a new call of this connection."""
        with self._lock:
            connection = self._connections.get(peer)
            if connection is None:
                connection = self._connections[peer] = Connection(peer)
            connection.calls += 1
            self.calls += 1
            return connection

    def ask(self, exchange: Exchange) -> None:
        """Asks for the call's message as soon as there is room for it."""
        connection = exchange.connection
        with self._lock:
            if exchange.gone:
                return
            if not self._has_room(connection):
                if not connection.waiting:
                    self._crowded.append(connection)
                connection.waiting.append(exchange)
                self._asking[exchange] = self._clock()
                return
            self._reserve(exchange)
        exchange.receive()

    def settle(self, exchange: Exchange, size: int) -> None:
        """What the client was waited for has happened; the call now holds this many bytes."""
        with self._lock:
            self._wait_no_longer(exchange)
            if not exchange.gone:
                self._hold(exchange, size)
                self._leave_untaken(exchange, 0)
            asked = self._next() if self._crowded else ()
        for waiting in asked:
            waiting.receive()

    def answering(self, exchange: Exchange, size: int) -> None:
        """The answer of this many bytes is on its way, and the request no longer needed."""
        with self._lock:
            if not exchange.gone:
                self._hold(exchange, 0)
                self._leave_untaken(exchange, size)
                self._wait_no_longer(exchange)
                self._answering[exchange] = self._clock()

    def leave(self, exchange: Exchange) -> None:
        """The call has ended."""
        connection = exchange.connection
        with self._lock:
            self._wait_no_longer(exchange)
            self._hold(exchange, 0)
            self._leave_untaken(exchange, 0)
            exchange.gone = True
            if connection.waiting and exchange in connection.waiting:
                connection.waiting.remove(exchange)
            connection.calls -= 1
            self.calls -= 1
            if not connection.calls:
                del self._connections[connection.peer]
            asked = self._next() if self._crowded else ()
        for waiting in asked:
            waiting.receive()

    def is_crowded(self, connection: Connection) -> bool:
        """Whether so much of this connection, or of all, is not taken that no answer may be added."""
        if connection.untaken >= LITTLE and self.untaken >= self._max_bytes:
            return True
        return connection.untaken >= self._of_a_connection or self.untaken >= 2 * self._max_bytes

    def give_up_overdue(self) -> None:
        """Ends the calls whose clients neither send nor take what they should."""
        now = self._clock()
        with self._lock:
            overdue = [
                *_before(now - REQUEST_SECONDS, self._asking),
                *_before(now - ANSWER_SECONDS, self._answering),
            ]
            for exchange in overdue:
                self._wait_no_longer(exchange)
        for exchange in overdue:
            exchange.give_up()

    def _has_room(self, connection: Connection) -> bool:
        return (
            self.bytes + self._message_bytes <= self._max_bytes
            and connection.bytes + self._message_bytes <= self._of_a_connection
        )

    def _reserve(self, exchange: Exchange) -> None:
        self._hold(exchange, self._message_bytes)
        # At the end, where the latest are.
        self._asking.pop(exchange, None)
        self._asking[exchange] = self._clock()

    def _wait_no_longer(self, exchange: Exchange) -> None:
        self._asking.pop(exchange, None)
        self._answering.pop(exchange, None)

    def _hold(self, exchange: Exchange, size: int) -> None:
        change = size - exchange.held
        exchange.held = size
        exchange.connection.bytes += change
        self.bytes += change

    def _leave_untaken(self, exchange: Exchange, size: int) -> None:
        change = size - exchange.untaken
        exchange.untaken = size
        exchange.connection.untaken += change
        self.untaken += change

    def _next(self) -> list[Exchange]:
        """The calls that there is room for now, from each connection in turn."""
        found: list[Exchange] = []
        passed_over: list[Connection] = []
        for _ in range(len(self._crowded)):
            connection = self._crowded.popleft()
            if not connection.waiting:
                continue
            if not self._has_room(connection):
                passed_over.append(connection)
                continue
            exchange = connection.waiting.popleft()
            self._reserve(exchange)
            found.append(exchange)
            self._crowded.append(connection)
        self._crowded.extendleft(reversed(passed_over))
        return found


def _before(limit: float, since: dict[Exchange, float]) -> list[Exchange]:
    return list(takewhile(lambda exchange: since[exchange] <= limit, since))
