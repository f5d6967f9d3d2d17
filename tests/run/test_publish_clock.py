"""A worker's clock that is wrong: posts are sent when the database says, and once."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from server.base.identity import utc_now
from tests.kit.servers import eventually, local_channel, serving
from tests.kit.support import unique
from tests.run.test_wrong_clock import needs_faketime, off_by
from tests.storms.publish_platform import publish_platform, times

POSTS = 20


@needs_faketime
@pytest.mark.parametrize("minutes", [5, -5], ids=["ahead", "behind"])
def test_a_worker_whose_clock_is_wrong_sends_no_post_early_or_twice(
    minutes: int, run_dir: Path, new_database: Callable[[], str]
) -> None:
    """Beside a server whose clock is right, on the same database."""
    url, due = new_database(), {}
    with ExitStack() as stack:
        platform = stack.enter_context(publish_platform())
        settings = {"public_url": platform.url, "allow_private_addresses": "true"}
        right = stack.enter_context(serving(run_dir, url, **settings))
        with off_by(timedelta(minutes=minutes)):
            wrong = stack.enter_context(serving(run_dir, url, **settings))
        # It could not stop in order: the library spoils how Python sleeps.
        stack.callback(wrong.kill)
        client = right.new_client(stack.enter_context(local_channel(right.address)))
        accounts = [client.connect(refresh_token="").id for _ in range(4)]
        for number in range(POSTS):
            caption = unique("post")
            due[caption] = utc_now() + timedelta(seconds=1.5 + number / 4)
            client.draft(accounts[number % 4], caption=caption, scheduled_time=due[caption])
        # A clock that is behind would send them minutes later.
        eventually("all are sent", lambda: len(platform.accepted()) >= POSTS, seconds=60)
        time.sleep(2)
        accepted = platform.accepted()
    assert times(accepted) == dict.fromkeys(due, 1)
    early = [one for one in accepted if one.time < due[one.text].timestamp()]
    assert early == []
