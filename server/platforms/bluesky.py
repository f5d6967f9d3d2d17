"""Bluesky, and every other server of the AT Protocol: connected by OAuth, or by an app password.

Which server an account is at is found by its DID alone, and only that one is believed about it: another could
say that it has anybody's account.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TypeVar

import httpx2
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from server.platforms import answers, atproto_profile, failures
from server.platforms import atproto_oauth as oauth
from server.platforms import atproto_session as sessions
from server.platforms.answers import Profile, Tokens
from server.platforms.atproto_client import SCOPES, AtprotoClient
from server.platforms.atproto_identity import Identities, Identity, TxtRecords, UnknownHandle
from server.platforms.atproto_session import WrongPassword
from server.platforms.dpop import Dpop
from server.platforms.facts import ProfileFields
from server.platforms.failures import PlatformRefused, PlatformUnreachable
from server.platforms.http import Http, run
from server.platforms.platform import TIMEOUT, Asked, Authorization, ClientApp, Platform, Returned
from server.platforms.strangers import Strangers

__all__ = ["Bluesky", "UnknownHandle", "WrongPassword", "load"]

PROFILE = ProfileFields(
    platform_user_id="did", username="handle", display_name="display_name", profile_photo_url="photo_url"
)
# What tokens by OAuth need besides themselves.
OAUTH_CONTEXT = ("did", "handle", "pds", "issuer", "client_id", "dpop_key")
Answer = TypeVar("Answer")


class Bluesky(Platform):
    """The platform, with `sign_in` beside what each can be asked.

    Tokens have a context: `did`, `handle` and `pds` (the account, and its server), and by OAuth `issuer`,
    `client_id` and `dpop_key` beside these. Imported ones have none, and so nobody can be asked about them.
    """

    name = platform = app_of = "bluesky"
    chosen_by: Mapping[str, str] = {}
    own_app: ClientApp

    def __init__(
        self, strangers: Strangers, identities: Identities, us: AtprotoClient, timeout: timedelta = TIMEOUT
    ) -> None:
        super().__init__(timeout)
        self._strangers = strangers
        self._identities = identities
        self.us = us
        self.own_app = ClientApp(us.metadata_url)

    def begin(self, app: ClientApp, asked: Asked, until: float) -> Authorization:  # noqa: ARG002 (its own)
        """See Platform. Option `handle`: whose account to connect. Raises UnknownHandle, too."""
        handle, scopes = asked.options["handle"], tuple(asked.permissions) or SCOPES
        client_id = self.us.id(asked.redirect_uri, scopes)
        parameters = {
            "response_type": "code",
            "code_challenge": create_s256_code_challenge(asked.code_verifier),
            "code_challenge_method": "S256",
            "state": asked.state,
            "redirect_uri": asked.redirect_uri,
            "scope": " ".join(scopes),
            "login_hint": handle,
        }

        async def ask(client: httpx2.AsyncClient) -> Authorization:
            who = await self._identities.find(client, handle)
            issuer = await oauth.issuer_of(self._strangers, client, who.pds)
            server = await oauth.authorization_server(self._strangers, client, issuer)
            dpop = Dpop.new()
            us = self.us.parameters(client_id, issuer)
            url = await oauth.push(client, dpop, server, us, parameters)
            flow = {**_context(who), "issuer": issuer, "client_id": client_id, "dpop_key": dpop.private_key}
            return Authorization(url, flow)

        return self._call(ask, until)

    def exchange(self, app: ClientApp, returned: Returned, now: datetime, until: float) -> Tokens:  # noqa: ARG002
        """See Platform. Raises PlatformRefused for a code of another server than the account's, or for tokens
        of another account than it was begun for.
        """
        if returned.issuer != returned.flow["issuer"]:
            raise PlatformRefused("another issuer")
        parameters = {
            "grant_type": "authorization_code",
            "code": returned.code,
            "code_verifier": returned.code_verifier,
            "redirect_uri": returned.redirect_uri,
        }
        return self._call(lambda client: self._granted(client, returned.flow, parameters, now), until)

    def sign_in(self, name: str, password: str, service_url: str, now: datetime, until: float) -> Profile:
        """The account with this handle or DID, by its app password; at its own server unless another one,
        that signs in for it, is given.

        Raises UnknownHandle, WrongPassword, PlatformRefused, PlatformUnreachable.
        """

        async def ask(client: httpx2.AsyncClient) -> Profile:
            found = None if service_url else await self._identities.find(client, name)
            at = found.pds if found else self._strangers.origin(service_url)
            session = await sessions.create(client, at, name, password)
            try:
                who = found or await self._identities.find(client, session.did)
                tokens = _session_tokens(session, who)
                if await sessions.account(client, who.pds, session.access_token) != who.did:
                    raise PlatformRefused("a session of another account")
                return await self._profile(client, tokens, now)
            except (PlatformRefused, PlatformUnreachable, httpx2.HTTPError):
                with suppress(PlatformRefused, PlatformUnreachable, httpx2.HTTPError):
                    await sessions.delete(client, at, session.refresh_token)
                raise

        return self._call(ask, until)

    def profiles(self, app: ClientApp, tokens: Tokens, now: datetime, until: float) -> list[Profile]:  # noqa: ARG002
        """See Platform. It is one: who signs in, signs in for one account."""

        async def ask(client: httpx2.AsyncClient) -> list[Profile]:
            return [await self._profile(client, tokens, now)]

        return self._call(ask, until)

    def can_refresh(self, tokens: Tokens) -> bool:
        """See Platform."""
        return bool(tokens.refresh_token and tokens.context)

    def refresh(self, app: ClientApp, tokens: Tokens, now: datetime, until: float) -> Tokens:  # noqa: ARG002
        """See Platform. The old refresh token ends."""

        async def ask(client: httpx2.AsyncClient) -> Tokens:
            if not (tokens.refresh_token and tokens.context):
                raise PlatformRefused("no way to refresh")
            if "dpop_key" in tokens.context:
                parameters = {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token}
                return await self._granted(client, tokens.context, parameters, now)
            session = await sessions.refresh(client, tokens.context["pds"], tokens.refresh_token)
            return _session_tokens(session, _who(tokens.context))

        return self._call(ask, until)

    def revoke(self, app: ClientApp, tokens: Tokens, until: float) -> None:  # noqa: ARG002
        """See Platform. The session ends, and with it both tokens."""

        async def ask(client: httpx2.AsyncClient) -> None:
            token = tokens.refresh_token or tokens.access_token
            if "dpop_key" in tokens.context:
                server = await oauth.authorization_server(self._strangers, client, tokens.context["issuer"])
                dpop = Dpop.of(tokens.context["dpop_key"])
                us = self.us.parameters(tokens.context["client_id"], server.issuer)
                await oauth.revoke(client, dpop, server, us, token)
            elif tokens.context:
                await sessions.delete(client, tokens.context["pds"], token)

        self._call(ask, until)

    async def _granted(
        self,
        client: httpx2.AsyncClient,
        context: Mapping[str, str],
        parameters: Mapping[str, str],
        now: datetime,
    ) -> Tokens:
        """Tokens by OAuth for the account of the context: a flow's, or that of tokens before."""
        server = await oauth.authorization_server(self._strangers, client, context["issuer"])
        dpop = Dpop.of(context["dpop_key"])
        us = self.us.parameters(context["client_id"], server.issuer)
        granted = await oauth.grant(client, dpop, server, us, parameters, now)
        if granted.did != context["did"]:
            with suppress(PlatformRefused, PlatformUnreachable, httpx2.HTTPError):
                await oauth.revoke(client, dpop, server, us, granted.refresh_token or granted.access_token)
            raise PlatformRefused("tokens of another account")
        kept = {name: context[name] for name in OAUTH_CONTEXT}
        return Tokens(granted.access_token, granted.refresh_token, granted.expire_time, granted.scopes, kept)

    async def _profile(self, client: httpx2.AsyncClient, tokens: Tokens, now: datetime) -> Profile:
        shown = await atproto_profile.read(client, tokens.context["pds"], tokens.context["did"])
        return answers.profile({**tokens.context, **shown._asdict()}, PROFILE, tokens, now)

    def _call(self, ask: Callable[[httpx2.AsyncClient], Awaitable[Answer]], until: float) -> Answer:
        """What a client is answered. Failures become our two, without their causes: those hold bodies."""

        async def asking() -> Answer:
            async with self._strangers.client() as client:
                return await ask(client)

        return failures.read(lambda: run(asking(), until))


def load(us: AtprotoClient, plc_url: str, name_server: str | None, *, allow_private: bool) -> Bluesky:
    """The platform. The directory may have a private address: who runs this server has chosen it."""
    strangers = Strangers(Http(allow_private=allow_private, trusted=[plc_url]).named("bluesky"))
    return Bluesky(strangers, Identities(strangers, plc_url, TxtRecords(name_server)), us)


def _context(who: Identity) -> dict[str, str]:
    return {"did": who.did, "handle": who.handle, "pds": who.pds}


def _who(context: Mapping[str, str]) -> Identity:
    return Identity(context["did"], context["handle"], context["pds"])


def _session_tokens(session: sessions.Session, who: Identity) -> Tokens:
    if session.did != who.did:
        raise PlatformRefused("a session of another account")
    return Tokens(session.access_token, session.refresh_token, session.expire_time, (), _context(who))
