"""A worker's threads, and its clock."""

import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from server.publish import records
from server.run.worker import KINDS
from server.storage.due_work import Handling, wake
from server.storage.worker import Worker
from tests.conftest import ENCRYPTION_KEY, Running
from tests.kit.publishing import Crash, Posting, Scripted, Sql
from tests.kit.servers import REPOSITORY, eventually
from tests.kit.support import Client
from tests.run.test_wrong_clock import LIBRARY, needs_faketime


def test_posts_are_the_workers_business() -> None:
    assert records.KIND in KINDS
    assert records.KIND.name == "posts"


@pytest.mark.parametrize("every", [records.EVERY_SECONDS, 3600.0], ids=["by itself", "when it is told"])
def test_a_worker_sends_what_is_due(
    every: float, posting: Posting, platform: Scripted, client: Client
) -> None:
    """Several posts of an account one after the other, too, with nobody but the first to tell it."""
    worker = Worker([Handling(records.KIND, posting.sender.send, every)], threads=4)
    worker.start()
    try:
        account = client.connect().id
        eventually("it has looked once", lambda: all(s.look_at for s in worker._states.values()))
        posts = [posting.post(account, text=str(number)) for number in range(3)]
        wake(records.KIND.name)
        eventually("all are published", lambda: len(platform.posts) == 3)
        eventually("it is known", lambda: all(posting.states(post) == ["PUBLISHED"] for post in posts))
        assert platform.texts == ["0", "1", "2"]
    finally:
        assert worker.stop(20)


@needs_faketime
@pytest.mark.parametrize("off", ["+300s", "-300s"])
def test_a_workers_clock_decides_nothing(
    off: str, posting: Posting, platform: Scripted, client: Client, running: Running, sql: Sql
) -> None:
    """Five minutes ahead or behind: nothing goes early, nothing late, and nothing is taken from another."""
    account, other = client.connect().id, client.connect().id
    due, early = posting.post(account, text="due"), posting.post(client.connect().id, text="early")
    sql(
        "UPDATE social_post_target SET due_time = now() + interval '2 minutes', "
        "queue_time = now() + interval '2 minutes' WHERE social_post_id = %s",
        early,
    )
    sql("UPDATE social_post_target SET due_time = now() + interval '1 minute' WHERE social_post_id = %s", due)
    held = posting.post(other, text="held")
    platform.will("run publish", Crash())
    [leased] = posting.lease()
    with pytest.raises(Crash):
        posting.sender.send(leased)
    sql("UPDATE social_post_target SET due_time = now() WHERE social_post_id = %s", due)
    faked = {"LD_PRELOAD": str(LIBRARY), "FAKETIME": off, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    ran = subprocess.run(
        [sys.executable, "-m", "tests.kit.publishing_worker", running.database_url, ENCRYPTION_KEY],
        env={**os.environ, **faked, "PYTHONPATH": str(REPOSITORY)},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stdout.split()) == (0, ["due"]), ran.stderr
    assert posting.states(due) == ["PUBLISHED"]
    assert posting.states(early) == ["PENDING"]
    assert posting.states(held) == ["SENDING"]
    [(steps, now)] = sql("SELECT steps, now() FROM social_post_target WHERE social_post_id = %s", due)
    begun = datetime.fromisoformat(steps["0/publish"]["begun"])
    assert abs((now.astimezone(UTC) - begun).total_seconds()) < 60
