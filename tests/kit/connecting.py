"""One project that connects by a row of platforms.toml, over the whole product, at a stand-in."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx2
from google.protobuf.json_format import ParseDict

from generated.hitchpost.v1 import social_account_service_pb2 as pb
from server.base.vault import Vault
from server.platforms import facts
from server.platforms.facts import Facts
from tests.conftest import ENCRYPTION_KEY
from tests.kit import stand_in as kit
from tests.kit.stand_in import Fixture, Json, StandIn, Verifier
from tests.kit.support import Client, recorder

Sql = Callable[..., list[tuple[Any, ...]]]
ROWS = facts.read("https://hitchpost.example.com")
# What a login asks the platform for, in this order.
LOGIN = ("token", "long_lived", "profiles")
VAULT = Vault(ENCRYPTION_KEY)
TOKENS = """
SELECT account.platform_user_id, token.access_token, token.refresh_token, token.context
FROM social_account_token token JOIN social_account account ON account.id = token.social_account_id
WHERE token.project_id = %s
"""


@dataclass
class Connecting:
    """The project, by its client; the row, and its fixture.

    `callbacks` is HITCHPOST_CALLBACK_URL of the server, `revoke` has it do what is due.
    """

    client: Client
    sql: Sql
    stand_in: StandIn
    row: Facts
    fixture: Fixture
    callbacks: str
    revoke: Callable[[], None]

    @property
    def platform(self) -> str:
        return f"PLATFORM_{self.row.platform.upper()}"

    @property
    def callback(self) -> str:
        return f"{self.callbacks}/{self.row.platform}"

    def set_app(self) -> "Connecting":
        """Gives the project the app that the row connects with."""
        self.client(
            "PlatformAppService/SetPlatformApp",
            platform=f"PLATFORM_{self.row.app_of.upper()}",
            client_id=self.fixture.values["client_id"],
            client_secret=self.fixture.values["client_secret"],
            settings=self.fixture.get("app", {}).get("settings", {}),
        )
        return self

    def again(self, **values: Any) -> "Connecting":
        """Another login, with these values."""
        return replace(self, fixture=self.fixture.again(**values))

    def by(self, row: str) -> "Connecting":
        """Another login of the project, by another row, with the app that it has for that."""
        fixture = Fixture(row, self.stand_in, **self.fixture.values)
        other = replace(self, row=ROWS[row], fixture=fixture)
        return other if other.row.app_of == self.row.app_of else other.set_app()

    def begin(self, owner: str) -> None:
        """CreateAuthUrl; what it says is what the fixture says, to the last parameter."""
        answer = self.client(
            "SocialAccountService/CreateAuthUrl",
            platform=self.platform,
            external_id=owner,
            platform_options=ParseDict(self.fixture["authorize"]["options"], pb.AuthPlatformOptions()),
        )
        address, _, query = answer.url.partition("?")
        asked = kit.once(parse_qsl(query, strict_parsing=True))
        values = self.fixture.values
        values |= {"state": answer.state, "redirect_uri": self.callback}
        if "code_challenge" in asked:
            challenge = asked["code_challenge"]
            values |= {"code_challenge": challenge, "code_verifier": Verifier(challenge)}
        wanted = self.fixture["authorize"]
        assert (address, asked) == (wanted["url"], wanted["parameters"])

    def comes_back(self) -> str:
        """The address that the platform sends the browser to."""
        values = self.fixture.values
        query = {"code": values["code"], "state": values["state"]}
        if issuer := self.fixture["authorize"].get("issuer"):
            query["iss"] = issuer
        return f"{self.callback}?{urlencode(query)}"

    def ends(self, exchanges: Sequence[Json]) -> httpx2.Response:
        """What the browser sees when it comes back; of the platform exactly this is asked."""
        with self.stand_in.playing(exchanges):
            answer = httpx2.get(self.comes_back(), trust_env=False)
        recorder.add(answer.text)
        return answer

    def login(self, owner: str = "alice") -> None:
        """A login to its end, by the web."""
        self.begin(owner)
        answer = self.ends(self.fixture.exchanges(*LOGIN))
        assert answer.status_code == 200, answer.text

    def accounts(self) -> dict[str, Any]:
        """The project's accounts by the platform's id."""
        found = self.client("SocialAccountService/ListSocialAccounts").social_accounts
        return {account.platform_user_id: account for account in found}

    def tokens(self) -> dict[str, Json]:
        """What is stored of tokens, decrypted, by the platform's id."""
        return {
            user_id: {
                "access_token": VAULT.decrypt(access),
                "refresh_token": refresh and VAULT.decrypt(refresh),
                "context": json.loads(VAULT.decrypt(context)) if context else {},
            }
            for user_id, access, refresh, context in self.sql(TOKENS, self.client.project_id)
        }

    def wanted_tokens(self) -> dict[str, Json]:
        """The same as the fixture has it."""
        login, wanted = self.fixture["tokens"], {}
        for account in self.fixture["accounts"]:
            own = login if account["tokens"] == "login" else account["tokens"]
            kept = {"access_token": own["access_token"], "refresh_token": own["refresh_token"]}
            wanted[account["platform_user_id"]] = {**kept, "context": login["context"]}
        return wanted

    def disconnect(self, user_id: str, asked: Sequence[Json]) -> None:
        """Disconnects the account, and does all that is due then; of the platform exactly this is asked."""
        account_id = self.accounts()[user_id].id
        self.client("SocialAccountService/DisconnectSocialAccount", social_account_id=account_id)
        with self.stand_in.playing(asked):
            self.revoke()
        assert self.to_revoke() == 0

    def to_revoke(self) -> int:
        """How many of the project's tokens are still to be revoked."""
        counted = "SELECT count(*) FROM token_revocation WHERE project_id = %s"
        return int(self.sql(counted, self.client.project_id)[0][0])
