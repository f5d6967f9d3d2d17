"""HTTP as clients that misbehave speak it: by hand, on a socket."""

import socket
import time
from contextlib import ExitStack

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
