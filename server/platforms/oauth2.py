"""An OAuth 2.0 platform as its row of facts describes it: code, PKCE, profiles, refresh, revocation."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import quote, quote_plus, urlencode

import httpx2
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from server.platforms import answers, failures, profile_pages
from server.platforms.answers import Profile, Tokens
from server.platforms.facts import Call, Facts, ProfileSource, fill, filled
from server.platforms.failures import CodeSpent, PlatformRefused, PlatformUnreachable
from server.platforms.http import Http, run
from server.platforms.platform import TIMEOUT, Asked, Authorization, ClientApp, Platform, Returned

# Of an answer. More than a stranger's: a platform is chosen by who runs this server, and what it describes at
# length is cut, not refused.
ANSWER_BYTES = 16 * 1024 * 1024
Answer = TypeVar("Answer")
# Of httpx2's requests.
ARGUMENTS = {"query": "params", "form": "data", "json": "json"}
PARAMETERS = {
    "token": {
        "grant_type": "authorization_code",
        "code": "{code}",
        "redirect_uri": "{redirect_uri}",
        "code_verifier": "{code_verifier}",
    },
    "refresh": {"grant_type": "refresh_token", "refresh_token": "{refresh_token}"},
    "revoke": {"token": "{token}", "token_type_hint": "{token_type_hint}"},
}


class OAuth2Platform(Platform):
    """One row. Each call has an HTTP client of its own."""

    _most_bytes = ANSWER_BYTES

    def __init__(self, name: str, facts: Facts, http: Http, timeout: timedelta = TIMEOUT) -> None:
        super().__init__(timeout)
        self.name, self.platform, self.app_of = name, facts.platform, facts.app_of
        self.chosen_by = facts.chosen_by
        self.own_app = ClientApp(facts.client_id) if facts.client_id else None
        self.refresh_after = timedelta(seconds=facts.refresh_after)
        self.app_settings = facts.app_settings
        self.registers_itself = facts.registration is not None
        self.facts = facts
        self._http = http

    def begin(self, app: ClientApp, asked: Asked, until: float) -> Authorization:  # noqa: ARG002 (nobody is asked)
        """See Platform."""
        facts = self.facts
        scope = facts.scope_separator.join(asked.permissions or facts.default_scopes)
        values = self._known(app, asked.options, {"scope": scope})
        query = {
            "response_type": "code",
            facts.client_id_parameter: app.client_id,
            "redirect_uri": asked.redirect_uri + facts.callback_ending,
            "scope": scope,
            "state": asked.state,
        }
        if facts.pkce:
            challenge = create_s256_code_challenge(asked.code_verifier)
            query |= {"code_challenge": challenge, "code_challenge_method": "S256"}
        query |= filled(facts.authorize_parameters, values)
        query |= {name: asked.options[name] for name in facts.authorize_options if asked.options.get(name)}
        url = fill(facts.authorize_url, values)
        return Authorization(f"{url}?{urlencode(query, quote_via=quote)}", {"scope": scope})

    def exchange(self, app: ClientApp, returned: Returned, now: datetime, until: float) -> Tokens:
        """See Platform. Raises PlatformRefused for a code that another server has issued (RFC 9207)."""
        facts = self.facts
        if facts.issuer and returned.issuer != facts.issuer:
            raise PlatformRefused("another issuer")
        values = {
            **returned.flow,
            "code": returned.code,
            "code_verifier": returned.code_verifier if facts.pkce else "",
            "redirect_uri": returned.redirect_uri + facts.callback_ending,
        }

        async def ask(client: httpx2.AsyncClient) -> Tokens:
            answer = await self._ask(client, "token", facts.token, app, values)
            return answers.login_tokens(answer, facts, now, asked=returned.flow.get("scope", ""))

        tokens = self._call(ask, until)
        if facts.long_lived is None:
            return tokens
        try:
            return self._renewed("long_lived", facts.long_lived, app, tokens, now, until)
        except (PlatformRefused, PlatformUnreachable) as failed:
            raise CodeSpent(str(failed)) from None

    def profiles(self, app: ClientApp, tokens: Tokens, now: datetime, until: float) -> list[Profile]:
        """See Platform."""
        values = self._known(app, _with_tokens(tokens))

        async def ask(client: httpx2.AsyncClient) -> list[Profile]:
            found: dict[str, Profile] = {}
            for source in self.facts.profiles:
                async for item in profile_pages.items(client, source, self.facts, values):
                    profile = self._profile(item, source, tokens, now)
                    found.setdefault(profile.platform_user_id, profile)
            return list(found.values())

        return self._call(ask, until)

    def _profile(self, item: object, source: ProfileSource, tokens: Tokens, now: datetime) -> Profile:
        return answers.profile(item, source.fields, tokens, now)

    def can_refresh(self, tokens: Tokens) -> bool:
        """See Platform."""
        call = self.facts.refresh
        if call is None:
            return False
        needs = (call.parameters or PARAMETERS["refresh"]).values()
        return bool(tokens.refresh_token) or "{refresh_token}" not in needs

    def refresh(self, app: ClientApp, tokens: Tokens, now: datetime, until: float) -> Tokens:
        """See Platform."""
        call = self.facts.refresh
        if call is None:
            raise PlatformRefused("no way to refresh")
        return self._renewed("refresh", call, app, tokens, now, until)

    def _renewed(
        self, kind: str, call: Call, app: ClientApp, old: Tokens, now: datetime, until: float
    ) -> Tokens:
        """New tokens for old, by one of the row's calls."""

        async def ask(client: httpx2.AsyncClient) -> Tokens:
            answer = await self._ask(client, kind, call, app, _with_tokens(old))
            return answers.renewed_tokens(answer, self.facts, now, old)

        return self._call(ask, until)

    def revoke(self, app: ClientApp, tokens: Tokens, until: float) -> None:
        """See Platform."""
        call = self.facts.revoke
        if call is None:
            return

        async def ask(client: httpx2.AsyncClient) -> None:
            for hint, token in self._revoked(tokens):
                values = {**_with_tokens(tokens), "token": token, "token_type_hint": hint}
                await self._ask(client, "revoke", call, app, values)

        self._call(ask, until)

    def _revoked(self, tokens: Tokens) -> list[tuple[str, str]]:
        """What is named to be revoked, with its kind. RFC 7009 lets a platform keep one when the other is."""
        both = {"refresh_token": tokens.refresh_token, "access_token": tokens.access_token}
        there = [(kind, token) for kind, token in both.items() if token]
        if self.facts.revokes == "each":
            return there
        return [pair for pair in there if pair[0] == self.facts.revokes] or there

    async def _ask(
        self, client: httpx2.AsyncClient, kind: str, call: Call, app: ClientApp, values: Mapping[str, str]
    ) -> Any:
        """What the platform answers to one of the row's calls, if it is no failure."""
        known = self._known(app, values)
        parameters = filled(PARAMETERS[kind] if call.parameters is None else call.parameters, known)
        auth = None
        if call.authenticates:
            parameters |= self._client_parameters(app)
            auth = self._basic(app)
        body: dict[str, Any] = {ARGUMENTS[call.encoding]: parameters}
        response = await client.request(
            call.method,
            fill(call.url, known),
            headers={"Accept": "application/json", **filled(call.headers, known)},
            auth=auth,
            **body,
        )
        if kind == "revoke" and response.is_success and not response.content:
            return {}
        answer = response.json()
        failures.check_body(answer, self.facts)
        return answer

    def _known(self, app: ClientApp, *values: Mapping[str, str]) -> dict[str, str]:
        """What `{names}` of the row's texts stand for."""
        known = dict(app.settings)
        for more in values:
            known |= more
        ours = {"client_id": app.client_id, "client_secret": app.client_secret, "version": self.facts.version}
        return known | ours

    def _client_parameters(self, app: ClientApp) -> dict[str, str]:
        """The client in a request's body: itself, and its secret where that is how it shows it."""
        if self._shows_basic(app):
            return {}
        named = {self.facts.client_id_parameter: app.client_id}
        by_post = self.facts.token_endpoint_auth_method == "client_secret_post"  # noqa: S105 (no password)
        return {**named, "client_secret": app.client_secret} if by_post and app.client_secret else named

    def _basic(self, app: ClientApp) -> httpx2.BasicAuth | None:
        if not self._shows_basic(app):
            return None
        # RFC 6749, 2.3.1: each is encoded like a form's value first.
        return httpx2.BasicAuth(quote_plus(app.client_id), quote_plus(app.client_secret))

    def _shows_basic(self, app: ClientApp) -> bool:
        by_basic = self.facts.token_endpoint_auth_method == "client_secret_basic"  # noqa: S105 (no password)
        return by_basic and bool(app.client_secret)

    async def _check(self, response: httpx2.Response) -> None:
        await failures.check(response, self.facts)

    def _call(self, ask: Callable[[httpx2.AsyncClient], Awaitable[Answer]], until: float) -> Answer:
        """What a client is answered. Failures become our two, without their causes: those hold bodies."""

        async def asking() -> Answer:
            options = self._http.options(most_bytes=self._most_bytes)
            async with httpx2.AsyncClient(event_hooks={"response": [self._check]}, **options) as client:
                return await ask(client)

        return failures.read(lambda: run(asking(), until))


def _with_tokens(tokens: Tokens) -> dict[str, str]:
    known = {**tokens.context, "access_token": tokens.access_token}
    return {**known, "refresh_token": tokens.refresh_token or ""}
