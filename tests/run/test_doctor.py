"""What `hitchpost doctor` says of the encryption keys is true of everything that is stored."""

from collections.abc import Callable

import peewee
import pytest
from cryptography.fernet import Fernet

from server.base.vault import Vault
from server.run import stored_secrets
from server.storage.models import TABLES
from tests.conftest import ENCRYPTION_KEY
from tests.kit.servers import hitchpost, printed, rows

ACCOUNTS = stored_secrets.BATCH * 2 + 50
ENCRYPTED = Vault(ENCRYPTION_KEY).encrypt("secret-0-kept")
LOST = Vault(Fernet.generate_key().decode()).encrypt("secret-0-kept")


@pytest.fixture
def url(new_database: Callable[[], str]) -> str:
    """A database with a project, a key, and accounts with tokens; every tenth has no refresh token."""
    url = new_database()
    settings = {"database_url": url, "encryption_keys": ENCRYPTION_KEY}
    project = printed("projects", "create", "mine", **settings).strip()
    printed("keys", "create", "mine", **settings)
    insert = """
        INSERT INTO social_account
        SELECT 'sa_' || lpad(n::text, 9, '0'), %s, 1, n::text, NULL, 'mia', '', '', 1, '{}', NULL, '{}', 1,
          now(), now(), now()
        FROM generate_series(1, %s) n"""
    rows(url, insert, project, ACCOUNTS)
    insert = """
        INSERT INTO social_account_token (project_id, social_account_id, access_token, refresh_token)
        SELECT project_id, id, %s, CASE WHEN id NOT LIKE '%%0' THEN %s END FROM social_account"""
    rows(url, insert, ENCRYPTED, ENCRYPTED)
    return url


TOKENS = 2 * ACCOUNTS - ACCOUNTS // 10


def said_of_the_keys(url: str, code: int) -> str:
    """Doctor's line about the encryption keys; it ends with this exit code."""
    ran = hitchpost("doctor", database_url=url, encryption_keys=ENCRYPTION_KEY)
    assert (ran.returncode, ran.stderr) == (code, ""), ran
    [line] = [line for line in ran.stdout.splitlines() if "encryption keys: " in line]
    return line


def attempt(url: str, state: bytes, verifier: bytes, *, consumed: bool = False, minutes: int = 15) -> None:
    """Stores a connection attempt that expires so many minutes from now."""
    insert = """
        INSERT INTO auth_session
        SELECT %s, id, 1, NULL, NULL, %s, '', now(), now() + %s * interval '1 minute',
          CASE WHEN %s THEN now() END
        FROM project"""
    rows(url, insert, state, verifier, minutes, consumed)


def test_doctor_decrypts_every_token_and_says_how_many(url: str) -> None:
    attempt(url, b"open", ENCRYPTED)
    said = said_of_the_keys(url, 0)
    assert said.startswith(f"ok    encryption keys: they decrypt {TOKENS:,} of {TOKENS:,} tokens, 0 of 0 ")
    assert ", 1 of 1 code verifiers of open attempts" in said
    # No key is behind the first, so there is nothing to say of such.
    assert "key is needed" not in said


def test_doctor_finds_the_few_tokens_that_do_not_decrypt(url: str) -> None:
    one, other = f"sa_{ACCOUNTS - 1:09}", f"sa_{stored_secrets.BATCH + 1:09}"
    update = "UPDATE social_account_token SET {} = %s WHERE social_account_id = %s"
    rows(url, update.format("refresh_token"), LOST, one)
    rows(url, update.format("access_token"), LOST, other)
    said = said_of_the_keys(url, 1)
    assert said.startswith(
        f"FAIL  encryption keys: they decrypt {TOKENS - 2:,} of {TOKENS:,} tokens (the first that is lost is "
        f"of {other}), 0 of 0 "
    )
    assert said.endswith("; was a key removed too early?")


def test_doctor_reads_the_code_verifiers_of_open_attempts_alone(url: str) -> None:
    attempt(url, b"used", LOST, consumed=True)
    attempt(url, b"expired", LOST, minutes=-1)
    assert ", 0 of 0 code verifiers of open attempts" in said_of_the_keys(url, 0)
    attempt(url, b"open", ENCRYPTED)
    attempt(url, b"lost", LOST)
    assert ", 1 of 2 code verifiers of open attempts" in said_of_the_keys(url, 1)


def test_doctor_reads_the_logins_that_wait_for_a_confirmation(url: str) -> None:
    """Few at once, since a login may have much."""
    ours = [(b"ours%d" % number, 15, ENCRYPTED) for number in range(12)]
    for state, minutes, profiles in (*ours, (b"lost", 15, LOST), (b"late", -1, LOST)):
        attempt(url, state, ENCRYPTED, consumed=True, minutes=minutes)
        rows(url, "UPDATE auth_session SET profiles = %s WHERE state_hash = %s", profiles, state)
    assert ", 12 of 13 logins that wait for a confirmation" in said_of_the_keys(url, 1)


# Columns of bytes that hold no ciphertext.
NOT_ENCRYPTED = {"hash", "state_hash", "body_hash", "response", "receipt_hash", "confirmation_hash"}


def test_doctor_counts_the_connections_that_serve_may_need(url: str) -> None:
    few = {"database_url": url, "encryption_keys": ENCRYPTION_KEY, "workers": "2", "threads": "4"}
    fine = printed("doctor", **few)
    assert "ok    connections: 69 at most for hitchpost serve here, of 97" in fine
    many = hitchpost("doctor", **few | {"workers": "16"})
    assert many.returncode == 1
    assert "FAIL  connections: hitchpost serve may need 253, and PostgreSQL accepts 97" in many.stdout
    assert "max_connections" in many.stdout


def test_doctor_says_what_is_being_sent_for_long(url: str) -> None:
    """And what nobody knows of, which is no fault of the server's."""

    def said(state: int, minutes: int) -> str:
        rows(url, "DELETE FROM social_post")
        rows(
            url,
            "INSERT INTO social_post (id, project_id, caption, media, state, platform_options, version, "
            "create_time, update_time) SELECT 'sp_1', id, '', '[]', 3, '{}', 1, now(), now() FROM project",
        )
        rows(
            url,
            "INSERT INTO social_post_target (project_id, social_post_id, social_account_id, position, state, "
            "send_time) SELECT project_id, 'sp_1', id, 0, %s, now() - %s * interval '1 minute' "
            "FROM social_account LIMIT 1",
            state,
            minutes,
        )
        ran = hitchpost("doctor", database_url=url, encryption_keys=ENCRYPTION_KEY)
        [line] = [line for line in ran.stdout.splitlines() if " sending: " in line]
        return line

    assert said(2, 9) == "ok    sending: 0 for more than 10 minutes, 0 UNCONFIRMED"
    assert said(2, 11).startswith("FAIL  sending: 1 for more than 10 minutes, 0 UNCONFIRMED; what does")
    assert said(5, 11).startswith("ok    sending: 0 for more than 10 minutes, 1 UNCONFIRMED, which wait")


# Rows to be revoked: how late the oldest is, and whether its lease has run out; what doctor says of it.
LATE = [
    (50, False, "ok    due work, revocations: 3 due, the oldest for 5", "0 leases ran out"),
    (90, True, "FAIL  due work, revocations: 3 due, the oldest for 9", "1 leases ran out; does hitchpost"),
]


@pytest.mark.parametrize(("late", "held", "begins", "goes_on"), LATE)
def test_doctor_says_how_late_work_is(url: str, late: int, held: bool, begins: str, goes_on: str) -> None:
    insert = """
        INSERT INTO token_revocation SELECT id, n::text, 1, 'sa_1', %s, NULL, now(),
          now() + interval '1 hour' * (n - 3) - interval '1 s' * %s, CASE WHEN %s AND n = 3 THEN now() END, 1
        FROM project, unnest(ARRAY[3, 3.001, 3.002, 9]) n"""
    rows(url, insert, ENCRYPTED, late, held)
    ran = hitchpost("doctor", database_url=url, encryption_keys=ENCRYPTION_KEY)
    [line] = [line for line in ran.stdout.splitlines() if "due work, revocations" in line]
    assert line.startswith(begins)
    assert goes_on in line
    assert ran.returncode == (1 if late > 60 else 0)


def test_doctor_and_rotation_read_every_column_that_is_encrypted() -> None:
    columns = {
        (model._meta.table_name, field.column_name)
        for model in TABLES
        for field in model._meta.sorted_fields
        if isinstance(field, peewee.BlobField) and field.name not in NOT_ENCRYPTED
    }
    read = {(kind.table, column) for kind in stored_secrets.KINDS for column in kind.columns}
    assert len(columns) >= 3
    assert read == columns
