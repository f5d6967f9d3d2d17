"""HTTP/1.1 by bytes that are there already: as fast as Python can ask, on connections that are kept."""

import re
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from tests.kit.raw_http import connect

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)


class Reader:
    """A connection that is made anew when the server has ended it."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._connection: socket.socket | None = None

    def ask(self, request: bytes) -> bytes:
        """The answer, empty when there is none."""
        answer = b""
        # A connection that was idle may end while it is asked.
        for _ in range(2):
            if self._connection is None:
                self._connection = connect(self._address)
            # Refused while it is sent, it has an answer nevertheless.
            with suppress(OSError):
                self._connection.sendall(request)
            answer = self._answer(self._connection, no_body=request.startswith(b"HEAD "))
            if answer:
                break
            self.close()
        return answer

    def _answer(self, connection: socket.socket, *, no_body: bool) -> bytes:
        received = b""
        try:
            while part := connection.recv(262_144):
                received += part
                if received.startswith(b"HTTP/1.1 100 "):
                    received = received.partition(b"\r\n\r\n")[2]
                head, ended, body = received.partition(b"\r\n\r\n")
                if ended and b"connection: close" in head.lower():
                    continue
                length = _LENGTH.search(head + b"\r\n")
                if ended and length and (no_body or len(body) >= int(length[1])):
                    return received
        except OSError:
            pass
        self.close()
        return received

    def leave(self, request: bytes) -> None:
        """Sends this, and is gone."""
        with connect(self._address) as connection:
            connection.sendall(request)

    def close(self) -> None:
        """Until the next request."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def reads(address: str, key: str, clients: int, seconds: float) -> Counter[str]:
    """Lists by so many clients, each as fast as it is answered. For a process of its own."""
    lines = (
        "GET /v1/social-accounts?page_size=5 HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {key}",
    )
    request = "\r\n".join((*lines, "", "")).encode()
    deadline = time.monotonic() + seconds

    def read(_number: int) -> Counter[str]:
        client, counted = Reader(address), Counter[str]()
        while time.monotonic() < deadline:
            counted[_kind(client.ask(request))] += 1
        client.close()
        return counted

    with ThreadPoolExecutor(clients) as pool:
        return sum(pool.map(read, range(clients)), Counter())


def _kind(answer: bytes) -> str:
    if answer.startswith(b"HTTP/1.1 503 ") and b"ERROR_REASON_OVERLOADED" in answer:
        return "refused" if b"\r\nretry-after: 1\r\n" in answer else "refused without Retry-After"
    return answer[:12].decode(errors="replace")
