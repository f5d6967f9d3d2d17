"""Mastodon: a platform of many servers, none of which is known before somebody names theirs.

An app is registered at each of them when it is first needed. Whoever has a server decides what it answers, so
nothing it says leads to another one: it is spoken to at the address that it was named by, and nowhere else.
"""

import dataclasses
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import httpx2

from server.platforms import answers, mastodon_limits
from server.platforms.answers import Profile, Tokens
from server.platforms.facts import Facts, ProfileSource, fill
from server.platforms.failures import ClientRefused, PlatformRefused, PlatformUnreachable
from server.platforms.http import MOST_BYTES, Http
from server.platforms.oauth2 import OAuth2Platform
from server.platforms.paths import at
from server.platforms.platform import TIMEOUT, Asked, Authorization, ClientApp, Returned

# Of an app's settings: where a client that registered itself sends browsers back to.
REDIRECT_URI = "redirect_uri"
# To say its limits, without which it is connected as well.
LIMITS_SECONDS = 3.0


def address_of(instance: str, *, allow_private: bool) -> str:
    """Where the server of this name is spoken to."""
    # With a port it may be a server of development, which has no certificate.
    scheme = "http" if allow_private and ":" in instance else "https"
    return f"{scheme}://{instance}"


class _Redirected(PlatformRefused):
    """The server sends its callers elsewhere."""


class MastodonPlatform(OAuth2Platform):
    """A row with `{instance}` in its URLs: the address of the server that a login is at, without a path.

    An account is one of its server: its id here is the server's for it, `@`, and the server's name.
    """

    _most_bytes = MOST_BYTES

    def __init__(
        self,
        name: str,
        facts: Facts,
        http: Http,
        timeout: timedelta = TIMEOUT,
        *,
        allow_private: bool,
    ) -> None:
        super().__init__(name, facts, http, timeout)
        self._allow_private = allow_private

    def instance(self, options: Mapping[str, str]) -> str:
        """See Platform. One name for one server: or its accounts could be connected twice."""
        return options["instance"].lower().removesuffix(":443")

    def _address(self, instance: str) -> str:
        return address_of(instance, allow_private=self._allow_private)

    def register(self, known: ClientApp | None, asked: Asked, until: float) -> ClientApp | None:
        """See Platform. A client that the server has forgotten, or that browsers can't come back to any more,
        is replaced. Raises PlatformRefused for a server that is none.
        """
        redirect_uri = asked.redirect_uri
        values = {"instance": self._address(self.instance(asked.options)), REDIRECT_URI: redirect_uri}

        async def ask(client: httpx2.AsyncClient) -> ClientApp:
            usable = known is not None and known.settings.get(REDIRECT_URI) == redirect_uri
            if known and usable and await self._is_registered(client, known, values):
                return known
            await self._check_description(client, values)
            return await self._registered(client, values)

        return self._call(ask, until)

    async def _is_registered(
        self, client: httpx2.AsyncClient, known: ClientApp, values: Mapping[str, str]
    ) -> bool:
        if self.facts.registered is None:
            return True
        try:
            await self._ask(client, "registered", self.facts.registered, known, values)
        except ClientRefused:
            return False
        return True

    async def _registered(self, client: httpx2.AsyncClient, values: Mapping[str, str]) -> ClientApp:
        assert self.facts.registration is not None
        answer = await self._ask(client, "registration", self.facts.registration, ClientApp(""), values)
        client_id, secret = answers.client(answer)
        return ClientApp(client_id, secret, {REDIRECT_URI: values[REDIRECT_URI]})

    async def _check_description(self, client: httpx2.AsyncClient, values: Mapping[str, str]) -> None:
        """Raises PlatformRefused for a server that describes itself as another one.

        Versions before 4.3 have no description: what they have there, if anything, is a page.
        """
        try:
            described = (await client.get(fill(self.facts.discovery, values))).json()
        except _Redirected:
            raise
        except (PlatformRefused, ValueError):
            return
        facts = self.facts
        ours = {"issuer": "{instance}/", "authorization_endpoint": facts.authorize_url}
        calls = {"token": facts.token, "revocation": facts.revoke, "app_registration": facts.registration}
        ours |= {f"{name}_endpoint": call.url for name, call in calls.items() if call}
        for name, url in ours.items():
            said = at(described, name)
            if said is not None and said != fill(url, values):
                raise PlatformRefused(f"another {name}")

    def begin(self, app: ClientApp, asked: Asked, until: float) -> Authorization:
        """See Platform."""
        address = self._address(self.instance(asked.options))
        there = dataclasses.replace(asked, options={**asked.options, "instance": address})
        begun = super().begin(app, there, until)
        return Authorization(begun.url, {**begun.flow, "instance": address})

    def exchange(self, app: ClientApp, returned: Returned, now: datetime, until: float) -> Tokens:
        """See Platform. A server that says who issued the code (RFC 9207) must say that it did."""
        address = returned.flow["instance"]
        if returned.issuer and returned.issuer.removesuffix("/") != address:
            raise PlatformRefused("another issuer")
        tokens = super().exchange(app, returned, now, until)
        return dataclasses.replace(tokens, context={**tokens.context, "instance": address})

    def profiles(self, app: ClientApp, tokens: Tokens, now: datetime, until: float) -> list[Profile]:
        """See Platform. With the server's own limits, if it says what they are."""
        found = super().profiles(app, tokens, now, until)
        most = min(until, time.monotonic() + LIMITS_SECONDS)
        limits = self._limits(tokens.context["instance"], most) if found else {}
        return [dataclasses.replace(profile, limits=limits) for profile in found]

    def _limits(self, address: str, until: float) -> dict[str, Any]:
        async def ask(client: httpx2.AsyncClient) -> dict[str, Any]:
            try:
                response = await client.get(f"{address}/api/v2/instance")
            except PlatformRefused:
                # Versions before 4.0.
                response = await client.get(f"{address}/api/v1/instance")
            return mastodon_limits.limits(response.json())

        try:
            return self._call(ask, until)
        except (PlatformRefused, PlatformUnreachable):
            return {}

    def _profile(self, item: object, source: ProfileSource, tokens: Tokens, now: datetime) -> Profile:
        """Raises PlatformUnreachable for an account that has its address elsewhere: under a second name of
        its server it would be a second account."""
        address = tokens.context["instance"]
        if not str(at(item, "url")).startswith(f"{address}/"):
            raise PlatformUnreachable("an account of another server")
        profile, name = super()._profile(item, source, tokens, now), address.partition("://")[2]
        return dataclasses.replace(
            profile,
            platform_user_id=f"{profile.platform_user_id}@{name}",
            username=f"{profile.username}@{name}",
        )

    async def _check(self, response: httpx2.Response) -> None:
        if response.is_redirect:
            raise _Redirected("a redirect to elsewhere")
        await super()._check(response)
