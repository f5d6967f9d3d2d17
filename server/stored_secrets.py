"""All that is stored encrypted, read in batches: whether the encryption keys decrypt it."""

from typing import NamedTuple

from cryptography.fernet import InvalidToken

from server.database import Database
from server.vault import Vault

# Rows, of up to 45 kB each.
BATCH = 200


class Kind(NamedTuple):
    """One kind of secret. A page begins after a key; its rows have the next keys, whose the secrets are if
    that helps anybody, and the secrets."""

    name: str
    before_the_first: str | bytes
    page: str


class Count(NamedTuple):
    """How many secrets of a kind there are, how many of them decrypt, and whose the first is that doesn't."""

    kind: Kind
    stored: int
    decrypted: int
    first_lost: str | None

    def __str__(self) -> str:
        lost = f" (the first that is lost is of {self.first_lost})" if self.first_lost else ""
        return f"{self.decrypted:,} of {self.stored:,} {self.kind.name}{lost}"


KINDS = (
    Kind(
        "tokens",
        "",
        """
        SELECT social_account_id, social_account_id, access_token, refresh_token FROM social_account_token
        WHERE social_account_id > %s ORDER BY social_account_id LIMIT %s""",
    ),
    Kind(
        "code verifiers of open attempts",
        b"",
        """
        SELECT state_hash, NULL, code_verifier FROM auth_session
        WHERE state_hash > %s AND consume_time IS NULL AND expire_time > now()
        ORDER BY state_hash LIMIT %s""",
    ),
)


def count(kind: Kind, vault: Vault, database: Database) -> Count:
    """Decrypts every secret of this kind. Raises DatabaseUnavailable, StatementTimeout."""
    stored = decrypted = 0
    first_lost, after = None, kind.before_the_first
    while page := database.fetch(kind.page, [after, BATCH]):
        for _, whose, *columns in page:
            found = [_decrypts(vault, secret) for secret in columns if secret is not None]
            stored += len(found)
            decrypted += sum(found)
            if first_lost is None and not all(found):
                first_lost = whose
        after = page[-1][0]
    return Count(kind, stored, decrypted, first_lost)


def _decrypts(vault: Vault, secret: memoryview) -> bool:
    try:
        vault.decrypt(secret)
    except InvalidToken:
        return False
    return True
