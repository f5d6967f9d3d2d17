"""HTTP as clients and servers that misbehave speak it: by hand, on a socket."""

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

UNFINISHED_HEADERS = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
UNFINISHED_BODY = (
    b"POST /sandbox/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\n\r\ngrant_type=refresh"
)


def connect(address: str, receive_buffer: int | None = None) -> socket.socket:
    """A connection to `host:port` whose every operation is bounded."""
    host, _, port = address.rpartition(":")
    connection = socket.socket()
    connection.settimeout(30)
    if receive_buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.connect((host, int(port)))
    return connection


def is_reset(connection: socket.socket) -> bool:
    """Whether the server has ended the connection without a word."""
    try:
        connection.sendall(b"\r\n")
    except (BrokenPipeError, ConnectionResetError):
        return True
    return False


def opened(stack: ExitStack, address: str, count: int, request: bytes) -> list[socket.socket]:
    """So many connections that have sent this, open until the stack ends."""
    connections = []
    for _ in range(count):
        connection = stack.enter_context(connect(address))
        connection.sendall(request)
        connections.append(connection)
    return connections


def answer(connection: socket.socket) -> bytes:
    """One answer with its body, however many pieces it comes in, and what has come behind it."""
    received = b""
    while part := connection.recv(65_536):
        received += part
        head, ended, body = received.partition(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: (\d+)", head, re.IGNORECASE)
        if ended and len(body) >= int(length[1] if length else 0):
            break
    return received


def rest(connection: socket.socket) -> bytes:
    """What the server still sends before it closes; nothing if it closed with a reset."""
    received = b""
    try:
        while part := connection.recv(65_536):
            received += part
    except ConnectionResetError:
        pass
    return received


def drip(connection: socket.socket, piece: bytes, every: float, seconds: float) -> bytes:
    """Sends the piece again and again until the server answers, and returns the answer's beginning."""
    deadline = time.monotonic() + seconds
    connection.settimeout(every)
    while time.monotonic() < deadline:
        try:
            connection.sendall(piece)
            return connection.recv(65_536)
        except TimeoutError:
            continue
        except (BrokenPipeError, ConnectionResetError):
            return b""
    raise AssertionError(f"no answer within {seconds} s")


@contextmanager
def once(answer: bytes) -> Iterator[str]:
    """A server on a loopback port that sends this to its first client, and closes; gives its URL."""

    def answered(listener: socket.socket) -> None:
        with suppress(OSError), listener.accept()[0] as client:
            client.settimeout(10)
            client.recv(65_536)
            client.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        thread = threading.Thread(target=answered, args=(listener,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


class Endless:
    """A server that answers with `head`, and then with `piece` for as long as one listens."""

    def __init__(self, head: bytes, piece: bytes, pause: float = 0) -> None:
        self._head, self._piece, self._pause = head, piece, pause
        self._ended = threading.Event()
        self.sent = 0

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Runs it on a loopback port, for one client, and gives its URL. `sent` is right afterwards."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(10)
            thread = threading.Thread(target=self._answer, args=(listener,), daemon=True)
            thread.start()
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                self._ended.set()
                thread.join()

    def _answer(self, listener: socket.socket) -> None:
        with suppress(OSError), listener.accept()[0] as client:
            client.settimeout(10)
            client.recv(65_536)
            client.sendall(self._head)
            while not self._ended.wait(self._pause):
                client.sendall(self._piece)
                self.sent += len(self._piece)
