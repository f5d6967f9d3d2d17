"""What tests of publishing share."""

from collections.abc import Callable
from typing import Any

import pytest

from server.app import rows_of
from server.base.vault import Vault
from tests.conftest import ENCRYPTION_KEY, Running
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
