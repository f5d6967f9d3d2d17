"""`hitchpost keys rotate-encryption`: all that is stored encrypted becomes encrypted with the first key.

Servers serve meanwhile. Each row is changed by a statement of its own, while its ciphertexts are those that
were read: what somebody has written since stays, and nobody waits for more than one row. The ciphertext
itself says what is done, so that a rotation that was cut off goes on when it is run again.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

from cryptography.fernet import InvalidToken

from server.base.errors import StatementTimeout
from server.base.vault import Vault
from server.projects.projects import CommandError
from server.run import stored_secrets
from server.run.stored_secrets import KINDS, Kind, Row
from server.storage.database import Database

# How often a row is read again because somebody has written it since.
TRIES = 5


def about(database: Database) -> int:
    """About how many rows there are to look at, by PostgreSQL's statistics: to count them takes long."""
    sql = "SELECT sum(greatest(reltuples, 1))::bigint FROM unnest(%s) t JOIN pg_class ON oid = t::regclass"
    return int(database.fetch(sql, [[kind.table for kind in KINDS]])[0][0])


class Rotation:
    """Goes through everything once. Afterwards an older key is needed for what a server wrote meanwhile that
    still encrypts with it, and for nothing else."""

    def __init__(self, vault: Vault, database: Database) -> None:
        self._vault = vault
        self._database = database
        self._renewed: Counter[str] = Counter()
        self._busy = 0

    def run(self, seen: Callable[[int], None]) -> str:
        """What was done, in words; `seen` hears of each batch how many rows it had.

        What no key decrypts stays as it is. Raises CommandError when rows are left, DatabaseUnavailable.
        """
        for kind in KINDS:
            for page in stored_secrets.pages(kind, self._database):
                for row in page:
                    self._renew(kind, row)
                seen(len(page))
        done = "encrypted anew: " + ", ".join(f"{self._renewed[kind.name]:,} {kind.name}" for kind in KINDS)
        if self._busy:
            raise CommandError(f"{done}; {self._busy:,} rows are in use by others: run it again")
        return done

    def _renew(self, kind: Kind, row: Row) -> None:
        for _ in range(TRIES):
            fresh = tuple(self._fresh(secret) for secret in row.secrets)
            if fresh == row.secrets:
                return
            try:
                if self._replace(kind, row, fresh):
                    changed = sum(new != old for new, old in zip(fresh, row.secrets, strict=True))
                    self._renewed[kind.name] += changed
                    return
            except StatementTimeout:
                break
            there = stored_secrets.read(kind, self._database, _is(kind.key), row.key)
            if not there:
                return
            row = there[0]
        self._busy += 1

    def _fresh(self, secret: memoryview | None) -> bytes | memoryview | None:
        if secret is None or self._vault.is_current(secret):
            return secret
        try:
            return self._vault.renewed(secret)
        except InvalidToken:
            return secret

    def _replace(self, kind: Kind, row: Row, fresh: tuple[Any, ...]) -> bool:
        """Whether the row was still as it was read, and has the fresh secrets now."""
        sets = ", ".join(f"{column} = %s" for column in kind.columns)
        same = " AND ".join(f"{column} IS NOT DISTINCT FROM %s" for column in kind.columns)
        sql = f"UPDATE {kind.table} SET {sets} WHERE {_is(kind.key)} AND {same} RETURNING {kind.key[0]}"
        return bool(self._database.fetch(sql, [*fresh, *row.key, *row.secrets]))


def _is(key: tuple[str, ...]) -> str:
    return " AND ".join(f"{column} = %s" for column in key)
