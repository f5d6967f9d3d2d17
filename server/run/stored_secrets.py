"""All that is stored encrypted, read in batches: whether the encryption keys decrypt it, and by which."""

from collections import Counter
from collections.abc import Iterator, Sequence
from enum import Enum, auto
from typing import Any, NamedTuple

from cryptography.fernet import InvalidToken

from server.base.vault import Vault
from server.storage.database import Database

# Rows, of up to 45 kB each.
BATCH = 200


class Kind(NamedTuple):
    """One kind of secret: the table and its primary key, and the columns that have secrets.

    `whose` is a column by which an operator knows a row, `needed` a condition of the rows whose secrets
    somebody may still read, `batch` how many rows are read at once.
    """

    name: str
    table: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    whose: str = "NULL"
    needed: str = "true"
    batch: int = BATCH


class Row(NamedTuple):
    """One row of a kind: its key, whose it is, and its secrets, None where there is none."""

    key: tuple[Any, ...]
    whose: str | None
    secrets: tuple[memoryview | None, ...]


class Fit(Enum):
    """Which of the encryption keys decrypts a secret."""

    FIRST = auto()
    OLDER = auto()
    NONE = auto()


class Count(NamedTuple):
    """How many secrets of a kind there are, how many of them decrypt, of these how many not by the first key,
    and whose the first is that doesn't decrypt."""

    kind: Kind
    stored: int
    decrypted: int
    older: int
    first_lost: str | None

    def __str__(self) -> str:
        lost = f" (the first that is lost is of {self.first_lost})" if self.first_lost else ""
        return f"{self.decrypted:,} of {self.stored:,} {self.kind.name}{lost}"


_ACCOUNT, _ID, _STATE = ("project_id", "social_account_id"), ("project_id", "id"), ("state_hash",)
_TOKENS = ("access_token", "refresh_token", "context")
_UNCONFIRMED = "profiles IS NOT NULL AND expire_time > now()"
_OPEN = "consume_time IS NULL AND expire_time > now()"
# A login may have as much as confirmations.MOST_BYTES.
_FEW = 5
# Secrets that move from one table to another do so downwards: who reads in this order misses none.
KINDS = (
    Kind("tokens", "social_account_token", _ACCOUNT, _TOKENS, "social_account_id"),
    Kind("tokens that are to be revoked", "token_revocation", _ID, _TOKENS, "social_account_id"),
    Kind("apps of platforms", "platform_app", _ID, ("secrets",), "id"),
    Kind(
        "logins that wait for a confirmation",
        "auth_session",
        _STATE,
        ("profiles",),
        needed=_UNCONFIRMED,
        batch=_FEW,
    ),
    Kind("code verifiers of open attempts", "auth_session", _STATE, ("code_verifier", "flow"), needed=_OPEN),
)


def pages(kind: Kind, database: Database, condition: str = "true") -> Iterator[list[Row]]:
    """The rows of this kind by their keys, in batches. Raises DatabaseUnavailable, StatementTimeout."""
    page = read(kind, database, condition)
    while page:
        yield page
        place = f"({', '.join(kind.key)}) > ({', '.join(['%s'] * len(kind.key))})"
        page = read(kind, database, f"({condition}) AND {place}", page[-1].key)


def read(kind: Kind, database: Database, condition: str, values: Sequence[Any] = ()) -> list[Row]:
    """The first rows that the condition holds for. Raises as pages."""
    key = ", ".join(kind.key)
    found = database.fetch(
        f"SELECT {key}, {kind.whose}, {', '.join(kind.columns)} FROM {kind.table} WHERE {condition} "
        f"ORDER BY {key} LIMIT {kind.batch}",
        values,
    )
    width = len(kind.key)
    return [Row(row[:width], row[width], row[width + 1 :]) for row in found]


def count(kind: Kind, vault: Vault, database: Database) -> Count:
    """Decrypts every secret of this kind that somebody may still read. Raises as pages."""
    found: Counter[Fit] = Counter()
    first_lost = None
    for page in pages(kind, database, kind.needed):
        for row in page:
            fits = [_fit(vault, secret) for secret in row.secrets if secret is not None]
            found.update(fits)
            if first_lost is None and Fit.NONE in fits:
                first_lost = row.whose
    decrypted = found[Fit.FIRST] + found[Fit.OLDER]
    return Count(kind, found.total(), decrypted, found[Fit.OLDER], first_lost)


def older_keys(counts: Sequence[Count]) -> str:
    """For what keys behind the first are still needed, in words."""
    if not any(count.older for count in counts):
        return "only the first key is needed"
    needing = ", ".join(f"{count.older:,} {count.kind.name}" for count in counts)
    return f"an older key is needed for {needing}: run hitchpost keys rotate-encryption"


def _fit(vault: Vault, secret: memoryview) -> Fit:
    if vault.is_current(secret):
        return Fit.FIRST
    try:
        vault.decrypt(secret)
    except InvalidToken:
        return Fit.NONE
    return Fit.OLDER
