"""Clients that open connections to the web process and are slow in every way that HTTP has."""

import socket
import time
from collections import Counter
from contextlib import suppress

from tests.kit.raw_http import connect

# A client that takes nothing leaves all but so much with the server.
TAKEN = 4_096
ASKED_AHEAD = 10


def beginnings(key: str) -> list[tuple[bytes, bytes]]:
    """How each kind of slow client begins, and what it sends again and again."""
    authorized = f"Host: localhost\r\nAuthorization: Bearer {key}\r\n".encode()
    get = b"GET /v1/social-accounts?page_size=100 HTTP/1.1\r\n" + authorized
    post = b"POST /v1/social-accounts HTTP/1.1\r\n" + authorized + b"Content-Type: application/json\r\n"
    return [
        (get, b"x: y\r\n"),
        (post + b"Content-Length: 100000\r\n\r\n", b" "),
        ((get + b"\r\n") * ASKED_AHEAD, b""),
    ]


class Dripping:
    """So many connections; one that the server has ended is made anew."""

    def __init__(self, address: str, key: str, count: int) -> None:
        self._address = address
        self._kinds = beginnings(key)
        self._held: list[socket.socket | None] = [None] * count
        self.counted: Counter[str] = Counter()

    def drip(self, seconds: float) -> None:
        """Every connection in turn, until the time is over."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for number in range(len(self._held)):
                self._next(number)
            self.counted["rounds"] += 1

    def _next(self, number: int) -> None:
        beginning, piece = self._kinds[number % len(self._kinds)]
        held = self._held[number]
        try:
            if held is None:
                self._held[number] = held = connect(self._address, TAKEN)
                self.counted["opened"] += 1
                held.setblocking(False)
                held.send(beginning)
            elif piece:
                held.send(piece)
        except BlockingIOError:
            pass
        except OSError:
            self.counted["ended by the server"] += 1
            self._close(number)

    def _close(self, number: int) -> None:
        held, self._held[number] = self._held[number], None
        if held is not None:
            with suppress(OSError):
                held.close()

    def close(self) -> None:
        """Leaves."""
        for number in range(len(self._held)):
            self._close(number)
