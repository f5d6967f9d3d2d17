"""What each end of a step means for its target: a table, and how long what fails is tried."""

from typing import Any

import pytest

from generated.hitchpost.v1 import social_post_service_pb2 as pb
from server.publish import failures
from server.publish.publisher import (
    NotPublished,
    NotYet,
    PublishFailed,
    Step,
    TokenExpired,
    Uncertain,
)
from tests.kit.metrics import Growth
from tests.kit.publishing import Posting, Scripted, Sql, due_in, target_state
from tests.kit.support import Client

CONTENT, NETWORK = pb.PUBLISH_ERROR_CATEGORY_CONTENT, pb.PUBLISH_ERROR_CATEGORY_NETWORK
RATE_LIMIT = pb.PUBLISH_ERROR_CATEGORY_RATE_LIMIT
UPLOAD, PUBLISH = Step("upload"), Step("publish", publishes=True)
SURE = PublishFailed(CONTENT, "TooLong", "Make it shorter.")
AGAIN = PublishFailed(NETWORK, "HTTP 503", "It is tried again.", retryable=True)
LIMITED = PublishFailed(RATE_LIMIT, "HTTP 429", "Later.", retryable=True, retry_after=77, scope="account")
BUG = RuntimeError("a defect")
ENDS = ("done", "retried", "failed")


def lost(sending: Any) -> Any:
    raise Uncertain("TIMEOUT")


# The step that ends so, and how; the target's state then, in how many seconds it is due (at least, at most;
# None is never), and its error's code.
TABLE: dict[str, tuple[str, BaseException, str, tuple[float, float] | None, str]] = {
    "upload: refused": ("run upload", SURE, "FAILED", None, "TooLong"),
    "upload: passing": ("run upload", AGAIN, "PENDING", (2, 5), "HTTP 503"),
    "upload: limited": ("run upload", LIMITED, "PENDING", (70, 77), "HTTP 429"),
    "upload: unanswered": ("run upload", Uncertain("TIMEOUT"), "PENDING", (2, 5), "TIMEOUT"),
    "upload: not yet": ("run upload", NotYet(40), "SENDING", (35, 40), ""),
    "upload: token": ("run upload", TokenExpired(), "PENDING", (0, 2), ""),
    "upload: defect": ("run upload", BUG, "PENDING", (2, 5), "INTERNAL"),
    "publish: refused": ("run publish", SURE, "FAILED", None, "TooLong"),
    "publish: passing": ("run publish", AGAIN, "PENDING", (2, 5), "HTTP 503"),
    "publish: limited": ("run publish", LIMITED, "PENDING", (70, 77), "HTTP 429"),
    "publish: unanswered": ("run publish", Uncertain("TIMEOUT"), "UNCONFIRMED", None, "TIMEOUT"),
    "publish: not yet": ("run publish", NotYet(40), "SENDING", (35, 40), ""),
    "publish: token": ("run publish", TokenExpired(), "PENDING", (0, 2), ""),
    "publish: defect": ("run publish", BUG, "UNCONFIRMED", None, "INTERNAL"),
    # After a publish that nobody has answered.
    "settle: nobody knows": ("settle publish", Uncertain("GONE"), "UNCONFIRMED", None, "TIMEOUT"),
    "settle: refused": ("settle publish", SURE, "UNCONFIRMED", None, "TooLong"),
    "settle: passing": ("settle publish", AGAIN, "SENDING", (2, 5), ""),
    "settle: limited": ("settle publish", LIMITED, "SENDING", (70, 77), ""),
    "settle: token": ("settle publish", TokenExpired(), "SENDING", (0, 2), ""),
    "settle: not yet": ("settle publish", NotYet(40), "SENDING", (35, 40), ""),
    "settle: defect": ("settle publish", BUG, "UNCONFIRMED", None, "TIMEOUT"),
}


@pytest.mark.parametrize("name", TABLE)
def test_what_an_end_means(name: str, posting: Posting, platform: Scripted, client: Client, sql: Sql) -> None:
    what, end, state, due, code = TABLE[name]
    platform.all_steps = [UPLOAD, PUBLISH]
    platform.will(what, end)
    if what == "settle publish":
        platform.will("run publish", lost)
    post = posting.post(client.connect(refresh_token="secret-r-kept").id)
    grown = Growth()
    [leased] = posting.lease()
    posting.sender.send(leased)
    target = posting.target(post)
    assert (target_state(target), target.error.code) == (state, code)
    settled = {"FAILED": 1, "UNCONFIRMED": 1}.get(state, 0)
    assert grown.of("targets_settled_total", state=state, platform="sandbox") == settled
    assert grown.of("targets_settled_total") == settled
    attempts = {
        outcome: grown.of("due_work_attempts_total", kind="posts", outcome=outcome) for outcome in ENDS
    }
    assert attempts == {"done": settled, "retried": 1 - settled, "failed": 0}
    assert platform.posts == []
    seconds = due_in(sql, post)
    if due is None:
        assert seconds is None
    else:
        assert seconds is not None
        assert due[0] - 1 < seconds <= due[1]
    if state == "FAILED":
        assert target.error.category == CONTENT
        assert target.error.message == "Make it shorter."


@pytest.mark.parametrize("end", [SURE, AGAIN, LIMITED, TokenExpired()], ids=str)
def test_no_failure_is_a_proof_once_it_may_have_been_published(
    end: BaseException, posting: Posting, platform: Scripted, client: Client
) -> None:
    """A second call that certainly failed says nothing of the first."""
    platform.will("run publish", Uncertain("TIMEOUT"), end)
    platform.will("settle publish", NotPublished())
    post = posting.post(client.connect(refresh_token="secret-r-kept").id)
    [leased] = posting.lease()
    posting.sender.send(leased)
    keys = {sending.key for what, sending in platform.asked}
    plans = [sending.plan for what, sending in platform.asked if what == "run publish"]
    assert (len(keys), plans) == (1, [{"number": 1}] * 2)
    assert posting.states(post) == ["UNCONFIRMED" if end is SURE else "SENDING"]


def test_a_passing_failure_is_tried_again_and_then_published(
    posting: Posting, platform: Scripted, client: Client
) -> None:
    platform.will("run publish", AGAIN, AGAIN, platform.accept)
    post = posting.post(client.connect().id)
    grown = Growth()
    posting.work()
    assert posting.state(post) == "SCHEDULED"
    for _ in range(2):
        posting.pass_time()
        posting.work()
    target = posting.target(post)
    assert (target_state(target), target.attempt_count) == ("PUBLISHED", 3)
    assert not target.HasField("error")
    published = {"platform": "sandbox", "state": "PUBLISHED", "category": ""}
    assert grown.of("targets_settled_total", **published) == grown.of("targets_settled_total") == 1
    # Each try is one of its own for the platform, planned anew.
    assert len({sending.key for _, sending in platform.asked}) == 3
    assert [sending.plan["number"] for _, sending in platform.asked] == [1, 2, 3]


@pytest.mark.parametrize(
    ("failure", "hours", "state"),
    [(AGAIN, 0.9, "PENDING"), (AGAIN, 1.1, "FAILED"), (LIMITED, 23, "PENDING"), (LIMITED, 25, "FAILED")],
)
def test_tries_in_vain_end(
    failure: PublishFailed,
    hours: float,
    state: str,
    posting: Posting,
    platform: Scripted,
    client: Client,
    sql: Sql,
) -> None:
    platform.will("run publish", failure)
    post = posting.post(client.connect().id)
    posting.work()
    sql("DELETE FROM rate_limit")
    posting.age(post, hours=hours)
    posting.pass_time()
    posting.work()
    target = posting.target(post)
    assert (target_state(target), target.error.code, target.error.retryable) == (state, failure.code, True)
    assert ("in vain" in target.error.message) is (state == "FAILED")


def test_what_was_uploaded_is_not_uploaded_again_unless_it_is_old(
    posting: Posting, platform: Scripted, client: Client
) -> None:
    platform.all_steps = [UPLOAD, PUBLISH]
    platform.will("run publish", AGAIN, AGAIN, platform.accept)
    post = posting.post(client.connect().id)
    posting.work()
    posting.pass_time()
    posting.work()
    assert platform.calls == ["run upload", "run publish", "run publish"]
    posting.age(post, minutes=59)
    for record in ("0/upload",):
        posting.sql(
            "UPDATE social_post_target SET steps = jsonb_set(steps, ARRAY[%s, 'at'], to_jsonb(%s::text)) "
            "WHERE social_post_id = %s",
            record,
            "2020-01-01T00:00:00+00:00",
            post,
        )
    posting.pass_time()
    posting.work()
    assert platform.calls[3:] == ["run upload", "run publish"]


def test_delays_grow_and_have_bounds() -> None:
    span = failures.GIVE_UP * 0
    delays = [failures.delay(AGAIN, tried, span) or 0 for tried in range(1, 40)]
    assert 2.5 <= delays[0] <= 5
    assert max(delays) <= 600
    assert min(delays[10:]) >= 300
    assert failures.delay(SURE, 1, span) is None


def test_a_defect_in_the_plan_is_no_doubt(posting: Posting, platform: Scripted, client: Client) -> None:
    """Nothing was called yet."""
    platform.plan = lambda step, sending: 1 / 0  # type: ignore[method-assign,assignment,return-value]
    post = posting.post(client.connect().id)
    posting.work()
    target = posting.target(post)
    assert (target_state(target), target.error.code) == ("PENDING", "INTERNAL")
    assert platform.calls == []
