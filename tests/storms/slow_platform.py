"""A platform that does not answer: stopped by a signal, or one that sends a byte now and then for ever."""

import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import psutil

from tests.kit.servers import Server, eventually
from tools.person import Person


@contextmanager
def stopped(server: Server) -> Iterator[None]:
    """The web process, whose sandbox is the platform, takes connections inside the block and no more."""
    [web] = [child for child in server.children() if "web" in child.cmdline()]
    web.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        web.send_signal(signal.SIGCONT)


def callbacks(person: Person, urls: Sequence[str]) -> list[str]:
    """Signs in to the sandbox and agrees to each of these attempts."""
    return [person.agree(url) for url in urls]


def connections(processes: Sequence[psutil.Process], port: int) -> int:
    """How many TCP connections these processes have to a port of this machine."""
    return sum(
        bool(connection.raddr) and connection.raddr.port == port
        for process in processes
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_ESTABLISHED
    )


class DrippingServer:
    """Begins an answer to everybody, and sends a byte of it every 0.6 s for three minutes at most."""

    EVERY = 0.6

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._stop = threading.Event()
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    def __enter__(self) -> "DrippingServer":
        self._listener.setblocking(False)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(20)
        for connection in [self._listener, *self._open]:
            connection.close()

    def _run(self) -> None:
        deadline = time.monotonic() + 180
        while not self._stop.wait(self.EVERY) and time.monotonic() < deadline:
            with suppress(BlockingIOError):
                for _ in range(128):
                    connection, _ = self._listener.accept()
                    self._open.append(connection)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nx-drip: ")
            for connection in self._open:
                # A client that has had enough is gone.
                with suppress(OSError):
                    connection.send(b"x")


def wait_for_calls(processes: Sequence[psutil.Process], port: int) -> None:
    """Returns when at least two calls wait for the platform at this port."""
    eventually("calls wait for the platform", lambda: connections(processes, port) >= 2)
