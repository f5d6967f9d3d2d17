"""Encryption keys are rotated while servers serve: nothing fails, nothing is lost, nothing is left behind."""

import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import grpc
import psycopg2
import pytest

from server.base.vault import Vault
from server.projects.projects import CommandError
from server.run import rotation, stored_secrets
from server.storage.database import Database
from tests.kit.encrypted import new_key, plant, secrets, stored
from tests.kit.servers import (
    REPOSITORY,
    environment,
    eventually,
    hitchpost,
    local_channel,
    printed,
    rows,
    serving,
)
from tests.kit.support import Client, code_of, import_request, secret

OLD, NEW = new_key(), new_key()
BOTH = f"{NEW},{OLD}"
ACCOUNTS = 450
TOKENS = 2 * ACCOUNTS - ACCOUNTS // 10
TOKEN = "SELECT access_token FROM social_account_token WHERE social_account_id = %s"
FIRST = f"sa_{1:026}"


@pytest.fixture
def url(new_database: Callable[[], str]) -> str:
    """A database whose tokens the old key has encrypted."""
    url = new_database()
    rows(url, "INSERT INTO project VALUES ('proj_1', 'mine', '{}', now())")
    plant(url, "proj_1", ACCOUNTS, OLD)
    return url


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """It, with half a second for each statement."""
    database = Database()
    database.configure(url, timedelta(seconds=0.5))
    yield database
    database.close()


def rotate(url: str, keys: str = BOTH) -> str:
    return printed("keys", "rotate-encryption", database_url=url, encryption_keys=keys)


def doctor(url: str, keys: str) -> str:
    said = hitchpost("doctor", database_url=url, encryption_keys=keys).stdout
    [line] = [line for line in said.splitlines() if "encryption keys: " in line]
    return line


class Interfering(Vault):
    """Somebody does something the first time that a secret is about to be encrypted anew."""

    def __init__(self, keys: str, does: Callable[[], object]) -> None:
        super().__init__(keys)
        self._does: Callable[[], object] | None = does

    def renewed(self, stored: bytes | memoryview) -> bytes:
        does, self._does = self._does, None
        if does:
            does()
        return super().renewed(stored)


def seen_by(work: rotation.Rotation) -> tuple[str, list[int]]:
    batches: list[int] = []
    return work.run(batches.append), batches


def test_everything_gets_encrypted_with_the_first_key(url: str) -> None:
    before = secrets(url, OLD)
    assert len(before) == TOKENS
    said = doctor(url, BOTH)
    assert f"; an older key is needed for {TOKENS} tokens, 0 tokens that are to be revoked, " in said
    assert said.endswith(": run hitchpost keys rotate-encryption")
    assert rotate(url).startswith(f"encrypted anew: {TOKENS} tokens, 0 tokens that are to be revoked, ")
    assert secrets(url, OLD) == {}
    assert secrets(url, NEW) == before
    assert doctor(url, BOTH).endswith("; only the first key is needed")
    assert doctor(url, NEW).startswith("ok ")
    assert rotate(url).startswith("encrypted anew: 0 tokens,")


# Statements that plant a row in each other table; attempts that are open, used and expired.
ATTEMPT = """INSERT INTO auth_session
    SELECT %s, id, 1, NULL, NULL, '', '', now(), now() + interval '1 minute' * {minutes}, {used}
    FROM project"""
ELSEWHERE = [
    "INSERT INTO token_revocation SELECT id, %s, 1, 'sa_1', '', NULL, now(), now(), NULL, 0 FROM project",
    "INSERT INTO platform_app SELECT id, %s, 1, '', '', 'client', '', now(), now() FROM project",
    ATTEMPT.format(minutes=15, used="NULL"),
    ATTEMPT.format(minutes=15, used="now()"),
    ATTEMPT.format(minutes=-1, used="NULL"),
]


def test_secrets_of_every_kind_get_the_first_key_needed_or_not(url: str) -> None:
    for number, insert in enumerate(ELSEWHERE):
        rows(url, insert, str(number))
    columns = {(kind.table, column) for kind in stored_secrets.KINDS for column in kind.columns}
    for table, column in columns:
        rows(url, f"UPDATE {table} SET {column} = %s", Vault(OLD).encrypt(f"of {table}.{column}"))
    before = secrets(url, OLD)
    assert {place.partition(" ")[0] for place in before} == {f"{table}.{name}" for table, name in columns}
    assert ", 2 code verifiers of open attempts" in doctor(url, BOTH)
    assert ", 6 code verifiers of open attempts" in rotate(url)
    assert secrets(url, OLD) == {}
    assert secrets(url, NEW) == before


def test_what_somebody_writes_meanwhile_stays(url: str, database: Database) -> None:
    newer, batches = Vault(NEW).encrypt("newer"), []
    update = "UPDATE social_account_token SET access_token = %s WHERE social_account_id = %s"
    vault = Interfering(BOTH, lambda: rows(url, update, newer, FIRST))
    rotation.Rotation(vault, database).run(batches.append)
    assert bytes(rows(url, TOKEN, FIRST)[0][0]) == newer
    assert batches == [200, 200, 50]
    assert secrets(url, OLD) == {}


def test_what_a_server_that_still_has_the_old_key_writes_is_encrypted_anew(
    url: str, database: Database
) -> None:
    update = "UPDATE social_account_token SET access_token = %s WHERE social_account_id = %s"
    older = Vault(OLD).encrypt("older")
    rotation.Rotation(Interfering(BOTH, lambda: rows(url, update, older, FIRST)), database).run(
        lambda _: None
    )
    assert Vault(NEW).decrypt(rows(url, TOKEN, FIRST)[0][0]) == "older"
    assert secrets(url, OLD) == {}


def test_tokens_that_move_meanwhile_are_not_missed(url: str, database: Database) -> None:
    move = """
        WITH erased AS (DELETE FROM social_account_token RETURNING *)
        INSERT INTO token_revocation
        SELECT project_id, social_account_id, 1, 'sa_1', access_token, refresh_token, now(), now(), NULL, 0
        FROM erased"""
    rotation.Rotation(Interfering(BOTH, lambda: rows(url, move)), database).run(lambda _: None)
    assert secrets(url, OLD) == {}
    assert len(secrets(url, NEW)) == TOKENS


def test_a_row_that_is_held_is_left_and_said(url: str, database: Database) -> None:
    work = rotation.Rotation(Vault(BOTH), database)
    with closing(psycopg2.connect(url)) as holder:
        holder.cursor().execute(
            "SELECT 1 FROM social_account_token WHERE social_account_id = %s FOR UPDATE", [FIRST]
        )
        with pytest.raises(CommandError, match=r"1 rows are in use by others: run it again"):
            work.run(lambda _: None)
    assert {place.split()[-1] for place in secrets(url, OLD)} == {FIRST}
    rotation.Rotation(Vault(BOTH), database).run(lambda _: None)
    assert secrets(url, OLD) == {}


def test_what_no_key_decrypts_stays_as_it_is(url: str) -> None:
    lost = Vault(new_key()).encrypt("lost")
    rows(url, "UPDATE social_account_token SET refresh_token = %s WHERE social_account_id = %s", lost, FIRST)
    rotate(url)
    assert secrets(url, OLD) == {}
    left = dict(stored(url)).keys() - secrets(url, NEW).keys()
    assert [place.partition(" ")[0] for place in left] == ["social_account_token.refresh_token"]
    assert f"is lost is of {FIRST}" in doctor(url, BOTH)


# While servers serve.

LOADED = 3000
LEAST_CALLS = 300


def begin(url: str) -> "subprocess.Popen[str]":
    """The command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "server", "keys", "rotate-encryption"],
        cwd=REPOSITORY,
        env=environment(database_url=url, encryption_keys=BOTH),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


class Load:
    """Threads that connect, reconnect, disconnect and begin attempts, and know what tokens must be stored.

    Each has profiles of its own; `codes` counts how calls ended.
    """

    def __init__(self, channel: grpc.Channel, client: Client) -> None:
        self._client = Client(channel, client.key)
        self._stop = threading.Event()
        self.codes: Counter[str] = Counter()
        # The access token by account; None once disconnected.
        self.expected: dict[str, str | None] = {}

    def run(self, profiles: range, seed: int) -> None:
        choose = random.Random(seed)
        while not self._stop.is_set():
            profile = choose.choice(profiles)
            account_id, token = f"sa_{profile:026}", secret()
            match choose.randrange(4):
                case 0 | 1:
                    request = import_request(str(profile), access_token=token)
                    self._call("SocialAccountService/ImportSocialAccount", request)
                    self.expected[account_id] = token
                case 2:
                    self._call("SocialAccountService/DisconnectSocialAccount", social_account_id=account_id)
                    self.expected[account_id] = None
                case 3:
                    self._call("SocialAccountService/CreateAuthUrl", platform="PLATFORM_SANDBOX")

    def _call(self, method: str, *request: object, **fields: object) -> None:
        self.codes[code_of(lambda: self._client(method, *request, **fields))] += 1

    def stop(self) -> None:
        self._stop.set()


def test_no_call_fails_while_keys_rotate(run_dir: Path, new_database: Callable[[], str]) -> None:
    url, seed = new_database(), random.randrange(1_000_000)
    with (
        serving(run_dir, url, encryption_keys=BOTH, workers="2") as server,
        closing(local_channel(server.address)) as channel,
    ):
        client = server.new_client(channel)
        plant(url, client.project_id, LOADED, OLD)
        before = secrets(url, OLD)
        load = Load(channel, client)
        threads = [
            threading.Thread(target=load.run, args=(range(1 + number, LOADED + 1, 4), seed + number))
            for number in range(4)
        ]
        for thread in threads:
            thread.start()
        eventually("calls are made", lambda: load.codes.total() > LEAST_CALLS / 4)
        rotating = begin(url)
        said, complained = rotating.communicate(timeout=60)
        during = load.codes.total()
        load.stop()
        for thread in threads:
            thread.join(30)
        assert (rotating.returncode, complained) == (0, ""), (said, complained)
        assert doctor(url, BOTH).endswith("; only the first key is needed")
    print(f"\n{said.strip()}; {during:,} calls meanwhile (seed {seed}): {dict(load.codes)}")
    assert not said.startswith("encrypted anew: 0 tokens")
    assert load.codes.keys() == {"OK"}
    assert during > LEAST_CALLS
    assert secrets(url, OLD) == {}
    after = secrets(url, NEW)
    assert len(after) == len(list(stored(url)))
    assert wrong(after, before, load.expected) == []


def wrong(after: dict[str, str], before: dict[str, str], expected: dict[str, str | None]) -> list[str]:
    """The accounts whose access token is not the one written last."""
    prefix = "social_account_token.access_token "
    stored_now = {place.split()[-1]: token for place, token in after.items() if place.startswith(prefix)}
    planted = {place.split()[-1]: token for place, token in before.items() if place.startswith(prefix)}
    return [one for one, token in (planted | expected).items() if stored_now.get(one) != token]


def test_a_rotation_that_is_killed_loses_nothing_and_is_run_again(url: str) -> None:
    before = secrets(url, OLD)
    halfway: list[int] = []
    for _ in range(3):
        rotating, done = begin(url), len(secrets(url, NEW))
        eventually("some are done", lambda done=done: len(secrets(url, NEW)) > done + 20, every=0)
        rotating.kill()
        rotating.communicate()
        old, new = secrets(url, OLD), secrets(url, NEW)
        assert old | new == before
        assert not old.keys() & new.keys()
        halfway.append(len(new))
    print(f"\nkilled after {halfway} of {TOKENS} secrets")
    assert halfway[0] < TOKENS
    rotate(url)
    assert secrets(url, OLD) == {}
    assert secrets(url, NEW) == before
