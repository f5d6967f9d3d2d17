"""Who we are at authorization servers that nobody has registered us with: Bluesky's ask here."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from server.platforms.atproto_client import METADATA_PATH, AtprotoClient


def route(us: AtprotoClient, callback_url: str) -> Route:
    """GET /oauth/bluesky/client-metadata.json, which is our client id there."""
    metadata = us.metadata(f"{callback_url}/bluesky")

    async def answer(_request: Request) -> Response:
        return JSONResponse(metadata, headers={"Cache-Control": "max-age=600"})

    return Route(METADATA_PATH, answer)
