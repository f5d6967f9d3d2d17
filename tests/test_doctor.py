"""What `hitchpost doctor` says of the encryption keys is true of everything that is stored."""

from collections.abc import Callable

import peewee
import pytest
from cryptography.fernet import Fernet

from server import stored_secrets
from server.models import TABLES
from server.vault import Vault
from tests.conftest import ENCRYPTION_KEY
from tests.servers import hitchpost, printed, rows

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
        INSERT INTO social_account_token
        SELECT id, %s, CASE WHEN id NOT LIKE '%%0' THEN %s END FROM social_account"""
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
    assert said_of_the_keys(url, 0) == (
        f"ok    encryption keys: they decrypt {TOKENS:,} of {TOKENS:,} tokens, "
        "1 of 1 code verifiers of open attempts"
    )


def test_doctor_finds_the_few_tokens_that_do_not_decrypt(url: str) -> None:
    one, other = f"sa_{ACCOUNTS - 1:09}", f"sa_{stored_secrets.BATCH + 1:09}"
    update = "UPDATE social_account_token SET {} = %s WHERE social_account_id = %s"
    rows(url, update.format("refresh_token"), LOST, one)
    rows(url, update.format("access_token"), LOST, other)
    assert said_of_the_keys(url, 1) == (
        f"FAIL  encryption keys: they decrypt {TOKENS - 2:,} of {TOKENS:,} tokens (the first that is lost is "
        f"of {other}), 0 of 0 code verifiers of open attempts; was a key removed too early?"
    )


def test_doctor_reads_the_code_verifiers_of_open_attempts_alone(url: str) -> None:
    attempt(url, b"used", LOST, consumed=True)
    attempt(url, b"expired", LOST, minutes=-1)
    assert said_of_the_keys(url, 0).endswith(", 0 of 0 code verifiers of open attempts")
    attempt(url, b"open", ENCRYPTED)
    attempt(url, b"lost", LOST)
    assert ", 1 of 2 code verifiers of open attempts; was a key removed" in said_of_the_keys(url, 1)


# Columns of bytes that hold no ciphertext.
NOT_ENCRYPTED = {"hash", "state_hash", "body_hash", "response", "receipt_hash"}


def test_doctor_counts_the_connections_that_serve_may_need(url: str) -> None:
    few = {"database_url": url, "encryption_keys": ENCRYPTION_KEY, "workers": "2", "threads": "4"}
    fine = printed("doctor", **few)
    assert "ok    connections: 38 at most for hitchpost serve here, of 97" in fine
    many = hitchpost("doctor", **few | {"workers": "16"})
    assert many.returncode == 1
    assert "FAIL  connections: hitchpost serve may need 234, and PostgreSQL accepts 97" in many.stdout
    assert "max_connections" in many.stdout


def test_doctor_reads_every_column_that_is_encrypted() -> None:
    columns = {
        (model._meta.table_name, field.column_name)
        for model in TABLES
        for field in model._meta.sorted_fields
        if isinstance(field, peewee.BlobField) and field.name not in NOT_ENCRYPTED
    }
    pages = [kind.page for kind in stored_secrets.KINDS]
    read = {
        (table, column) for table, column in columns for page in pages if table in page and column in page
    }
    assert len(columns) >= 3
    assert read == columns
