"""A web application, served beside what else a process does."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Event, Thread

from starlette.types import ASGIApp

from server.web import listener


@contextmanager
def serving(
    application: ASGIApp, address: str, drain_timeout: timedelta, stop: Event, *, shared: bool = False
) -> Iterator[None]:
    """Serves at `host:port` inside the block; at its end requests in flight finish. Raises OSError.

    `shared`: other processes listen there, too, and the kernel spreads connections over them.
    """
    server = listener.server(application, drain_timeout)
    with _listening(address, shared=shared) as listening:
        # In the main thread uvicorn would handle signals itself.
        thread = Thread(target=server.run, args=([listening],), name="uvicorn")
        thread.start()
        while thread.is_alive() and not server.started:
            stop.wait(0.05)
        if not server.started:
            raise OSError(f"can't serve at {address}; the log says why")
        # asyncio has one number for what it accepts at once and for what the kernel keeps.
        listening.listen(listener.BACKLOG)
        try:
            yield
        finally:
            server.should_exit = True
            thread.join()


def _listening(address: str, *, shared: bool) -> socket.socket:
    host, _, port = address.rpartition(":")
    found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    family, _, _, _, target = found[0]
    try:
        listening = socket.create_server(
            target[:2], family=family, backlog=listener.BACKLOG, reuse_port=shared
        )
    except OSError as error:
        raise OSError(f"can't listen on {address}: {error.strerror}") from error
    # asyncio sets it for sockets that it makes; without it an answer's second part waits 40 ms for an ACK.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening
