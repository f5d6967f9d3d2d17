"""What stands before the web process in tests: passes everything on, and fails on demand."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.kit import web
from tests.kit.support import free_port


class Proxy:
    """A reverse proxy before the web process, which is so the platform's address, too."""

    def __init__(self) -> None:
        self.port = free_port()
        self.target = ""
        self._faults: dict[str, Response] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def fault(self, path: str, status: int, body: str = "") -> Iterator[None]:
        """Inside, this path answers so, instead of what stands behind it."""
        self._faults[path] = Response(body, status, media_type="application/json")
        try:
            yield
        finally:
            del self._faults[path]

    async def pass_on(self, request: Request) -> Response:
        if request.url.path in self._faults:
            return self._faults[request.url.path]
        headers = [(name, value) for name, value in request.headers.raw if name != b"host"]
        # Without TLS, whose certificates take longer to read than everything else here.
        async with httpx2.AsyncClient(trust_env=False, verify=False) as client:
            answer = await client.request(
                request.method,
                f"{self.target}{request.url.path}?{request.url.query}",
                headers=headers,
                content=await request.body(),
            )
        response = Response(answer.content, answer.status_code)
        response.raw_headers[:] = [
            (name.lower(), value) for name, value in answer.headers.raw if name.lower() != b"content-encoding"
        ]
        return response

    @contextmanager
    def serving(self) -> Iterator[None]:
        methods = ["GET", "POST", "HEAD", "PUT", "DELETE"]
        app = Starlette(routes=[Route("/{path:path}", self.pass_on, methods=methods)])
        with web.serving(app, self.port):
            yield
