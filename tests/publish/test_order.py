"""An account sends in order, one at a time; accounts do not wait for each other."""

import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from generated.hitchpost.v1 import social_post_service_pb2 as pb
from server.publish.publisher import PublishFailed, Uncertain
from server.publish.records import KIND
from server.storage.database import database
from server.storage.due_work import Handling
from tests.kit.publishing import Posting, Scripted, Sql
from tests.kit.servers import eventually
from tests.kit.support import Client

AGAIN = PublishFailed(pb.PUBLISH_ERROR_CATEGORY_NETWORK, "HTTP 503", "Later.", retryable=True)


def queue(posting: Posting, account: str, *texts: str) -> list[str]:
    """Posts of one account that are due, in this order."""
    posts = []
    for place, text in enumerate(texts):
        posts.append(posting.post(account, text=text))
        posting.schedule(posts[-1], ago=100.0 - place)
    return posts


def test_one_is_leased_at_a_time_in_order(posting: Posting, platform: Scripted, client: Client) -> None:
    account = client.connect().id
    queue(posting, account, "one", "two", "three")
    seen = []
    while leased := posting.lease():
        assert len(leased) == 1
        seen.append(leased[0].row.social_post_id)
        posting.sender.send(leased[0])
    assert len(seen) == 3
    assert platform.texts == ["one", "two", "three"]


def test_those_of_one_time_go_in_the_order_of_their_ids(
    posting: Posting, platform: Scripted, client: Client, sql: Sql
) -> None:
    queue(posting, client.connect().id, "one", "two", "three")
    sql("UPDATE social_post_target SET queue_time = now() WHERE project_id = %s", client.project_id)
    posting.work()
    assert platform.texts == ["one", "two", "three"]


def test_the_first_that_is_tried_again_keeps_the_others_waiting(
    posting: Posting, platform: Scripted, client: Client
) -> None:
    platform.will("run publish", AGAIN, platform.accept)
    posts = queue(posting, client.connect().id, "one", "two")
    posting.work()
    assert platform.texts == []
    assert posting.states(posts[1]) == ["PENDING"]
    posting.sql("UPDATE social_post_target SET due_time = now() WHERE social_post_id = %s", posts[0])
    posting.work()
    assert platform.texts == ["one", "two"]


def test_what_waits_for_another_is_not_late_in_the_eyes_of_the_worker(
    posting: Posting, platform: Scripted, client: Client
) -> None:
    """Else a worker would be NOT_SERVING because a platform is away."""
    platform.will("run publish", AGAIN)
    queue(posting, client.connect().id, "one", "two")
    before = KIND.backlog().due
    posting.work()
    assert (before, KIND.backlog().due) == (1, 0)


@pytest.mark.parametrize("state", ["UNCONFIRMED", "FAILED"])
def test_one_that_is_at_an_end_keeps_nobody_waiting(
    state: str, posting: Posting, platform: Scripted, client: Client
) -> None:
    failure = PublishFailed(pb.PUBLISH_ERROR_CATEGORY_CONTENT, "TooLong", "Shorter.")
    end = Uncertain("TIMEOUT") if state == "UNCONFIRMED" else failure
    platform.will("run publish", end, platform.accept)
    posts = queue(posting, client.connect().id, "one", "two")
    posting.work()
    assert posting.states(posts[0]) == [state]
    assert platform.texts == ["two"]


def test_one_that_is_scheduled_for_later_keeps_nobody_waiting(
    posting: Posting, platform: Scripted, client: Client
) -> None:
    account = client.connect().id
    client.draft(account, caption="later", scheduled_time=datetime.now(UTC) + timedelta(hours=1))
    queue(posting, account, "now")
    posting.work()
    assert platform.texts == ["now"]


def test_accounts_do_not_wait_for_each_other(posting: Posting, platform: Scripted, client: Client) -> None:
    for _ in range(3):
        queue(posting, client.connect().id, "one", "two")
    assert len({leased.row.social_account_id for leased in posting.lease()}) == 3


def test_the_index_is_the_law(posting: Posting, platform: Scripted, client: Client, sql: Sql) -> None:
    """Two workers have targets of one account leased, as `ready` should never let them: one gives way."""
    posts = queue(posting, client.connect().id, "one", "two")
    [first] = posting.lease()
    sql(
        "UPDATE social_post_target SET queue_time = now() - interval '1 hour' WHERE social_post_id = %s",
        posts[1],
    )
    [second] = posting.lease()
    seen = []

    def send_the_other(sending: Any) -> Any:
        platform.script.clear()
        posting.sender.send(second)
        seen.extend(posting.states(posts[1]))
        return platform.accept(sending)

    platform.will("run publish", send_the_other)
    posting.sender.send(first)
    assert (platform.texts, seen) == (["one"], ["PENDING"])
    posting.pass_time()
    posting.work()
    assert platform.texts == ["one", "two"]


def test_many_workers_keep_each_accounts_order(
    posting: Posting, platform: Scripted, client: Client, sql: Sql
) -> None:
    """Eight threads, six accounts of five posts each, and none of them sends two at once."""
    accounts = [client.connect().id for _ in range(6)]
    for account in accounts:
        queue(posting, account, *(f"{account} {number}" for number in range(5)))
    at_once: Counter[str] = Counter()
    lock, most = threading.Lock(), []

    def slowly(sending: Any) -> Any:
        account = sending.sender.account_id
        with lock:
            at_once[account] += 1
            most.append(at_once[account])
        posting_done.wait(0.02)
        result = platform.accept(sending)
        with lock:
            at_once[account] -= 1
        return result

    posting_done = threading.Event()
    platform.will("run publish", slowly)
    stop = threading.Event()

    def work() -> None:
        handling = Handling(KIND, posting.sender.send)
        while not stop.is_set():
            if not handling.turn(threading.current_thread().name, lambda: None, stop):
                stop.wait(0.05)
        database.close()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        eventually("all are published", lambda: len(platform.posts) == 30)
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)
    assert set(most) == {1}
    for account in accounts:
        sent = [text for text in platform.texts if text.startswith(account)]
        assert sent == [f"{account} {number}" for number in range(5)]
    assert sql(
        "SELECT DISTINCT state, due_time IS NULL, lease_time IS NULL FROM social_post_target "
        "WHERE project_id = %s",
        client.project_id,
    ) == [(3, True, True)]
    assert {
        state for (state,) in sql("SELECT state FROM social_post WHERE project_id = %s", client.project_id)
    } == {4}


def test_outcomes_that_come_at_once_leave_the_post_right(
    posting: Posting, platform: Scripted, client: Client
) -> None:
    """A post with several targets, each sent by a thread of its own, all of which end together."""
    for _ in range(5):
        accounts = [client.connect().id for _ in range(4)]
        post = posting.post(*accounts)
        together = threading.Barrier(4)

        def at_once(sending: Any, together: threading.Barrier = together) -> Any:
            together.wait(20)
            return platform.accept(sending)

        platform.will("run publish", at_once)

        def send(leased: Any) -> None:
            posting.sender.send(leased)
            database.close()

        leases = posting.lease()
        assert len(leases) == 4
        threads = [threading.Thread(target=send, args=(leased,)) for leased in leases]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert (posting.state(post), set(posting.states(post))) == ("PUBLISHED", {"PUBLISHED"})
