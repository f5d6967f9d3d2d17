"""A stand-in for a Mastodon server, which no test can run: a real HTTP server with the part of its API that
connecting needs, in the shapes of its documentation; mastodon_statuses.py has what publishing needs."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from authlib.oauth2.rfc7636 import create_s256_code_challenge
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.kit.mastodon_statuses import Statuses
from tests.kit.support import secret
from tests.kit.web import serving

ENDPOINTS = {
    "authorization_endpoint": "/oauth/authorize",
    "token_endpoint": "/oauth/token",
    "revocation_endpoint": "/oauth/revoke",
    "app_registration_endpoint": "/api/v1/apps",
}
DESCRIPTION = "/.well-known/oauth-authorization-server"


class Instance:
    """One server, where whoever comes is the account 1, `alice`."""

    def __init__(self) -> None:
        self.url = self.name = ""
        self.forget()

    def forget(self) -> None:
        """As it was before anybody came."""
        # Registered apps: secret and redirect address by client id.
        self.apps: dict[str, tuple[str, str]] = {}
        self.visited: list[str] = []
        self.revoked: list[str] = []
        # Instead of what the server would say: an answer by path.
        self.says: dict[str, Response] = {}
        self.statuses = Statuses(self.url)
        self._codes: dict[str, str] = {}
        self._tokens: set[str] = set()

    def token(self) -> str:
        """A token of alice's."""
        token = secret()
        self._tokens.add(token)
        return token

    @contextmanager
    def serving(self) -> Iterator["Instance"]:
        """Runs it on a loopback port."""
        methods = ["GET", "POST"]
        with serving(Starlette(routes=[Route("/{path:path}", self._answer, methods=methods)])) as url:
            self.url, self.name = url, urlsplit(url).netloc
            self.forget()
            yield self

    def description(self) -> dict[str, Any]:
        """What it says of itself (RFC 8414), as versions since 4.3 do."""
        endpoints = {name: f"{self.url}{path}" for name, path in ENDPOINTS.items()}
        return {"issuer": f"{self.url}/", **endpoints, "code_challenge_methods_supported": ["S256"]}

    def agree(self, url: str) -> str:
        """Where the browser goes when its person approves at the address that it was sent to."""
        asked = dict(parse_qsl(urlsplit(url).query, strict_parsing=True))
        _, redirect_uri = self.apps[asked["client_id"]]
        assert url.startswith(f"{self.url}/oauth/authorize?")
        assert asked["redirect_uri"] == redirect_uri
        assert set(asked["scope"].split()) == {"read:accounts", "write:statuses", "write:media"}
        code = secret()
        self._codes[code] = asked["code_challenge"]
        return f"{redirect_uri}?{urlencode({'code': code, 'state': asked['state']})}"

    async def _answer(self, request: Request) -> Response:
        path = request.url.path
        self.visited.append(path)
        if path in self.says:
            return self.says[path]
        if path.startswith("/api/") and (
            said := await self.statuses.answer(request, known=self._knows(request))
        ):
            return said
        form = dict(parse_qsl((await request.body()).decode()))
        match path:
            case "/.well-known/oauth-authorization-server":
                return JSONResponse(self.description())
            case "/api/v1/apps":
                return self._register(form)
            case "/oauth/token":
                return self._token(form)
            case "/oauth/revoke":
                self.revoked.append(form["token"])
                return JSONResponse({})
            case "/api/v1/accounts/verify_credentials":
                return self._account(request.headers["authorization"])
        return JSONResponse({"error": "Not Found"}, 404)

    def _knows(self, request: Request) -> bool:
        return request.headers.get("authorization", "").removeprefix("Bearer ") in self._tokens

    def _register(self, form: Mapping[str, str]) -> Response:
        assert form == {
            "client_name": "Hitchpost",
            "redirect_uris": form["redirect_uris"],
            "scopes": "read write",
        }
        client_id, client_secret = f"client-{len(self.apps)}-of-{self.name}", secret()
        self.apps[client_id] = client_secret, form["redirect_uris"]
        return JSONResponse({"id": "1", "client_id": client_id, "client_secret": client_secret})

    def _token(self, form: Mapping[str, str]) -> Response:
        if self.apps.get(form["client_id"], ("", ""))[0] != form["client_secret"]:
            return JSONResponse({"error": "invalid_client"}, 401)
        if form["grant_type"] == "authorization_code":
            challenge = self._codes.pop(form["code"], "")
            if create_s256_code_challenge(form["code_verifier"]) != challenge:
                return JSONResponse({"error": "invalid_grant"}, 400)
        return JSONResponse({"access_token": self.token(), "token_type": "Bearer", "created_at": 1573979017})

    def _account(self, authorization: str) -> Response:
        if authorization.removeprefix("Bearer ") not in self._tokens:
            return JSONResponse({"error": "The access token is invalid"}, 401)
        return JSONResponse(
            {
                "id": "1",
                "username": "alice",
                "display_name": "Alice",
                "url": f"{self.url}/@alice",
                "avatar": "https://files.example/alice.png",
            }
        )


def answer(value: object, status: int = 200) -> Response:
    """Anything as JSON."""
    return Response(json.dumps(value), status, media_type="application/json")


def redirect(url: str) -> Response:
    """To elsewhere."""
    return RedirectResponse(url, 302)
