"""A stand-in for all servers that a login of the AT Protocol asks, each by a name of its own: it answers as
the real ones do (recorded from @atproto/pds 0.4.217), or as a test wants, which the real ones never would.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from server.platforms import Tokens
from server.platforms.atproto_client import AtprotoClient
from server.platforms.atproto_identity import Identities, TxtRecords
from server.platforms.bluesky import Bluesky
from server.platforms.dpop import Dpop
from server.platforms.http import Http
from server.platforms.strangers import Strangers
from tests.kit.names import name_server
from tests.kit.web import serving

DID = "did:plc:" + "a" * 24
HANDLE = "alice.test"
SCOPE = "atproto transition:generic"
# The hosts by what is asked there; a handle's own server has the handle's name.
HANDLE_SERVER, DIRECTORY, PDS, AUTHORIZATION, TOKEN, PUSH, REVOKE, ENTRY = (
    HANDLE,
    "plc.test",
    "pds.test",
    "issuer.test",
    "token.test",
    "push.test",
    "revoke.test",
    "entry.test",
)
LOOPBACK, LINK_LOCAL = "127.0.0.1", "169.254.169.254"
REDIRECT_URI = "http://127.0.0.1:8080/callback/bluesky"


class Servers:
    """The servers. `changed` maps the last part of a path to another answer; `means` a host to its addresses,
    one each time that it is looked up, the last for ever.
    """

    def __init__(self) -> None:
        self.port = 0
        self.changed: dict[str, Callable[[], Response]] = {}
        self.means: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self.way: Bluesky

    def at(self, host: str) -> str:
        """The address of a host."""
        return f"http://{host}:{self.port}"

    async def resolve(self, host: str, port: int) -> list[str]:
        """What a host's name means by now."""
        meanings = self.means.get(host, [LOOPBACK])
        return [meanings.pop(0) if len(meanings) > 1 else meanings[0]]

    def answer(self, request: Request) -> Response:
        """What is said to this request."""
        host, path = request.url.hostname, request.url.path
        self.asked.append(f"{host}{path}")
        last = path.rpartition("/")[2]
        if last in self.changed:
            answer = self.changed[last]()
        else:
            answer = PlainTextResponse(DID) if last == "atproto-did" else JSONResponse(self.said(last))
        # So that the next request has to look the name up again.
        answer.headers["Connection"] = "close"
        return answer

    def said(self, last: str) -> Any:
        """The real answers, by the last part of a path."""
        issuer = self.at(AUTHORIZATION)
        session = {"did": DID, "handle": HANDLE, "accessJwt": "access", "refreshJwt": "refresh"}
        answers: dict[str, Any] = {
            DID: self.document(),
            "oauth-protected-resource": {"resource": self.at(PDS), "authorization_servers": [issuer]},
            "oauth-authorization-server": {
                "issuer": issuer,
                "authorization_endpoint": f"{issuer}/authorize",
                "token_endpoint": f"{self.at(TOKEN)}/token",
                "revocation_endpoint": f"{self.at(REVOKE)}/revoke",
                "pushed_authorization_request_endpoint": f"{self.at(PUSH)}/par",
                "scopes_supported": ["atproto", "transition:generic"],
                "response_types_supported": ["code"],
                "grant_types_supported": ["authorization_code", "refresh_token"],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
                "dpop_signing_alg_values_supported": ["ES256"],
                "authorization_response_iss_parameter_supported": True,
                "require_pushed_authorization_requests": True,
                "client_id_metadata_document_supported": True,
            },
            "par": {"request_uri": "urn:ietf:params:oauth:request_uri:1", "expires_in": 299},
            "token": {
                "access_token": "access",
                "refresh_token": "refresh",
                "token_type": "DPoP",
                "expires_in": 3600,
                "scope": SCOPE,
                "sub": DID,
            },
            "revoke": {},
            "com.atproto.server.createSession": session,
            "com.atproto.server.getSession": session,
            "com.atproto.server.refreshSession": session,
            "com.atproto.server.deleteSession": {},
            "com.atproto.repo.getRecord": {"value": {"displayName": "Alice"}},
        }
        return answers[last]

    def document(self, **changes: Any) -> dict[str, Any]:
        """The account's DID document."""
        service = {
            "id": "#atproto_pds",
            "type": "AtprotoPersonalDataServer",
            "serviceEndpoint": self.at(PDS),
        }
        return {"id": DID, "alsoKnownAs": [f"at://{HANDLE}"], "service": [service], **changes}

    def tokens(self, *, oauth: bool) -> Tokens:
        """Those of a login before."""
        context = {"did": DID, "handle": HANDLE, "pds": self.at(PDS)}
        if oauth:
            key = Dpop.new().private_key
            context |= {"issuer": self.at(AUTHORIZATION), "client_id": "http://localhost", "dpop_key": key}
        return Tokens("access", "refresh", None, (), context)


class Sessions(Servers):
    """The same at one address, for servers in processes of their own; it knows which sessions are open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: set[str] = set()
        self._numbers = itertools.count()

    def at(self, host: str) -> str:
        """One for all."""
        return f"http://localhost:{self.port}"

    def answer(self, request: Request) -> Response:
        """A session of its own for each login."""
        called = request.url.path.rpartition(".")[2]
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if called == "createSession":
            token = f"refresh-{next(self._numbers)}"
            self.open.add(token)
            return JSONResponse(self.said("com.atproto.server.createSession") | {"refreshJwt": token})
        if called == "deleteSession":
            self.open.discard(token)
        return super().answer(request)


def routes(servers: Servers) -> Starlette:
    """The application that plays them."""
    return Starlette(routes=[Route("/{path:path}", servers.answer, methods=["GET", "POST"])])


@contextmanager
def play(*, allow_private: bool = True) -> Iterator[Servers]:
    """Runs the servers until the end of the block."""
    servers = Servers()
    with serving(routes(servers)) as url, name_server() as names:
        servers.port = int(url.rpartition(":")[2])
        strangers = Strangers(Http(allow_private=allow_private, resolve=servers.resolve))
        txt = TxtRecords(names.address)
        identities = Identities(strangers, servers.at(DIRECTORY), txt, f"http://{{handle}}:{servers.port}")
        servers.way = Bluesky(strangers, identities, AtprotoClient("http://127.0.0.1:8080"))
        yield servers
