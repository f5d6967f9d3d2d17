"""An OAuth 2.0 platform as its row of facts describes it: authorization code, PKCE, profiles, revocation."""

import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar

import httpx2
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client

from server.platforms import answers, facts
from server.platforms.answers import PlatformRefused, PlatformUnreachable, Profile, Tokens
from server.platforms.facts import Facts
from server.platforms.waiting import EventLoop

__all__ = ["OAuth2Platform", "PlatformRefused", "PlatformUnreachable", "Profile", "Tokens", "load"]

# For all that one call asks a platform.
TIMEOUT = timedelta(seconds=10)
# Reading the certificates takes about 40 ms, so all clients share them.
TLS = httpx2.create_ssl_context(trust_env=False)
_event_loop = EventLoop()
Answer = TypeVar("Answer")
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

    Calls over HTTP raise PlatformRefused or PlatformUnreachable, whose texts hold no secret. They end at
    `until` (time.monotonic()), which `deadline` gives: one time for all that a caller waits for.
    """

    def __init__(self, name: str, facts: Facts, timeout: timedelta = TIMEOUT) -> None:
        self.name = name
        self._facts = facts
        self._timeout = timeout

    def deadline(self, callers: float = math.inf) -> float:
        """Until when the platform may take: as long as it is given, but not past the caller's deadline."""
        return min(callers, time.monotonic() + self._timeout.total_seconds())

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
        url, _ = self._client().create_authorization_url(
            self._facts.authorize_url,
            redirect_uri=redirect_uri,
            state=state,
            code_verifier=code_verifier,
            scope=self._facts.scope_separator.join(permissions or self._facts.default_scopes),
            **options,
        )
        return str(url)

    def exchange(
        self, *, code: str, code_verifier: str, redirect_uri: str, now: datetime, until: float
    ) -> Tokens:
        """The login's tokens for the code that the browser brought back."""

        async def ask(client: AsyncOAuth2Client) -> Tokens:
            answer = await client.fetch_token(
                self._facts.token_url,
                grant_type="authorization_code",
                code=code,
                code_verifier=code_verifier,
                redirect_uri=redirect_uri,
            )
            return answers.login_tokens(answer, self._facts.scope_separator, now)

        return self._call(ask, until)

    def profiles(self, tokens: Tokens, now: datetime, until: float) -> list[Profile]:
        """The profiles that the login shares, each with tokens of its own or the login's; may be empty."""

        async def ask(client: AsyncOAuth2Client) -> list[Profile]:
            response = await client.get(self._facts.profiles_url, headers={"Accept": "application/json"})
            items = response.json()[self._facts.profiles_list]
            if not isinstance(items, list):
                raise ValueError("the profiles are not a list")
            return [answers.profile(item, self._facts.profile, tokens, now) for item in items]

        return self._call(ask, until, token={"access_token": tokens.access_token})

    def revoke(self, tokens: Tokens, until: float) -> None:
        """Ends both tokens at the platform. Tokens that it no longer knows are no error (RFC 7009)."""

        async def ask(client: AsyncOAuth2Client) -> None:
            # RFC 7009 lets a platform keep one token when the other is revoked, so each is named.
            if tokens.refresh_token:
                await client.revoke_token(self._facts.revoke_url, tokens.refresh_token, "refresh_token")
            await client.revoke_token(self._facts.revoke_url, tokens.access_token, "access_token")

        self._call(ask, until)

    def _client(self, **more: Any) -> AsyncOAuth2Client:
        return AsyncOAuth2Client(
            client_id=self._facts.client_id,
            token_endpoint_auth_method=self._facts.token_endpoint_auth_method,
            revocation_endpoint_auth_method=self._facts.token_endpoint_auth_method,
            code_challenge_method="S256",
            # All that is asked has one limit, which is set where it is waited for.
            timeout=None,
            follow_redirects=False,
            trust_env=False,
            verify=TLS,
            event_hooks={"response": [answers.check]},
            **more,
        )

    def _call(
        self, ask: Callable[[AsyncOAuth2Client], Awaitable[Answer]], until: float, **more: Any
    ) -> Answer:
        async def asking() -> Answer:
            async with self._calling(**more) as client:
                return await ask(client)

        try:
            return _event_loop.run(asking(), until)
        except TimeoutError:
            raise PlatformUnreachable("no answer in time") from None

    @asynccontextmanager
    async def _calling(self, **more: Any) -> AsyncIterator[AsyncOAuth2Client]:
        """A client whose failures become our two exceptions, without their causes: those hold bodies."""
        try:
            async with self._client(**more) as client:
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
