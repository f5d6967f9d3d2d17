"""DPoP, RFC 9449: a signature shows that who sends a request has the key that its token is bound to."""

import base64
import hashlib
import json
import secrets
import time
from collections.abc import AsyncIterable, Callable, Mapping
from typing import Any

import httpx2
from joserfc import jwt
from joserfc.jwk import ECKey

ALGORITHM = "ES256"


class Dpop:
    """One key, and the requests that are signed with it. A server that wants its nonce in the signature says
    so, and is asked once more; later requests to it have the nonce at once.

    `clock` is what a signature says of its time: a server refuses one that differs by minutes from its own.
    """

    def __init__(self, key: ECKey, clock: Callable[[], float] = time.time) -> None:
        self._key = key
        self._clock = clock
        # The latest of each server (8.2).
        self._nonces: dict[str, str] = {}

    @classmethod
    def new(cls) -> "Dpop":
        """One with a new key."""
        return cls(ECKey.generate_key("P-256"))

    @classmethod
    def of(cls, stored: str, clock: Callable[[], float] = time.time) -> "Dpop":
        """The one of which `private_key` was kept."""
        return cls(ECKey.import_key(json.loads(stored)), clock)

    @property
    def private_key(self) -> str:
        """What to keep, encrypted: a JWK as JSON."""
        return json.dumps(self._key.as_dict(private=True))

    async def request(
        self,
        client: httpx2.AsyncClient,
        method: str,
        url: str,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        body: Callable[[], AsyncIterable[bytes]] | None = None,
        **more: Any,
    ) -> httpx2.Response:
        """The answer; `token` is an access token bound to this key, `body` begins the request's body, each
        time from its beginning, `more` is as for client.request."""
        server = httpx2.URL(url).netloc.decode("ascii")
        for attempt in (1, 2):
            response = await client.request(
                method,
                url,
                headers={
                    **(headers or {}),
                    **self._headers(method, url, token, self._nonces.get(server, "")),
                },
                **(more if body is None else {**more, "content": body()}),
            )
            if nonce := response.headers.get("DPoP-Nonce", ""):
                self._nonces[server] = nonce
            if attempt == 2 or not (nonce and _wants_nonce(response)):
                break
        return response

    def _headers(self, method: str, url: str, token: str | None, nonce: str) -> dict[str, str]:
        proof = {"DPoP": self._proof(method, url, token, nonce)}
        return proof if token is None else {**proof, "Authorization": f"DPoP {token}"}

    def _proof(self, method: str, url: str, token: str | None, nonce: str) -> str:
        header = {"typ": "dpop+jwt", "alg": ALGORITHM, "jwk": self._key.as_dict(private=False)}
        claims: dict[str, Any] = {
            "jti": secrets.token_urlsafe(16),
            "htm": method,
            # Without query and fragment.
            "htu": str(httpx2.URL(url).copy_with(query=None, fragment=None)),
            "iat": int(self._clock()),
        }
        if nonce:
            claims["nonce"] = nonce
        if token is not None:
            digest = hashlib.sha256(token.encode()).digest()
            claims["ath"] = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        return jwt.encode(header, claims, self._key, [ALGORITHM])


def _wants_nonce(response: httpx2.Response) -> bool:
    """Whether it is what 8 (of an authorization server) or 9 (of a resource server) of the RFC describe."""
    if response.status_code == 401:
        return "use_dpop_nonce" in response.headers.get("WWW-Authenticate", "")
    return response.status_code == 400 and b'"use_dpop_nonce"' in response.content
