"""GET /docs: /openapi.json as a page that tries calls out, Swagger UI, from a package: no address outside."""

from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from server.web.pages import HEADERS

OPENAPI = files("generated").joinpath("openapi.json").read_bytes()
OURS = Path(__file__).parent / "static"
# Swagger UI sets styles as it goes, and has its pictures in its style sheet.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


def routes() -> list[BaseRoute]:
    """The document, the page, and what the page is made of."""
    swagger_ui = _folder("swagger_ui") / "static"
    return [
        _file("/openapi.json", OPENAPI, "application/json"),
        _file("/docs", (OURS / "docs.html").read_bytes(), "text/html"),
        _file("/docs/docs.js", (OURS / "docs.js").read_bytes(), "text/javascript"),
        _file("/docs/swagger-ui.js", (swagger_ui / "swagger-ui-bundle.js").read_bytes(), "text/javascript"),
        _file("/docs/swagger-ui.css", (swagger_ui / "swagger-ui.css").read_bytes(), "text/css"),
    ]


def _folder(package: str) -> Path:
    """Where the package is; it is not imported, since only its files are of use."""
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def _file(path: str, content: bytes, media_type: str) -> Route:
    headers = {**HEADERS, "Cache-Control": "no-cache", "Content-Security-Policy": CONTENT_SECURITY_POLICY}

    async def answer(_request: Request) -> Response:
        return Response(content, headers=headers, media_type=media_type)

    return Route(path, answer)
