"""Forms of the sandbox's pages, which only these pages can send."""

import hmac
from collections.abc import Mapping

from starlette.requests import Request

from server.sandbox.requests import BadRequest


def check_site(request: Request) -> None:
    """Raises BadRequest for what another site had the browser send."""
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise BadRequest("This form came from another site.")


def form_token(secret: str) -> str:
    """What a form has in it that belongs to the browser whose cookie is this secret."""
    return hmac.digest(secret.encode(), b"form", "sha256").hex()


def may_act(secret: str, fields: Mapping[str, str]) -> bool:
    """Whether the form was made for this browser."""
    return hmac.compare_digest(form_token(secret).encode(), fields.get("form_token", "").encode())
