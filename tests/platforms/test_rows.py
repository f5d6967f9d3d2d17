"""Every row of platforms.toml against a stand-in: requests field by field, and what becomes of answers."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from google.protobuf.json_format import ParseDict

from generated.hitchpost.v1 import social_account_service_pb2 as pb
from server import platforms
from server.platforms import Asked, ClientApp, Profile, Returned, Tokens, facts
from server.rpc import convert
from tests.kit import stand_in as kit
from tests.kit.stand_in import Fixture, StandIn, Verifier
from tests.kit.support import secret

NOW = datetime(2030, 1, 1, tzinfo=UTC)
ROWS = facts.read("https://hitchpost.example.com")
CALLS = ("token", "long_lived", "refresh", "revoke")
REDIRECT_URI = "https://hitchpost.example.com/callback"
# It is played by itself; see tests/sandbox.
REAL = {"sandbox"}
NAMES = sorted(ROWS.keys() - REAL)


@pytest.fixture(scope="module")
def ways(platforms_file: Path) -> platforms.Platforms:
    """The rows, as a server loads them that may call loopback."""
    return platforms.load("http://127.0.0.1:9", allow_private=True, more=platforms_file)


by_id = attrgetter("platform_user_id")


@dataclass
class Played:
    """One row and its fixture."""

    stand_in: StandIn
    way: platforms.Platform
    fixture: Fixture

    def __post_init__(self) -> None:
        values, app = self.fixture.values, self.fixture.get("app", {})
        self.app = ClientApp(values["client_id"], values["client_secret"], app.get("settings", {}))
        self.verifier, self.flow = secret(), {}
        values["code_verifier"] = Verifier(create_s256_code_challenge(self.verifier))
        values["code_challenge"] = create_s256_code_challenge(self.verifier)
        values["redirect_uri"] = REDIRECT_URI
        # For a platform of many servers the stand-in is one of them.
        values["instance"] = self.stand_in.url
        values["instance_name"] = urlsplit(self.stand_in.url).netloc

    def begin(self) -> str:
        """Where the browser is sent."""
        options = ParseDict(self.fixture["authorize"]["options"], pb.AuthPlatformOptions())
        begun = self.way.begin(
            self.app,
            Asked(
                redirect_uri=REDIRECT_URI,
                state=self.fixture.values["state"],
                code_verifier=self.verifier,
                permissions=[],
                options=convert.auth_options(options),
            ),
            self.way.deadline(),
        )
        self.flow = dict(begun.flow)
        return begun.url

    def exchange(self) -> Tokens:
        self.begin()
        return self.way.exchange(
            self.app,
            Returned(
                code=self.fixture.values["code"],
                issuer=self.fixture["authorize"].get("issuer", ""),
                redirect_uri=REDIRECT_URI,
                code_verifier=self.verifier,
                flow=self.flow,
            ),
            NOW,
            self.way.deadline(),
        )

    def tokens(self, step: str = "tokens") -> Tokens:
        """What the fixture says that a login, or a refresh, brings."""
        said = dict(self.fixture[step])
        seconds = said.pop("expires_in")
        scopes = tuple(said.pop("scopes"))
        return Tokens(**said, scopes=scopes, expire_time=seconds and NOW + timedelta(seconds=seconds))

    def accounts(self) -> list[Profile]:
        """The profiles that the fixture says are found."""
        return [self._profile(**account) for account in self.fixture["accounts"]]

    def _profile(self, tokens: Any, **said: Any) -> Profile:
        """With the login's tokens, which others have, too, or with its own."""
        login = self.tokens()
        if tokens == "login":
            return Profile(**said, tokens=login, shares_tokens=True)
        seconds = tokens["expires_in"]
        own = Tokens(
            access_token=tokens["access_token"],
            refresh_token=tokens["refresh_token"],
            expire_time=seconds and NOW + timedelta(seconds=seconds),
            scopes=login.scopes,
            context=login.context,
        )
        return Profile(**said, tokens=own)

    def call(self, kind: str) -> Any:
        """Makes the call that a step of the fixture is about."""
        until = self.way.deadline()
        match kind:
            case "token" | "long_lived":
                return self.exchange()
            case "profiles":
                return self.way.profiles(self.app, self.tokens(), NOW, until)
            case "refresh":
                return self.way.refresh(self.app, self.tokens(), NOW, until)
            case "revoke":
                return self.way.revoke(self.app, self.tokens(), until)
        raise AssertionError(f"no call {kind}")


@pytest.fixture
def played(request: pytest.FixtureRequest, stand_in: StandIn, ways: platforms.Platforms) -> Played:
    name = request.param
    way = ways.named(name, name)
    assert way is not None
    return Played(stand_in, way, Fixture(name, stand_in))


each_row = pytest.mark.parametrize("played", NAMES, indirect=True)


def test_every_row_has_a_fixture_and_every_fixture_a_row() -> None:
    assert kit.names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_fixture_plays_every_call_of_its_row(name: str, stand_in: StandIn) -> None:
    fixture, row = Fixture(name, stand_in), ROWS[name]
    asked = {call for call in CALLS if getattr(row, call)} - set(fixture.get("never", []))
    assert {call for call in CALLS if call in fixture} == asked
    assert ("refreshed" in fixture) == ("refresh" in asked)
    assert len(fixture["profiles"]) >= len(row.profiles) > 0
    assert {error["call"] for error in fixture["errors"]} >= asked - {"long_lived", "revoke"} | {"profiles"}
    steps = [fixture["authorize"], *fixture.exchanges(*CALLS, "profiles"), *fixture["errors"]]
    assert [step for step in steps if not step.get("documentation")] == []


@each_row
def test_where_the_browser_is_sent(played: Played) -> None:
    url, wanted = played.begin(), played.fixture["authorize"]
    assert url.split("?")[0] == wanted["url"]
    assert kit.once(parse_qsl(urlsplit(url).query, strict_parsing=True)) == wanted["parameters"]


@each_row
def test_the_tokens_of_a_code(played: Played) -> None:
    with played.stand_in.playing(played.fixture.exchanges("token", "long_lived")):
        assert played.exchange() == played.tokens()


@each_row
def test_the_profiles_of_a_login(played: Played) -> None:
    with played.stand_in.playing(played.fixture.exchanges("profiles")):
        found = played.call("profiles")
    assert sorted(found, key=by_id) == sorted(played.accounts(), key=by_id)


@each_row
def test_a_refresh(played: Played) -> None:
    assert played.way.can_refresh(played.tokens()) == ("refresh" in played.fixture)
    if "refresh" in played.fixture:
        with played.stand_in.playing(played.fixture.exchanges("refresh")):
            assert played.call("refresh") == played.tokens("refreshed")


@each_row
def test_a_revocation(played: Played) -> None:
    with played.stand_in.playing(played.fixture.exchanges("revoke")):
        played.call("revoke")


ERRORS = [
    pytest.param(name, index, id=f"{name}-{error['call']}-{error['becomes']}-{index}")
    for name in kit.names()
    for index, error in enumerate(kit.load(name)["errors"])
]


@pytest.mark.parametrize(("played", "index"), ERRORS, indirect=["played"])
def test_what_a_failure_is(played: Played, index: int) -> None:
    error = played.fixture["errors"][index]
    before = ["token"] if error["call"] == "long_lived" else []
    failing = {**played.fixture.exchanges(error["call"])[0], "answer": error["answer"]}
    wanted = getattr(platforms, error["becomes"])
    with (
        played.stand_in.playing([*played.fixture.exchanges(*before), failing]),
        pytest.raises(wanted) as caught,
    ):
        played.call(error["call"])
    assert caught.type is wanted
    assert not [said for said in played.fixture.values.values() if str(said) in str(caught.value)]


@each_row
def test_a_passing_502_is_no_refusal(played: Played) -> None:
    """Not even with a body that says so: only the platform itself can end a connection."""
    dead = {"status": 502, "json": {"error": "invalid_grant"}}
    for call in ("token", "profiles", "refresh", "revoke"):
        if call in played.fixture:
            first = {**played.fixture.exchanges(call)[0], "answer": dead}
            with played.stand_in.playing([first]), pytest.raises(platforms.PlatformUnreachable):
                played.call(call)


WRONG = [
    {"method": "PUT"},
    {"url": "https://oauth2.googleapis.com/other"},
    {"headers": {}},
    {"query": {"more": ""}},
    {"form": {}},
    {"json": {}},
]


@pytest.mark.parametrize("played", ["youtube"], indirect=True)
@pytest.mark.parametrize("change", WRONG)
def test_a_request_that_differs_is_seen(played: Played, change: dict[str, Any]) -> None:
    """The stand-in is no sieve."""
    [exchange] = played.fixture.exchanges("refresh")
    differs = {**exchange, "request": {**exchange["request"], **change}}
    with pytest.raises(AssertionError, match="asked for"), played.stand_in.playing([differs]):
        played.call("refresh")


@pytest.mark.parametrize("played", ["youtube"], indirect=True)
@pytest.mark.parametrize("times", [0, 2])
def test_a_request_too_many_or_too_few_is_seen(played: Played, times: int) -> None:
    expected = played.fixture.exchanges("refresh") * times
    with pytest.raises(AssertionError, match="asked for"), played.stand_in.playing(expected):
        played.call("refresh")
