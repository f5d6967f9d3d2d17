"""Races of ConfirmAuth, against two worker processes: one code, and one profile in many attempts."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from generated.hitchpost.v1 import social_account_service_pb2 as pb
from server.accounts import confirmations
from server.base.vault import Vault
from server.platforms import Profile, Tokens
from tests.conftest import ENCRYPTION_KEY
from tests.kit.racers import Outcome, Racers
from tests.kit.servers import Server, rows, serving
from tests.kit.support import Client, secret, unique

CONFIRM = "SocialAccountService/ConfirmAuth"
ROUNDS, CLIENTS = 100, 64
WORKERS, CHANNELS_PER_WORKER = 2, 4
# As a callback leaves an attempt, which test_confirmations.py sees; 6,400 browsers would take too long.
BROUGHT = """
    INSERT INTO auth_session (state_hash, project_id, platform, external_id, code_verifier, redirect_url,
      create_time, expire_time, consume_time, require_confirmation, receipt_hash, confirmation_hash, profiles,
      erase_time)
    SELECT sha256(('state' || code)::bytea), %s, 1, owner, '', 'http://localhost/', now(),
      now() + interval '15 minutes', now(), true, sha256(('receipt' || code)::bytea), sha256(code::bytea),
      %s, now() + interval '15 minutes'
    FROM unnest(%s, %s) attempt (code, owner)"""


@pytest.fixture(scope="module")
def server(run_dir: Path, new_database: Callable[[], str]) -> Iterator[Server]:
    """Two workers, with room for a whole round to wait."""
    with serving(
        run_dir, new_database(), workers=str(WORKERS), max_waiting_calls="1000", statement_timeout="30"
    ) as running:
        yield running


@pytest.fixture(scope="module")
def racers(server: Server) -> Iterator[tuple[Racers, Client]]:
    with server.channels_by_worker(WORKERS, CHANNELS_PER_WORKER) as by_worker:
        channels = [channel for channels in by_worker.values() for channel in channels]
        client = server.new_client(channels[0])
        racing = Racers(channels, client)
        yield racing, client
        racing.close()


def brought(server: Server, client: Client, profile: str, owners: list[str]) -> list[str]:
    """The codes of attempts that brought this profile, one for each owner."""
    found = [Profile(profile, profile, "", "", Tokens(secret(), secret(), None, ("read",)))]
    encrypted = Vault(ENCRYPTION_KEY).encrypt(confirmations._PROFILES.dump_json(found).decode())
    codes = [unique("code") for _ in owners]
    rows(server.settings["database_url"], BROUGHT, client.project_id, encrypted, codes, owners)
    return codes


def confirmed(outcomes: list[Outcome]) -> tuple[Counter[str], set[tuple[str, str]]]:
    """How the calls ended, and the profiles and owners that those name which went well."""
    accounts = [account for code, answer in outcomes if code == "OK" for account in answer.connected_accounts]
    named = {(account.platform_user_id, account.external_id) for account in accounts}
    return Counter(code for code, _ in outcomes), named


def stored(server: Server, client: Client) -> dict[str, Any]:
    select = "SELECT platform_user_id, external_id FROM social_account WHERE project_id = %s"
    return dict(rows(server.settings["database_url"], select, client.project_id))


def test_one_of_64_clients_uses_a_code_in_each_of_100_rounds(
    server: Server, racers: tuple[Racers, Client]
) -> None:
    racing, client = racers
    won, begun = {}, time.monotonic()
    for number in range(ROUNDS):
        profile, owner = unique("profile"), unique("owner")
        [code] = brought(server, client, profile, [owner])
        request = pb.ConfirmAuthRequest(confirmation_code=code, external_id=owner)
        codes, named = confirmed(racing.race(CONFIRM, [request] * CLIENTS))
        assert codes == {"OK": 1, "FAILED_PRECONDITION": CLIENTS - 1}, f"round {number}: {codes}"
        assert named == {(profile, owner)}
        won[profile] = owner
    versions = "SELECT DISTINCT version FROM social_account WHERE project_id = %s"
    assert rows(server.settings["database_url"], versions, client.project_id) == [(1,)]
    assert stored(server, client) == won
    print(f"\none code: {ROUNDS} of {ROUNDS * CLIENTS:,} calls connect, in {time.monotonic() - begun:.0f} s")


def test_one_of_64_owners_gets_the_same_profile_in_each_of_100_rounds(
    server: Server, racers: tuple[Racers, Client]
) -> None:
    """Every second time the profile is connected already, for nobody: then it is claimed once."""
    racing, client = racers
    won, begun = stored(server, client), time.monotonic()
    for number in range(ROUNDS):
        profile, owners = unique("profile"), [unique("owner") for _ in range(CLIENTS)]
        if number % 2:
            client.connect(profile)
        codes = brought(server, client, profile, owners)
        requests = [
            pb.ConfirmAuthRequest(confirmation_code=code, external_id=owner)
            for code, owner in zip(codes, owners, strict=True)
        ]
        ends, named = confirmed(racing.race(CONFIRM, requests))
        assert ends == {"OK": 1, "ALREADY_EXISTS": CLIENTS - 1}, f"round {number}: {ends}"
        [(_, owner)] = named
        won[profile] = owner
    assert stored(server, client) == won
    left = "SELECT count(*) FROM auth_session WHERE project_id = %s AND profiles IS NOT NULL"
    assert rows(server.settings["database_url"], left, client.project_id) == [(0,)]
    seconds = time.monotonic() - begun
    print(f"\none profile: {ROUNDS} of {ROUNDS * CLIENTS:,} calls connect, in {seconds:.0f} s")
