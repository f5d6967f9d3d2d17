"""Web applications of a test's own, on real ports, and how one is asked."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import uvicorn
from starlette.types import ASGIApp


@contextmanager
def serving(app: ASGIApp, port: int = 0, host: str = "127.0.0.1") -> Iterator[str]:
    """Runs the application on a loopback port, by default any free one, and gives its URL."""
    with socket.create_server((host, port)) as listener:
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"http://{host}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def get(address: str, path: str, accept: str = "*/*") -> httpx2.Response:
    """Asks a web process at host:port."""
    return httpx2.get(
        f"http://{address}{path}", headers={"Accept": accept}, trust_env=False, verify=False, timeout=20
    )
