"""A worker in a process of its own, which may have a wrong clock: sends what is due, and prints what it sent.

`python -m tests.kit.publishing_worker <database's url> <encryption key>`."""

import sys
from datetime import timedelta

from server.base.vault import Vault
from server.platforms import load
from server.publish.records import KIND
from server.storage.database import database
from tests.kit.publishing import Scripted, sender


def main(url: str, key: str) -> None:
    """Prints the texts."""
    database.configure(url, timedelta(seconds=5))
    platform = Scripted()
    hands = sender(platform, load("http://localhost:1"), Vault(key))
    while due := KIND.lease("wrong"):
        for leased in due:
            hands.send(leased)
    print("\n".join(platform.texts))


if __name__ == "__main__":
    main(*sys.argv[1:])
