"""An OAuth 2.0 platform as its row of facts describes it: authorization code, PKCE, profiles, revocation."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import httpx2
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import OAuth2Client

from server.platforms import answers, facts
from server.platforms.answers import PlatformRefused, PlatformUnreachable, Profile, Tokens
from server.platforms.facts import Facts

__all__ = ["OAuth2Platform", "PlatformRefused", "PlatformUnreachable", "Profile", "Tokens", "load"]

TIMEOUT = timedelta(seconds=10)
# Reading the certificates takes about 40 ms, so all clients share them.
TLS = httpx2.create_ssl_context(trust_env=False)
PROTOCOL_PARAMETERS = {
    "client_id",
    "code_challenge",
    "code_challenge_method",
    "redirect_uri",
    "response_type",
    "scope",
    "state",
}


class OAuth2Platform:
    """One platform. Safe to use from many threads: each call has an HTTP client of its own.

    Calls over HTTP raise PlatformRefused or PlatformUnreachable, whose texts hold no secret.
    """

    def __init__(self, name: str, facts: Facts, timeout: timedelta = TIMEOUT) -> None:
        self.name = name
        self._facts = facts
        self._timeout = timeout

    def authorization_url(
        self,
        *,
        redirect_uri: str,
        state: str,
        code_verifier: str,
        permissions: Sequence[str],
        options: Mapping[str, str],
    ) -> str:
        """Where to send the browser. No permissions: the platform's default scopes.

        `options` are further query parameters, such as login_hint. Raises ValueError when one of them
        is a parameter of the protocol.
        """
        if reserved := PROTOCOL_PARAMETERS & options.keys():
            raise ValueError(f"not an option: {', '.join(sorted(reserved))}")
        with self._client() as client:
            url, _ = client.create_authorization_url(
                self._facts.authorize_url,
                redirect_uri=redirect_uri,
                state=state,
                code_verifier=code_verifier,
                scope=self._facts.scope_separator.join(permissions or self._facts.default_scopes),
                **options,
            )
        return str(url)

    def exchange(self, *, code: str, code_verifier: str, redirect_uri: str, now: datetime) -> Tokens:
        """The login's tokens for the code that the browser brought back."""
        with self._calling() as client:
            answer = client.fetch_token(
                self._facts.token_url,
                grant_type="authorization_code",
                code=code,
                code_verifier=code_verifier,
                redirect_uri=redirect_uri,
            )
            return answers.login_tokens(answer, self._facts.scope_separator, now)

    def profiles(self, tokens: Tokens, now: datetime) -> list[Profile]:
        """The profiles that the login shares, each with tokens of its own or the login's; may be empty."""
        with self._calling(token={"access_token": tokens.access_token}) as client:
            response = client.get(self._facts.profiles_url, headers={"Accept": "application/json"})
            items = response.json()[self._facts.profiles_list]
            if not isinstance(items, list):
                raise ValueError("the profiles are not a list")
            return [answers.profile(item, self._facts.profile, tokens, now) for item in items]

    def revoke(self, tokens: Tokens) -> None:
        """Ends both tokens at the platform. Tokens that it no longer knows are no error (RFC 7009)."""
        with self._calling() as client:
            # RFC 7009 lets a platform keep one token when the other is revoked, so each is named.
            if tokens.refresh_token:
                client.revoke_token(self._facts.revoke_url, tokens.refresh_token, "refresh_token")
            client.revoke_token(self._facts.revoke_url, tokens.access_token, "access_token")

    def _client(self, **more: Any) -> OAuth2Client:
        return OAuth2Client(
            client_id=self._facts.client_id,
            token_endpoint_auth_method=self._facts.token_endpoint_auth_method,
            revocation_endpoint_auth_method=self._facts.token_endpoint_auth_method,
            code_challenge_method="S256",
            timeout=self._timeout.total_seconds(),
            follow_redirects=False,
            trust_env=False,
            verify=TLS,
            event_hooks={"response": [answers.check]},
            **more,
        )

    @contextmanager
    def _calling(self, **more: Any) -> Iterator[OAuth2Client]:
        """A client whose failures become our two exceptions, without their causes: those hold bodies."""
        try:
            with self._client(**more) as client:
                yield client
        except OAuthError as error:
            raise answers.failure(error.error, "an unknown OAuth error") from None
        except httpx2.TransportError as error:
            raise PlatformUnreachable(type(error).__name__) from None
        except (httpx2.HTTPError, ValueError, LookupError, TypeError, ArithmeticError, RecursionError):
            raise PlatformUnreachable("an answer that can't be read") from None


def load(public_url: str, timeout: timedelta = TIMEOUT) -> dict[str, OAuth2Platform]:
    """The platforms of platforms.toml by name; `public_url` has no final slash."""
    return {name: OAuth2Platform(name, row, timeout) for name, row in facts.read(public_url).items()}
