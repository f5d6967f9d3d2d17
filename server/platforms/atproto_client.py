"""Who we are at authorization servers of the AT Protocol, which nobody has registered us with: they read it
at the address that is our client id. By a key they know us again, and let a session last for as long as it is
used; without one it ends after two weeks.
"""

import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey

from server.platforms.dpop import ALGORITHM

METADATA_PATH = "/oauth/bluesky/client-metadata.json"
SCOPES = ("atproto", "transition:generic")
LOOPBACK = ("localhost", "127.0.0.1", "::1")
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_SECONDS = 60


class AtprotoClient:
    """This server at `public_url`, and its key if it has one."""

    def __init__(self, public_url: str, key: ECKey | None = None) -> None:
        self._public_url = public_url
        self._key = key
        self.metadata_url = f"{public_url}{METADATA_PATH}"

    def id(self, redirect_uri: str, scopes: Sequence[str]) -> str:
        """Where our metadata is; or on loopback, where no one else could read it, an address that says the
        same.
        """
        if urlsplit(self._public_url).hostname in LOOPBACK:
            return f"http://localhost?{urlencode({'redirect_uri': redirect_uri, 'scope': ' '.join(scopes)})}"
        return self.metadata_url

    def metadata(self, redirect_uri: str) -> dict[str, Any]:
        """What authorization servers read about us."""
        return {
            "client_id": self.metadata_url,
            "client_name": "Hitchpost",
            "client_uri": self._public_url,
            "application_type": "web",
            "dpop_bound_access_tokens": True,
            "grant_types": ["authorization_code", "refresh_token"],
            "redirect_uris": [redirect_uri],
            "response_types": ["code"],
            "scope": " ".join(SCOPES),
            **self._authentication(),
        }

    def _authentication(self) -> dict[str, Any]:
        if self._key is None:
            return {"token_endpoint_auth_method": "none"}
        public = {**self._key.as_dict(private=False), "kid": self._key.thumbprint(), "alg": ALGORITHM}
        return {
            "token_endpoint_auth_method": "private_key_jwt",
            "token_endpoint_auth_signing_alg": ALGORITHM,
            "jwks": {"keys": [public]},
        }

    def parameters(self, client_id: str, issuer: str) -> dict[str, str]:
        """How a request to this server shows that it is ours (RFC 7523)."""
        if self._key is None or client_id != self.metadata_url:
            return {"client_id": client_id}
        now = int(time.time())
        claims = {
            "iss": client_id,
            "sub": client_id,
            "aud": issuer,
            "jti": secrets.token_urlsafe(16),
            "iat": now,
            "exp": now + ASSERTION_SECONDS,
        }
        header = {"alg": ALGORITHM, "kid": self._key.thumbprint()}
        signed = jwt.encode(header, claims, self._key, [ALGORITHM])
        return {"client_id": client_id, "client_assertion_type": ASSERTION, "client_assertion": signed}


def read_key(path: Path) -> ECKey:
    """The private key in a PEM file. Raises OSError, and ValueError for what is none of P-256."""
    key = ECKey.import_key(path.read_bytes())
    if not (key.is_private and key.curve_name == "P-256"):
        raise ValueError("no private key of the curve P-256")
    return key
