"""Tokens of accounts that are gone are revoked at their platform later, whatever happens to it until then."""

import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from generated.hitchpost.v1 import platform_pb2
from server.accounts import revocations
from server.accounts.revocations import KIND, Revoker
from server.base.vault import Vault
from server.platforms import ClientApp, PlatformRefused, PlatformUnreachable, Tokens, TokensRefused
from server.projects.platform_apps import PlatformApps
from server.storage.database import database
from server.storage.due_work import CHANNEL
from tests.conftest import ENCRYPTION_KEY, Running
from tests.kit.due import work_off
from tests.kit.servers import eventually, local_channel, rows, serving
from tests.kit.stored import stored_tokens
from tests.kit.support import Client, import_request, secret
from tests.storms.calls import begin, codes
from tests.storms.slow_platform import stopped

Sql = Callable[..., list[tuple[Any, ...]]]
ENDS = ["SocialAccountService/DisconnectSocialAccount", "SocialAccountService/DeleteSocialAccount"]
VAULT = Vault(ENCRYPTION_KEY)
SANDBOX = platform_pb2.PLATFORM_SANDBOX
KEPT = "SELECT access_token, refresh_token, due_time > now() FROM token_revocation WHERE project_id = %s"


class Platform:
    """Has these tokens to revoke, and fails as it is told."""

    own_app = ClientApp("everybody's")

    def __init__(self, failure: Exception | None) -> None:
        self.failure = failure
        self.asked: list[Tokens] = []

    def named(self, row: str | None, platform: str) -> "Platform":
        """As Platforms has it."""
        return self

    def deadline(self) -> float:
        return 0.0

    def revoke(self, app: ClientApp, tokens: Tokens, until: float) -> None:
        self.asked.append(tokens)
        if self.failure:
            raise self.failure


def let_go(client: Client, call: str = ENDS[0], **tokens: str) -> str:
    """Connects an account with these tokens and disconnects or deletes it; its id."""
    request = import_request("42", "alice", **tokens)
    account = client("SocialAccountService/ImportSocialAccount", request).social_account
    client(call, social_account_id=account.id)
    return str(account.id)


def revoke_all(vault: Vault, platform: Platform, client: Client) -> None:
    """Handles what is due of this project as a worker does."""
    revoker = Revoker(vault, platform, PlatformApps(vault))  # type: ignore[arg-type]
    for leased in KIND.lease("me"):
        if leased.row.project_id == client.project_id:
            revoker.revoke(leased)


@pytest.fixture(autouse=True)
def _nothing_else_is_due(running: Running) -> None:
    work_off(running.app)


@pytest.mark.parametrize("call", ENDS)
def test_tokens_are_kept_encrypted_until_they_are_revoked(call: str, client: Client, sql: Sql) -> None:
    access, refresh = secret(), secret()
    database.notifications(CHANNEL, 0)
    let_go(client, call, access_token=access, refresh_token=refresh)
    assert "revocations" in database.notifications(CHANNEL, 20)
    assert stored_tokens(sql, client) == []
    [(kept, kept_too, later)] = sql(KEPT, client.project_id)
    assert (VAULT.decrypt(kept), VAULT.decrypt(kept_too), later) == (access, refresh, False)
    platform = Platform(None)
    revoke_all(VAULT, platform, client)
    assert [(tokens.access_token, tokens.refresh_token) for tokens in platform.asked] == [(access, refresh)]
    assert sql(KEPT, client.project_id) == []


def test_what_is_disconnected_twice_or_fails_is_revoked_once(client: Client, sql: Sql) -> None:
    account_id = let_go(client)
    client(ENDS[0], social_account_id=account_id)
    client(ENDS[1], social_account_id=account_id)
    failed = client.connect("43")
    assert client.fails(ENDS[0], social_account_id=failed.id, etag="999").reason == "ETAG_MISMATCH"
    assert len(sql(KEPT, client.project_id)) == 1


UNREACHABLE, REFUSED = PlatformUnreachable("no answer in time"), PlatformRefused("no_such_client")
STRANGER = Vault(Fernet.generate_key().decode())
# What the platform says, how old the row is, who decrypts; whether the row stays, and what is logged.
ENDINGS = [
    (None, 0, VAULT, False, []),
    (TokensRefused("invalid_grant"), 0, VAULT, False, []),
    (REFUSED, 0, VAULT, False, ["the platform refuses to revoke tokens"]),
    (UNREACHABLE, 0, VAULT, True, []),
    (UNREACHABLE, 23.9, VAULT, True, []),
    (UNREACHABLE, 24.1, VAULT, False, ["gave up revoking tokens"]),
    (None, 0, STRANGER, True, []),
    (None, 24.1, STRANGER, False, ["gave up revoking tokens"]),
]


@pytest.mark.parametrize(("failure", "hours", "vault", "stays", "logged"), ENDINGS)
def test_how_a_revocation_ends(
    failure: Exception | None,
    hours: float,
    vault: Vault,
    stays: bool,
    logged: list[str],
    client: Client,
    sql: Sql,
    caplog: pytest.LogCaptureFixture,
) -> None:
    account_id = let_go(client)
    sql("UPDATE token_revocation SET create_time = create_time - %s", timedelta(hours=hours))
    with caplog.at_level(logging.WARNING, logger=revocations.__name__):
        revoke_all(vault, Platform(failure), client)
    # One that stays is due again later, and not held by anybody.
    assert [later for _, _, later in sql(KEPT, client.project_id)] == ([True] if stays else [])
    assert sql("SELECT id FROM token_revocation WHERE lease_time IS NOT NULL") == []
    records = [record for record in caplog.records if record.name == revocations.__name__]
    assert [record.message for record in records] == logged
    assert all(record.__dict__["social_account_id"] == account_id for record in records)


def test_tokens_of_a_platform_that_is_not_set_up_are_forgotten(
    client: Client, sql: Sql, running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    account = client.connect("42")
    sql("UPDATE social_account SET platform = %s WHERE id = %s", platform_pb2.PLATFORM_X, account.id)
    client(ENDS[0], social_account_id=account.id)
    work_off(running.app)
    assert sql(KEPT, client.project_id) == []


def test_nobody_waits_for_a_platform_that_is_stopped(run_dir: Path, new_database: Callable[[], str]) -> None:
    """32 calls of each end well before threads could have waited for it as often; then it revokes."""
    url = new_database()
    with serving(run_dir, url) as server, local_channel(server.address) as channel:
        client = server.new_client(channel)
        account_ids = [client.connect(str(number)).id for number in range(64)]
        with stopped(server):
            begun = [
                begin(client, ENDS[number % 2], timeout=60, social_account_id=one)
                for number, one in enumerate(account_ids)
            ]
            assert codes(begun) == {"OK": 64}
            assert rows(url, "SELECT count(*) FROM token_revocation") == [(64,)]
        eventually("all are revoked", lambda: rows(url, "SELECT count(*) FROM token_revocation") == [(0,)])
        assert not server.logged(message="the platform refuses to revoke tokens")
