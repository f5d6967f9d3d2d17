"""What tests of publishing share."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from server.app import rows_of
from server.base.vault import Vault
from tests.conftest import ENCRYPTION_KEY, Running
from tests.kit.bluesky import BlueskyAccount, Pds
from tests.kit.media import Site, site
from tests.kit.publishing import Posting, Scripted, sender
from tests.kit.support import Client

Sql = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def nothing_else_is_due(running: Running, sql: Sql) -> None:
    sql("UPDATE social_post_target SET due_time = NULL, lease_time = NULL WHERE due_time IS NOT NULL")
    sql("UPDATE social_post_target SET state = 4 WHERE state = 2")
    sql("DELETE FROM rate_limit")


@pytest.fixture
def platform() -> Scripted:
    """The sandbox's stand-in."""
    return Scripted()


@pytest.fixture
def posting(
    platform: Scripted, client: Client, running: Running, sql: Sql, nothing_else_is_due: None
) -> Posting:
    """A project that posts to it."""
    return Posting(client, sql, sender(platform, rows_of(running.settings), Vault(ENCRYPTION_KEY)))


@pytest.fixture(scope="module")
def files() -> Iterator[Site]:
    """A place on the web where media are."""
    with site() as served:
        yield served


@pytest.fixture
def person(pds: Pds) -> BlueskyAccount:
    """An account at a real PDS."""
    return pds.new_account()
