"""The Model Context Protocol over HTTP: its streamable transport, without sessions, since several processes
share the port and none of them keeps anything of a client."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from urllib.parse import urlsplit

from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive, Scope, Send

from server.base.errors import Overloaded
from server.rpc.layers import ended
from server.web import http_headers
from server.web.bodies import Bodies
from server.web.calls import Admit, admitted
from server.web.problems import bare_problem, failed, problem

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


class McpOverHttp:
    """An ASGI application. Keys come first: without one nobody's body is read."""

    def __init__(
        self, server: Server, admit: Admit, security: TransportSecuritySettings, bodies: Bodies
    ) -> None:
        """`admit` says who may come in; `bodies` bound those of all wires together."""
        self._admit = admit
        self._bodies = bodies
        self._sessions = StreamableHTTPSessionManager(
            server,
            json_response=True,
            stateless=True,
            security_settings=security,
            max_request_body_size=bodies.max_body,
        )

    def running(self) -> AbstractAsyncContextManager[None]:
        """Serves inside the block, which can be entered once."""
        return self._sessions.run()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        try:
            await self._serve(Request(scope, receive), send)
        except HTTPException as refused:
            await bare_problem(refused.status_code, refused.headers)(scope, receive, send)
        except Overloaded as error:
            await problem(error)(scope, receive, send)
        except ClientDisconnect:
            return

    async def _serve(self, request: Request, send: Send) -> None:
        if request.method != "POST":
            # A stream of what a server has to say by itself, which is nothing, or a session's end.
            raise HTTPException(405, headers={"Allow": "POST"})
        call = http_headers.call(request, "mcp")
        if not await admitted(self._admit, call):
            ended("mcp", call)
            await failed(call)(request.scope, request.receive, send)
            return
        async with self._bodies.of(request) as body:
            await self._sessions.handle_request(request.scope, _again(body, request.receive), send)


def _again(body: bytes, receive: Receive) -> Receive:
    """What gives a body that was read, and then whatever comes."""
    left: Iterator[Message] = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def message() -> Message:
        return next(left, None) or await receive()

    return message


def security(
    public_url: str, web_address: str, more_hosts: Sequence[str], origins: Sequence[str]
) -> TransportSecuritySettings:
    """Which names this server goes by (a page that has made its own name lead here is refused), and which
    pages may call."""
    public = urlsplit(public_url)
    own = (public.netloc, web_address, *more_hosts, *LOOPBACK)
    names = {_without_port(host.lower()) for host in own}
    return TransportSecuritySettings(
        allowed_hosts=[pattern for name in sorted(names) for pattern in (name, f"{name}:*")],
        allowed_origins=[f"{public.scheme}://{public.netloc}", f"http://{web_address}", *origins],
    )


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host
