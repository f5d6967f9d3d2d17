"""What people decide of sending: the states in which they can, what is so afterwards, and who wins a race."""

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import grpc
import psycopg2
import pytest
from google.protobuf.duration_pb2 import Duration

from generated.hitchpost.v1 import social_post_service_pb2 as pb
from server.base.identity import new_id, utc_now
from server.publish import records
from server.publish.records import Target
from server.storage.due_work import CHANNEL, Leased
from tests.conftest import Running
from tests.kit.servers import eventually
from tests.kit.support import Client, failure, unique

Sql = Callable[..., list[tuple[Any, ...]]]
SERVICE = "SocialPostService"
LATER = datetime(2040, 7, 1, 9, tzinfo=UTC)
PUBLISHED = "SOCIAL_POST_TARGET_RESOLUTION_PUBLISHED"
NOT_PUBLISHED = "SOCIAL_POST_TARGET_RESOLUTION_NOT_PUBLISHED"
ERROR = '{"category": 7, "code": "HTTP 500", "message": "It failed.", "retryable": false}'


class Row(NamedTuple):
    """Targets that stand there, whose post so stands `here`; and by action where they stand afterwards, if
    the action is taken: else it is refused, and nothing changes."""

    targets: str
    here: str
    taken: Mapping[str, tuple[str, str]]


# What is due can be called off, also while the rest is under way or over; what failed can be sent again, what
# nobody knows resolved, each whatever the others do; and all else is done with posts that nobody has begun.
ROWS = [
    Row("DRAFT", "DRAFT", {"publish": ("PENDING", "SCHEDULED"), "edit": ("PENDING", "DRAFT")}),
    Row(
        "PENDING PENDING",
        "SCHEDULED",
        {
            "publish": ("PENDING PENDING", "SCHEDULED"),
            "cancel": ("CANCELLED CANCELLED", "CANCELLED"),
            "edit": ("PENDING PENDING", "SCHEDULED"),
        },
    ),
    Row("SENDING", "PUBLISHING", {}),
    Row("SENDING PENDING", "PUBLISHING", {"cancel": ("SENDING CANCELLED", "PUBLISHING")}),
    Row("PUBLISHED PENDING", "PUBLISHING", {"cancel": ("PUBLISHED CANCELLED", "PARTIALLY_PUBLISHED")}),
    Row(
        "FAILED PENDING",
        "PUBLISHING",
        {
            "cancel": ("FAILED CANCELLED", "FAILED"),
            "retry": ("PENDING PENDING", "SCHEDULED"),
        },
    ),
    Row("FAILED SENDING", "PUBLISHING", {"retry": ("PENDING SENDING", "PUBLISHING")}),
    Row(
        "UNCONFIRMED PENDING",
        "PUBLISHING",
        {
            "cancel": ("UNCONFIRMED CANCELLED", "UNCONFIRMED"),
            "resolve": ("PUBLISHED PENDING", "PUBLISHING"),
            "resolve not": ("FAILED PENDING", "PUBLISHING"),
        },
    ),
    Row("PUBLISHED PUBLISHED", "PUBLISHED", {}),
    Row("PUBLISHED FAILED", "PARTIALLY_PUBLISHED", {"retry": ("PUBLISHED PENDING", "PUBLISHING")}),
    Row("PUBLISHED CANCELLED", "PARTIALLY_PUBLISHED", {}),
    Row("FAILED FAILED", "FAILED", {"retry": ("PENDING PENDING", "SCHEDULED")}),
    Row("FAILED CANCELLED", "FAILED", {"retry": ("PENDING CANCELLED", "PUBLISHING")}),
    Row("CANCELLED", "CANCELLED", {}),
    Row(
        "UNCONFIRMED PUBLISHED",
        "UNCONFIRMED",
        {
            "resolve": ("PUBLISHED PUBLISHED", "PUBLISHED"),
            "resolve not": ("FAILED PUBLISHED", "PARTIALLY_PUBLISHED"),
        },
    ),
    Row(
        "UNCONFIRMED FAILED",
        "UNCONFIRMED",
        {
            "retry": ("UNCONFIRMED PENDING", "PUBLISHING"),
            "resolve": ("PUBLISHED FAILED", "PARTIALLY_PUBLISHED"),
            "resolve not": ("FAILED FAILED", "FAILED"),
        },
    ),
    Row(
        "UNCONFIRMED CANCELLED",
        "UNCONFIRMED",
        {
            "resolve": ("PUBLISHED CANCELLED", "PARTIALLY_PUBLISHED"),
            "resolve not": ("FAILED CANCELLED", "FAILED"),
        },
    ),
]
HERE = {
    **{row.targets: row.here for row in ROWS},
    **{"PENDING": "SCHEDULED", "FAILED": "FAILED", "UNCONFIRMED": "UNCONFIRMED"},
    "FAILED FAILED PUBLISHED": "PARTIALLY_PUBLISHED",
}
REFUSED = {
    "publish": "SOCIAL_POST_NOT_PUBLISHABLE",
    "cancel": "SOCIAL_POST_NOT_CANCELLABLE",
    "retry": "SOCIAL_POST_NOT_RETRYABLE",
    "resolve": "SOCIAL_POST_TARGET_NOT_UNCONFIRMED",
    "resolve not": "SOCIAL_POST_TARGET_NOT_UNCONFIRMED",
    "edit": "SOCIAL_POST_NOT_EDITABLE",
    "delete": "SOCIAL_POST_NOT_EDITABLE",
}


def standing(client: Client, sql: Sql, targets: str, **fields: Any) -> Any:
    """A post whose targets stand there, each for an account of its own, as workers would leave them."""
    names = targets.replace("DRAFT", "PENDING").split()
    accounts = [client.connect().id for _ in names]
    fields = {"scheduled_time": None if targets == "DRAFT" else LATER, **fields}
    post = client.draft(*accounts, **fields)
    for account, name in zip(accounts, names, strict=True):
        if name == "PENDING":
            continue
        sql(
            "UPDATE social_post_target SET state = %s, attempt_count = 1, send_time = now(),"
            """ steps = '{"0/publish": {"plan": {}}}', due_time = CASE %s WHEN 'SENDING' THEN due_time END,"""
            " publish_time = CASE %s WHEN 'PUBLISHED' THEN now() END,"
            " error = CASE WHEN %s IN ('FAILED', 'UNCONFIRMED') THEN %s::jsonb END"
            " WHERE social_post_id = %s AND social_account_id = %s",
            *(number(name), name, name, name, ERROR, post.id, account),
        )
    set_state(sql, post.id, HERE[targets])
    return get(client, post.id)


def set_state(sql: Sql, post_id: str, name: str) -> None:
    state = pb.SocialPostState.Value(f"SOCIAL_POST_STATE_{name}")
    sql("UPDATE social_post SET state = %s WHERE id = %s", state, post_id)


def number(name: str) -> int:
    return pb.SocialPostTargetState.Value(f"SOCIAL_POST_TARGET_STATE_{name}")


def get(client: Client, post_id: str) -> Any:
    return client(f"{SERVICE}/GetSocialPost", social_post_id=post_id).social_post


def stands(post: Any) -> tuple[str, str]:
    """Where a post's targets stand, and the post."""
    prefix = "SOCIAL_POST_TARGET_STATE_"
    names = [pb.SocialPostTargetState.Name(target.state).removeprefix(prefix) for target in post.targets]
    return " ".join(names), pb.SocialPostState.Name(post.state).removeprefix("SOCIAL_POST_STATE_")


def request(action: str, post: Any, **fields: Any) -> tuple[str, dict[str, Any]]:
    """A method and its request."""
    named = {"social_post_id": post.id, **fields}
    match action:
        case "publish" | "cancel" | "retry" | "delete":
            return f"{SERVICE}/{action.capitalize()}SocialPost", named
        case "resolve" | "resolve not":
            resolution = PUBLISHED if action == "resolve" else NOT_PUBLISHED
            of = {"social_account_id": post.targets[0].social_account_id, "resolution": resolution}
            return f"{SERVICE}/ResolveSocialPostTarget", {**of, **named}
        case "edit":
            return f"{SERVICE}/UpdateSocialPost", {"social_post": {"id": post.id, "caption": "changed"}}
    raise AssertionError(action)


def do(client: Client, action: str, post: Any, **fields: Any) -> Any:
    """The post after the action."""
    method, body = request(action, post, **fields)
    return client(method, **body).social_post


@pytest.mark.parametrize("action", REFUSED)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.targets)
def test_what_can_be_done_with_a_post(client: Client, sql: Sql, row: Row, action: str) -> None:
    post = standing(client, sql, row.targets)
    assert stands(post) == (row.targets.replace("DRAFT", "PENDING"), row.here)
    if action in row.taken:
        after = do(client, action, post)
        assert stands(after) == row.taken[action]
        assert after == get(client, post.id)
        assert int(after.etag) > int(post.etag)
        assert after.update_time.ToDatetime() > post.update_time.ToDatetime()
        assert after.create_time == post.create_time
        return
    method, body = request(action, post)
    if action == "delete" and row.here in ("DRAFT", "SCHEDULED"):
        client(method, **body)
        assert client.fails(f"{SERVICE}/GetSocialPost", social_post_id=post.id).code == "NOT_FOUND"
        return
    failed = client.fails(method, **body)
    assert failed.what == ("FAILED_PRECONDITION", REFUSED[action])
    first = row.targets.replace("DRAFT", "PENDING").split()[0]
    assert failed.metadata == {"state": first if action.startswith("resolve") else row.here}
    assert get(client, post.id) == post


# What each of them leaves behind.


def targets_of(sql: Sql, post: Any) -> list[dict[str, Any]]:
    """The post's targets as they are stored."""
    found = sql(
        "SELECT to_jsonb(target) FROM social_post_target target WHERE social_post_id = %s ORDER BY position",
        post.id,
    )
    return [columns for (columns,) in found]


def lease(sql: Sql, post: Any, index: int = 0) -> Leased[Target]:
    """A worker's hold on a target, as the lease's statement gives it."""
    account = post.targets[index].social_account_id
    [(project, attempt, lease_time)] = sql(
        "UPDATE social_post_target SET attempt = attempt + 1, lease_time = clock_timestamp(),"
        " worker = 'test', due_time = now() + interval '30 seconds'"
        " WHERE social_post_id = %s AND social_account_id = %s RETURNING project_id, attempt, lease_time",
        *(post.id, account),
    )
    return Leased(Target(project, post.id, account, 1), attempt, ran_out=False, lease_time=lease_time)


@pytest.mark.parametrize("scheduled_time", [None, LATER], ids=["draft", "scheduled"])
def test_what_is_published_is_due_now_in_the_name_of_who_has_its_accounts(
    client: Client, sql: Sql, scheduled_time: datetime | None
) -> None:
    account = client.connect()
    post = client.draft(account.id, scheduled_time=scheduled_time)
    claimed = {"id": account.id, "external_id": "alice"}
    client("SocialAccountService/UpdateSocialAccount", social_account=claimed)
    before = utc_now() - timedelta(seconds=1)
    after = do(client, "publish", post)
    due = after.targets[0].due_time.ToDatetime(tzinfo=UTC)
    assert before < due < utc_now() + timedelta(seconds=1)
    assert after.scheduled_time == after.targets[0].due_time
    [target] = targets_of(sql, post)
    assert (target["owner"], target["queue_time"]) == ("alice", target["due_time"])


@pytest.mark.parametrize("action", ["publish", "retry", "resolve"])
def test_workers_are_woken_for_what_is_due(client: Client, sql: Sql, running: Running, action: str) -> None:
    states = {"publish": "PENDING", "retry": "FAILED", "resolve": "UNCONFIRMED"}
    post = standing(client, sql, states[action], follow_ups=[{"caption": "and more"}])
    fields = {"platform_post_id": "1"} if action == "resolve" else {}
    with closing(psycopg2.connect(running.database_url)) as listening:
        listening.autocommit = True
        listening.cursor().execute(f"LISTEN {CHANNEL}")
        do(client, action, post, **fields)

        def told() -> bool:
            listening.poll()
            return any(notified.payload == records.KIND.name for notified in listening.notifies)

        eventually("a worker is told", told)


def test_a_worker_that_has_leased_what_is_published_now_has_lost_it(client: Client, sql: Sql) -> None:
    for action, after in (("publish", "PENDING"), ("edit", "PENDING"), ("cancel", "CANCELLED")):
        post = standing(client, sql, "PENDING")
        leased = lease(sql, post)
        assert stands(do(client, action, post))[0] == after
        assert not records.begin(leased, {})
        assert stands(get(client, post.id))[0] == after
        [target] = targets_of(sql, post)
        assert (target["lease_time"], target["worker"]) == (None, None)


def test_what_is_called_off_is_not_due_and_never_was(client: Client, sql: Sql) -> None:
    """Also what is being tried again: of that nothing is left."""
    post = standing(client, sql, "PENDING", follow_ups=[{"caption": "one"}, {"caption": "two"}])
    sql(
        "UPDATE social_post_target SET error = %s, attempt_count = 1 WHERE social_post_id = %s",
        ERROR,
        post.id,
    )
    [after] = do(client, "cancel", post).targets
    assert not after.HasField("due_time")
    assert not after.HasField("error")
    assert [follow_up.state for follow_up in after.follow_ups] == [number("CANCELLED")] * 2


def test_of_a_post_half_begun_the_answer_says_what_was_too_late(client: Client, sql: Sql) -> None:
    post = standing(client, sql, "PENDING PENDING")
    assert records.begin(lease(sql, post), {})
    after = do(client, "cancel", post)
    assert stands(after) == ("SENDING CANCELLED", "PUBLISHING")
    failed = client.fails(*request("cancel", post)[:1], **request("cancel", post)[1])
    assert failed.metadata == {"state": "PUBLISHING"}


def test_what_is_sent_again_is_begun_anew(client: Client, sql: Sql) -> None:
    account = client.connect()
    post = client.draft(account.id, scheduled_time=LATER, follow_ups=[{"caption": "and more"}])
    assert records.begin(lease(sql, post), {"0/upload": {"result": {"id": "7"}}})
    leased = lease(sql, post)
    assert records.end(leased, number("FAILED"), {"category": 4, "code": "X", "message": "y"}, {})
    client(
        "SocialAccountService/UpdateSocialAccount",
        social_account={"id": account.id, "external_id": "alice"},
    )
    before = targets_of(sql, post)[0]
    after = do(client, "retry", post)
    assert stands(after) == ("PENDING", "SCHEDULED")
    [target] = targets_of(sql, post)
    assert (target["error"], target["steps"], target["follow_ups"]) == (None, {}, [])
    assert (target["owner"], target["queue_time"]) == ("alice", target["due_time"])
    assert target["queue_time"] != before["queue_time"]
    # How often it was sent stays known, and no lease of before fits.
    assert (target["attempt_count"], target["attempt"]) == (before["attempt_count"], before["attempt"])
    assert after.scheduled_time == post.scheduled_time


def test_only_those_that_are_named_are_sent_again(client: Client, sql: Sql) -> None:
    post = standing(client, sql, "FAILED FAILED PUBLISHED")
    first, second, third = (target.social_account_id for target in post.targets)
    method = f"{SERVICE}/RetrySocialPost"
    failed = client.fails(method, social_post_id=post.id, social_account_ids=[first, third])
    assert failed.what == ("FAILED_PRECONDITION", "SOCIAL_POST_NOT_RETRYABLE")
    assert failed.metadata == {"state": "PUBLISHED"}
    other = client.connect().id
    failed = client.fails(method, social_post_id=post.id, social_account_ids=[first, other])
    assert failed.what == ("NOT_FOUND", "SOCIAL_POST_TARGET_NOT_FOUND")
    assert failed.metadata == {"id": other}
    assert get(client, post.id) == post
    assert stands(do(client, "retry", post, social_account_ids=[second]))[0] == "FAILED PENDING PUBLISHED"
    # Once more finds nothing to do for it, and the other one.
    assert client.fails(method, social_post_id=post.id, social_account_ids=[second]).code == (
        "FAILED_PRECONDITION"
    )
    assert stands(do(client, "retry", post))[0] == "PENDING PENDING PUBLISHED"


def test_somebody_has_found_where_it_is(client: Client, sql: Sql) -> None:
    found = {"platform_post_id": "42", "platform_post_url": "https://sandbox.example/posts/42"}
    post = standing(client, sql, "UNCONFIRMED")
    [target] = do(client, "resolve", post, **found).targets
    assert {name: getattr(target, name) for name in found} == found
    assert not target.HasField("error")
    assert not target.HasField("due_time")
    assert target.publish_time.ToDatetime(tzinfo=UTC) > utc_now() - timedelta(minutes=1)


@pytest.mark.parametrize("platform_post_id", ["42", ""], ids=["with its id", "without"])
def test_follow_ups_go_on_when_it_is_known_what_they_reply_to(
    client: Client, sql: Sql, platform_post_id: str
) -> None:
    follow_ups = [{"caption": "one", "delay": Duration(seconds=90)}, {"caption": "two"}]
    post = standing(client, sql, "UNCONFIRMED", follow_ups=follow_ups)
    assert [one.state for one in post.targets[0].follow_ups] == [number("PENDING")] * 2
    [target] = do(client, "resolve", post, platform_post_id=platform_post_id).targets
    if platform_post_id:
        due, published = (time.ToDatetime() for time in (target.due_time, target.publish_time))
        assert due - published == timedelta(seconds=90)
        assert [one.state for one in target.follow_ups] == [number("PENDING")] * 2
        [stored] = targets_of(sql, post)
        # What the steps before have brought would be taken for the post's id.
        assert stored["steps"] == {}
    else:
        assert not target.HasField("due_time")
        assert [one.state for one in target.follow_ups] == [number("CANCELLED")] * 2


def test_what_somebody_did_not_find_has_failed_and_can_be_sent_again(client: Client, sql: Sql) -> None:
    post = standing(client, sql, "UNCONFIRMED")
    [target] = do(client, "resolve not", post).targets
    assert (target.error.category, target.error.code, target.error.retryable) == (7, "HTTP 500", True)
    assert "RetrySocialPost" in target.error.message
    assert not target.HasField("due_time")
    assert not target.HasField("publish_time")
    assert stands(do(client, "retry", post)) == ("PENDING", "SCHEDULED")


def test_nobody_resolves_a_target_that_there_is_not(client: Client, sql: Sql) -> None:
    post, other = standing(client, sql, "UNCONFIRMED"), client.connect().id
    method, body = request("resolve", post, social_account_id=other)
    failed = client.fails(method, **body)
    assert (failed.what, failed.metadata) == (
        ("NOT_FOUND", "SOCIAL_POST_TARGET_NOT_FOUND"),
        {"id": other},
    )


# Times that are edited.


def due_times(client: Client, post: Any) -> set[datetime | None]:
    return {
        target.due_time.ToDatetime(tzinfo=UTC) if target.HasField("due_time") else None
        for target in get(client, post.id).targets
    }


def update(client: Client, post: Any, *paths: str, **fields: Any) -> Any:
    body = {"social_post": {"id": post.id, **fields}, "update_mask": {"paths": paths}}
    return client(f"{SERVICE}/UpdateSocialPost", **body).social_post


@pytest.mark.parametrize("leased", [False, True], ids=["waiting", "leased"])
def test_targets_are_due_when_their_post_is_scheduled_for(client: Client, sql: Sql, *, leased: bool) -> None:
    post = standing(client, sql, "PENDING PENDING")
    sooner, added = LATER - timedelta(days=1), client.connect().id
    for fields, wanted in (
        ({"scheduled_time": sooner}, sooner),
        ({"caption": "changed"}, sooner),
        ({"social_account_ids": [added, post.targets[0].social_account_id]}, sooner),
        ({"scheduled_time": None}, None),
        ({"scheduled_time": LATER}, LATER),
    ):
        held = lease(sql, get(client, post.id)) if leased else None
        update(client, post, *fields, **fields)
        assert due_times(client, post) == {wanted}, fields
        queued = {target["queue_time"] and target["due_time"] for target in targets_of(sql, post)}
        assert len(queued) == 1
        if held:
            assert not records.begin(held, {}), fields


def test_what_is_edited_after_its_time_is_due_now(client: Client, sql: Sql) -> None:
    """Sent late as it is, its old time would be too late by itself."""
    post = standing(client, sql, "PENDING")
    sql("UPDATE social_post SET scheduled_time = now() - interval '2 days' WHERE id = %s", post.id)
    update(client, post, "caption", caption="changed")
    [due] = due_times(client, post)
    assert due is not None
    assert due > utc_now() - timedelta(minutes=1)
    [target] = targets_of(sql, post)
    assert target["queue_time"] == target["due_time"]


def test_what_was_tried_is_begun_anew_when_it_is_edited(client: Client, sql: Sql) -> None:
    post = standing(client, sql, "PENDING")
    sql(
        "UPDATE social_post_target SET attempt_count = 1, error = %s,"
        """ steps = '{"0/upload": {"result": {}}}' WHERE social_post_id = %s""",
        *(ERROR, post.id),
    )
    [target] = update(client, post, "caption", caption="changed").targets
    assert not target.HasField("error")
    assert targets_of(sql, post)[0]["steps"] == {}


# Etags and request_ids.

ACTIONS = {
    "publish": "PENDING",
    "cancel": "PENDING",
    "retry": "FAILED",
    "resolve": "UNCONFIRMED",
    "resolve not": "UNCONFIRMED",
}


@pytest.mark.parametrize("action", ACTIONS)
def test_a_stale_etag_decides_nothing(client: Client, sql: Sql, action: str) -> None:
    post = standing(client, sql, ACTIONS[action])
    method, body = request(action, post, etag="99")
    assert client.fails(method, **body).what == ("ABORTED", "ETAG_MISMATCH")
    assert get(client, post.id) == post
    do(client, action, post, etag=post.etag)


@pytest.mark.parametrize("action", ACTIONS)
def test_a_repeated_request_gets_the_first_answer(client: Client, sql: Sql, action: str) -> None:
    post = standing(client, sql, ACTIONS[action])
    request_id = unique("request")
    method, body = request(action, post, request_id=request_id, etag=post.etag)
    first = client(method, **body)
    stored = targets_of(sql, post)
    set_state(sql, post.id, "PUBLISHED")
    assert client(method, **body) == first
    assert targets_of(sql, post) == stored
    other = {**body, "etag": first.social_post.etag}
    assert client.fails(method, **other).what == ("FAILED_PRECONDITION", "REQUEST_ID_REUSED")
    # Without it the same call is a new one.
    assert client.fails(method, **{**body, "request_id": "", "etag": ""}).code == "FAILED_PRECONDITION"


@pytest.mark.parametrize("action", ACTIONS)
def test_a_post_that_there_is_not(client: Client, sql: Sql, action: str) -> None:
    post = standing(client, sql, ACTIONS[action])
    missing = new_id("sp", utc_now())
    method, body = request(action, post, social_post_id=missing)
    failed = client.fails(method, **body)
    assert (failed.what, failed.metadata) == (("NOT_FOUND", "SOCIAL_POST_NOT_FOUND"), {"id": missing})


# Cancelling races with a worker that begins.


@pytest.fixture
def locks(running: Running) -> Iterator[Any]:
    """A session that holds locks until it is rolled back."""
    with closing(psycopg2.connect(running.database_url)) as connection:
        yield connection
        connection.rollback()


def waiting(sql: Sql, statement: str) -> Callable[[], bool]:
    """Whether somebody waits for a lock with this statement."""
    return lambda: bool(
        sql(
            "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE %s"
            " AND datname = current_database()",
            f'EXECUTE "{statement}_%',
        )
    )


def cancelled(client: Client, post: Any) -> Any:
    """The answer of a cancel, or why it has none."""
    try:
        return do(client, "cancel", post)
    except grpc.RpcError as error:
        return failure(error)


def test_a_cancel_that_comes_after_a_worker_has_begun_has_lost(client: Client, sql: Sql, locks: Any) -> None:
    post = standing(client, sql, "PENDING")
    leased = lease(sql, post)
    with ThreadPoolExecutor(2) as pool:
        # The worker has the post's lock, and is held up at the target.
        locks.cursor().execute(
            "SELECT FROM social_post_target WHERE social_post_id = %s FOR UPDATE", (post.id,)
        )
        begun = pool.submit(records.begin, leased, {})
        eventually("the worker is held up", waiting(sql, "publish.begin"))
        answer = pool.submit(cancelled, client, post)
        eventually("the cancel waits", waiting(sql, "posts.lock"))
        locks.rollback()
        assert begun.result(30)
        failed = answer.result(30)
    assert failed.what == ("FAILED_PRECONDITION", "SOCIAL_POST_NOT_CANCELLABLE")
    assert failed.metadata == {"state": "PUBLISHING"}
    assert stands(get(client, post.id)) == ("SENDING", "PUBLISHING")


def test_a_worker_that_begins_after_a_cancel_has_lost(client: Client, sql: Sql, locks: Any) -> None:
    post = standing(client, sql, "PENDING")
    leased = lease(sql, post)
    with ThreadPoolExecutor(2) as pool:
        locks.cursor().execute(
            "SELECT FROM social_post_target WHERE social_post_id = %s FOR UPDATE", (post.id,)
        )
        answer = pool.submit(cancelled, client, post)
        eventually("the cancel is held up", waiting(sql, "posts.cancel"))
        begun = pool.submit(records.begin, leased, {})
        eventually("the worker waits", waiting(sql, "posts.lock"))
        locks.rollback()
        assert stands(answer.result(30)) == ("CANCELLED", "CANCELLED")
        assert not begun.result(30)
    assert stands(get(client, post.id)) == ("CANCELLED", "CANCELLED")


def test_of_a_cancel_and_a_worker_one_wins_and_both_know(client: Client, sql: Sql) -> None:
    ends = set()
    with ThreadPoolExecutor(2) as pool:
        for turn in range(60):
            post = standing(client, sql, "PENDING")
            leased, barrier = lease(sql, post), threading.Barrier(2)

            def begin(leased: Leased[Target] = leased, barrier: threading.Barrier = barrier) -> bool:
                barrier.wait(60)
                return records.begin(leased, {})

            def cancel(post: Any = post, barrier: threading.Barrier = barrier) -> Any:
                barrier.wait(60)
                return cancelled(client, post)

            begun, answer = (future.result(30) for future in (pool.submit(begin), pool.submit(cancel)))
            wanted = ("SENDING", "PUBLISHING") if begun else ("CANCELLED", "CANCELLED")
            assert stands(get(client, post.id)) == wanted, turn
            assert hasattr(answer, "targets") is not begun, turn
            ends.add(begun)
    assert ends
