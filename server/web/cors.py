"""Pages of other origins that may call methods over HTTP (https://fetch.spec.whatwg.org/#http-cors-protocol)."""

from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

# Beside those that a page may always send.
OF_CALLS = ("Authorization", "X-External-Id", "X-External-Id-Bin", "X-Request-Id")
OF_REST = ("Content-Type", "Idempotency-Key", "If-Match")
OF_MCP = ("Last-Event-ID", "Mcp-Method", "Mcp-Name", "MCP-Protocol-Version", "Mcp-Session-Id")
READ = ("ETag", "Retry-After", "X-Request-Id")
VERBS = ("GET", "POST", "PATCH", "DELETE")


def allowing(origins: Sequence[str], app: ASGIApp) -> ASGIApp:
    """The application as pages of these origins may call it; without any as it is.

    Cookies never count: a call has its key in a header.
    """
    if not origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=VERBS,
        allow_headers=(*OF_CALLS, *OF_REST, *OF_MCP),
        expose_headers=READ,
    )
