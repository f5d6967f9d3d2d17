"""The database goes away when an outcome is to be recorded: the outcome waits for it, and counts once."""

import pytest

from server.base.errors import DatabaseUnavailable
from server.publish import records
from server.publish.publisher import TokenExpired
from server.storage import due_work
from tests.kit.publishing import Posting, Scripted, Sql
from tests.kit.support import Client


def test_tokens_are_refused_once_however_often_that_is_recorded(
    posting: Posting, platform: Scripted, client: Client, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second refusal would be of new tokens, and end it."""
    end, tries = records.end, []

    def away(*arguments: object) -> bool:
        tries.append(arguments)
        if len(tries) <= 2:
            raise DatabaseUnavailable
        return end(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(records, "end", away)
    monkeypatch.setattr(due_work, "RECORD_PAUSE_SECONDS", 0.0)
    platform.will("run publish", TokenExpired())
    post = posting.post(client.connect().id)
    posting.work()
    assert len(tries) == 3
    assert posting.states(post) == ["PENDING"]
