"""What is stored encrypted, as tests plant it and read it."""

from collections.abc import Iterator

from cryptography.fernet import Fernet, InvalidToken

from server.base.vault import Vault
from server.run.stored_secrets import KINDS
from tests.kit.servers import rows
from tests.kit.support import secret

PLANT = """
    WITH accounts AS (
      INSERT INTO social_account
      SELECT 'sa_' || lpad(n::text, 26, '0'), %s, 1, n::text, NULL, 'mia', '', '', 1, '{}', NULL, '{}', 1,
        now(), now(), now()
      FROM generate_series(1, %s) n
    )
    INSERT INTO social_account_token (project_id, social_account_id, access_token, refresh_token)
    SELECT %s, 'sa_' || lpad(n::text, 26, '0'), access, CASE WHEN n %% 10 > 0 THEN refresh END
    FROM unnest(%s, %s) WITH ORDINALITY planted(access, refresh, n)"""


def plant(url: str, project_id: str, accounts: int, key: str) -> None:
    """Accounts of the sandbox, 1, 2, 3 …, with tokens of their own; every tenth has no refresh token."""
    vault = Vault(key)
    tokens = [[vault.encrypt(secret()) for _ in range(accounts)] for _ in range(2)]
    rows(url, PLANT, project_id, accounts, project_id, *tokens)


def stored(url: str) -> Iterator[tuple[str, bytes]]:
    """Every secret that is stored, encrypted as it is, and a name of its place."""
    for kind in KINDS:
        key = " || ' ' || ".join(f"{column}::text" for column in kind.key)
        for column in kind.columns:
            found = rows(url, f"SELECT {key}, {column} FROM {kind.table} WHERE {column} IS NOT NULL")
            yield from ((f"{kind.table}.{column} {place}", bytes(value)) for place, value in found)


def secrets(url: str, *keys: str) -> dict[str, str]:
    """Those that any of these keys decrypts, by their places."""
    vault = Vault(",".join(keys))
    found = {}
    for place, value in stored(url):
        try:
            found[place] = vault.decrypt(value)
        except InvalidToken:
            continue
    return found


def new_key() -> str:
    """Another encryption key."""
    return Fernet.generate_key().decode()
