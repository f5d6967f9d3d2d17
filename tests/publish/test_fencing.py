"""What its owner does to a post while a worker has it: either it was sent and says so, or it was not."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from server.publish import records, renewals
from server.publish.publisher import PublishFailed, Step
from server.publish.records import KIND
from server.publish.renewals import Renewals
from tests.kit.publishing import Crash, Posting, Scripted, Sql, target_state
from tests.kit.servers import eventually
from tests.kit.support import Client


def edit_the_text(client: Client, post: str) -> None:
    update(client, post, "caption", caption="edited")


def edit_the_overrides(client: Client, post: str) -> None:
    """Targets are deleted and inserted anew."""
    [target] = client("SocialPostService/GetSocialPost", social_post_id=post).social_post.targets
    override = {"social_account_id": target.social_account_id, "caption": "edited"}
    update(client, post, "account_overrides", account_overrides=[override])


def later(client: Client, post: str) -> None:
    update(client, post, "scheduled_time", scheduled_time=datetime.now(UTC) + timedelta(hours=1))


def unschedule(client: Client, post: str) -> None:
    update(client, post, "scheduled_time")


def delete(client: Client, post: str) -> None:
    client("SocialPostService/DeleteSocialPost", social_post_id=post)


def update(client: Client, post: str, path: str, **fields: Any) -> None:
    client(
        "SocialPostService/UpdateSocialPost",
        social_post={"id": post, **fields},
        update_mask={"paths": [path]},
    )


CHANGES = [edit_the_text, edit_the_overrides, later, unschedule, delete]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_before_it_is_begun_takes_it_from_the_worker(
    change: Callable[[Client, str], None], posting: Posting, platform: Scripted, client: Client
) -> None:
    post = posting.post(client.connect().id, text="before")
    [leased] = posting.lease()
    change(client, post)
    posting.sender.send(leased)
    assert platform.calls == []
    if change in (edit_the_text, edit_the_overrides):
        posting.pass_time()
        posting.work()
        assert platform.texts == ["edited"]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_after_that_is_refused(
    change: Callable[[Client, str], None], posting: Posting, platform: Scripted, client: Client
) -> None:
    refused = []

    def act(sending: Any) -> Any:
        try:
            change(client, post)
        except Exception as error:
            refused.append(type(error).__name__)
        return platform.accept(sending)

    platform.will("run publish", act)
    post = posting.post(client.connect().id, text="before")
    posting.work()
    assert len(refused) == 1
    assert (platform.texts, posting.states(post)) == (["before"], ["PUBLISHED"])


def test_a_cancel_takes_it_from_the_worker(
    posting: Posting, platform: Scripted, client: Client, sql: Sql
) -> None:
    post = posting.post(client.connect().id)
    [leased] = posting.lease()
    sql("UPDATE social_post_target SET state = 6, due_time = NULL WHERE social_post_id = %s", post)
    posting.sender.send(leased)
    assert (platform.calls, posting.states(post)) == ([], ["CANCELLED"])


def test_what_an_edit_has_changed_is_prepared_anew(
    posting: Posting, platform: Scripted, client: Client
) -> None:
    """What was uploaded for the text of before is of no use."""
    platform.all_steps = [Step("upload"), Step("publish", publishes=True)]
    platform.will("run publish", PublishFailed(8, "HTTP 503", "Later.", retryable=True), platform.accept)
    post = posting.post(client.connect().id)
    posting.work()
    edit_the_text(client, post)
    posting.schedule(post)
    posting.work()
    assert platform.calls == ["run upload", "run publish"] * 2
    assert platform.texts == ["edited"]


def test_an_owner_who_is_forgotten_meanwhile(
    posting: Posting, platform: Scripted, client: Client, sql: Sql
) -> None:
    """Nothing is left to say what became of it, and nothing fails."""

    def act(sending: Any) -> Any:
        sql("DELETE FROM social_post WHERE id = %s", post)
        return platform.accept(sending)

    platform.will("run publish", act)
    post = posting.post(client.connect().id)
    posting.work()
    assert len(platform.posts) == 1
    assert sql("SELECT state FROM social_post_target WHERE social_post_id = %s", post) == []


def test_a_lease_goes_on_as_long_as_it_is_held(posting: Posting, client: Client, sql: Sql) -> None:
    """And the thread that sees to it ends when there is nothing left to be held."""
    post = posting.post(client.connect().id)
    [leased] = posting.lease()
    due = "SELECT due_time FROM social_post_target WHERE social_post_id = %s"
    held = Renewals(KIND, every=0.05)
    before = sql(due, post)
    with held.of(leased):
        eventually("it is renewed", lambda: sql(due, post) > before)
        thread = held._thread
    assert thread is not None
    thread.join(20)
    assert not thread.is_alive()
    assert KIND.seconds > renewals.EVERY_SECONDS * 2
    with held.of(leased):
        assert held._thread is not None


def test_a_lost_lease_is_not_renewed(posting: Posting, client: Client, sql: Sql) -> None:
    post = posting.post(client.connect().id)
    [leased] = posting.lease()
    posting.pass_time()
    posting.lease("other")
    assert not KIND.renew(leased)
    assert posting.states(post) == ["PENDING"]


def test_a_crashed_workers_target_is_not_taken_before_its_lease_ends(
    posting: Posting, platform: Scripted, client: Client
) -> None:
    platform.will("run publish", Crash())
    post = posting.post(client.connect().id)
    with pytest.raises(Crash):
        posting.work()
    assert posting.lease() == []
    assert target_state(posting.target(post)) == "SENDING"


def test_a_lease_that_ends_while_it_is_begun(
    posting: Posting, platform: Scripted, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lease needs no lock of the post: another worker may have the target between two statements."""
    load = records.load

    def slowly(leased: Any) -> Any:
        stored = load(leased)
        posting.pass_time()
        posting.sql(
            "UPDATE social_post_target SET attempt = attempt + 1, lease_time = now() "
            "WHERE social_post_id = %s",
            post,
        )
        return stored

    monkeypatch.setattr(records, "load", slowly)
    post = posting.post(client.connect().id)
    [leased] = posting.lease()
    posting.sender.send(leased)
    assert (platform.calls, posting.states(post)) == ([], ["PENDING"])
