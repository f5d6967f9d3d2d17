"""Everything that a database holds, value by value."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from cryptography.fernet import InvalidToken

from server.base.vault import Vault

Sql = Callable[..., list[tuple[Any, ...]]]
TABLES = """
    SELECT c.relname, array_agg(a.attname ORDER BY a.attnum)
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relkind IN ('r', 'p', 'm', 'S') AND c.relnamespace = 'public'::regnamespace
    GROUP BY c.relname ORDER BY c.relname"""


class Value(NamedTuple):
    """One value: where it stands, of which project its row is if that is said, and its bytes or its text."""

    place: str
    project_id: str | None
    stored: bytes


def dump(sql: Sql) -> Iterator[Value]:
    """Each value of each row of each table, those of bytes as they are."""
    for table, columns in sql(TABLES):
        for row in sql(f'SELECT * FROM "{table}"'):
            project_id = dict(zip(columns, row, strict=True)).get("project_id")
            for column, value in zip(columns, row, strict=True):
                stored = bytes(value) if isinstance(value, memoryview) else str(value).encode()
                yield Value(f"{table}.{column}", project_id, stored)


def decrypted(values: Iterator[Value], vault: Vault) -> Iterator[Value]:
    """These, and behind what is encrypted what it means."""
    for value in values:
        yield value
        try:
            yield value._replace(stored=vault.decrypt(value.stored).encode())
        except InvalidToken:
            continue


def holding(values: Iterator[Value], *texts: str) -> list[tuple[str, str]]:
    """Where any of these texts is a part of a value, and which."""
    return [(value.place, text) for value in values for text in texts if text.encode() in value.stored]
