"""Whatever happens to a worker, nothing is published a second time, and nothing is SENDING for ever."""

from typing import Any

import pytest

from server.publish import records
from server.publish.publisher import NotPublished, PublishFailed, Step, Uncertain
from tests.kit.publishing import Crash, Posting, Scripted, Sql, target_state
from tests.kit.support import Client

UPLOAD, PUBLISH = Step("upload"), Step("publish", publishes=True)


def crash(sending: Any) -> Any:
    raise Crash


def accept_and_crash(platform: Scripted) -> Any:
    def act(sending: Any) -> Any:
        platform.accept(sending)
        raise Crash

    return act


def found(platform: Scripted) -> Any:
    """The platform is asked whether it has the key."""

    def look(sending: Any) -> Any:
        for number, (key, _) in enumerate(platform.posts, 1):
            if key == sending.key:
                return {"id": f"post-{number}"}
        raise NotPublished

    return look


def send(posting: Posting) -> None:
    """One worker's turn with the only target that is due, which it may not survive."""
    [leased] = posting.lease()
    try:
        posting.sender.send(leased)
    except Crash:
        return


def test_a_crash_before_the_platform_has_it(posting: Posting, platform: Scripted, client: Client) -> None:
    """Settled, and then sent with what was planned at first."""
    platform.will("run publish", crash, platform.accept)
    platform.will("settle publish", found(platform))
    post = posting.post(client.connect().id)
    send(posting)
    assert posting.states(post) == ["SENDING"]
    assert posting.lease() == []
    posting.pass_time()
    send(posting)
    assert platform.calls == ["run publish", "settle publish", "run publish"]
    assert (posting.states(post), len(platform.posts)) == (["PUBLISHED"], 1)
    first, settled, second = (sending for _, sending in platform.asked)
    assert first.key == settled.key == second.key
    assert first.plan == settled.plan == second.plan
    assert first.begun == settled.begun == second.begun
    assert posting.target(post).attempt_count == 1


def test_a_crash_after_the_platform_has_it(posting: Posting, platform: Scripted, client: Client) -> None:
    platform.will("run publish", accept_and_crash(platform))
    platform.will("settle publish", found(platform))
    post = posting.post(client.connect().id)
    send(posting)
    posting.pass_time()
    send(posting)
    assert platform.calls == ["run publish", "settle publish"]
    target = posting.target(post)
    assert (target_state(target), target.platform_post_id) == ("PUBLISHED", "post-1")


def test_nobody_can_be_asked(posting: Posting, platform: Scripted, client: Client) -> None:
    """Then somebody has to look: it is UNCONFIRMED, and nothing sends it again."""
    platform.will("run publish", accept_and_crash(platform))
    post = posting.post(client.connect().id)
    send(posting)
    posting.pass_time()
    send(posting)
    assert (posting.states(post), posting.state(post)) == (["UNCONFIRMED"], "UNCONFIRMED")
    assert "ResolveSocialPostTarget" in posting.target(post).error.message
    posting.pass_time()
    assert posting.work() == 0
    assert len(platform.posts) == 1


def test_a_crash_while_settling(posting: Posting, platform: Scripted, client: Client) -> None:
    platform.will("run publish", accept_and_crash(platform))
    platform.will("settle publish", crash, found(platform))
    post = posting.post(client.connect().id)
    for _ in range(3):
        send(posting)
        posting.pass_time()
    assert posting.states(post) == ["PUBLISHED"]
    assert len(platform.posts) == 1


def test_a_crash_in_a_step_that_publishes_nothing(
    posting: Posting, platform: Scripted, client: Client
) -> None:
    """It is taken again; those before are not."""
    platform.all_steps = [Step("first"), UPLOAD, PUBLISH]
    platform.will("run upload", crash, lambda sending: {"media": 1})
    post = posting.post(client.connect().id)
    send(posting)
    posting.pass_time()
    send(posting)
    assert platform.calls == ["run first", "run upload", "run upload", "run publish"]
    assert posting.states(post) == ["PUBLISHED"]


# Each write of a worker, and which one of its kind.
WRITES = [("begin", 1), ("keep", 1), ("keep", 2), ("published", 1)]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("name", "number"), WRITES)
def test_a_crash_at_each_write(
    name: str,
    number: int,
    after: bool,
    posting: Posting,
    platform: Scripted,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The worker does not live to do what comes after it, or not even the write."""
    platform.all_steps = [UPLOAD, PUBLISH]
    platform.will("settle publish", found(platform))
    write, left = getattr(records, name), iter(range(number - 1, -10, -1))

    def dies(*args: Any, **kwargs: Any) -> Any:
        last = next(left) == 0
        if last and not after:
            raise Crash
        result = write(*args, **kwargs)
        if last:
            raise Crash
        return result

    monkeypatch.setattr(records, name, dies)
    post = posting.post(client.connect().id)
    send(posting)
    assert next(left) < 0
    posting.pass_time()
    posting.work()
    assert (posting.states(post), len(platform.posts)) == (["PUBLISHED"], 1)


def test_a_lease_that_was_lost_stops_before_the_next_step(
    posting: Posting, platform: Scripted, client: Client
) -> None:
    platform.all_steps = [UPLOAD, PUBLISH]

    def overtaken(sending: Any) -> Any:
        posting.pass_time()
        posting.lease("other")
        return {"media": 1}

    platform.will("run upload", overtaken)
    post = posting.post(client.connect().id)
    send(posting)
    assert platform.calls == ["run upload"]
    assert posting.states(post) == ["SENDING"]


def late(posting: Posting, platform: Scripted, meanwhile: Any) -> None:
    """A worker's call takes so long that others do this before it returns, published."""

    def act(sending: Any) -> Any:
        result = platform.accept(sending)
        platform.script.clear()
        posting.pass_time()
        meanwhile()
        return result

    platform.will("run publish", act)
    send(posting)


def test_who_comes_late_may_still_say_that_it_is_published(
    posting: Posting, platform: Scripted, client: Client
) -> None:
    """While another is at it, and after that one has found that nobody knows."""
    post = posting.post(client.connect().id)
    late(posting, platform, lambda: posting.lease("other"))
    assert (posting.states(post), len(platform.posts)) == (["PUBLISHED"], 1)
    other = posting.post(client.connect().id)
    late(posting, platform, lambda: send(posting))
    target = posting.target(other)
    assert (target_state(target), target.platform_post_id) == ("PUBLISHED", "post-2")
    assert not target.HasField("error")
    assert posting.state(other) == "PUBLISHED"


def test_who_comes_late_with_a_failure_changes_nothing(
    posting: Posting, platform: Scripted, client: Client
) -> None:
    def act(sending: Any) -> Any:
        platform.script.clear()
        posting.pass_time()
        send(posting)
        raise PublishFailed(3, "TooLong", "Shorter.")

    platform.will("run publish", act)
    post = posting.post(client.connect().id)
    send(posting)
    assert posting.states(post) == ["UNCONFIRMED"]


def test_a_late_attempt_is_not_another_ones(
    posting: Posting, platform: Scripted, client: Client, sql: Sql
) -> None:
    """Once its owner has said that it was not published, the old attempt is over."""
    post = posting.post(client.connect().id)

    def anew() -> None:
        sql("UPDATE social_post_target SET state = 4, due_time = NULL WHERE social_post_id = %s", post)

    late(posting, platform, anew)
    assert posting.states(post) == ["FAILED"]


def test_the_owner_is_told_again_and_again_only_once(
    posting: Posting, platform: Scripted, client: Client
) -> None:
    """Connections that break after each call, and a platform that can be asked."""

    def breaks(sending: Any) -> Any:
        if all(key != sending.key for key, _ in platform.posts):
            platform.accept(sending)
        raise Uncertain("RESET")

    platform.will("run publish", breaks)
    platform.will("settle publish", NotPublished(), found(platform))
    post = posting.post(client.connect().id)
    posting.work()
    assert platform.calls == ["run publish", "settle publish", "run publish", "settle publish"]
    assert (posting.states(post), len(platform.posts)) == (["PUBLISHED"], 1)


def test_reruns_have_a_bound(posting: Posting, platform: Scripted, client: Client, sql: Sql) -> None:
    """A few at once, then with pauses, and in the end nobody knows."""
    platform.will("run publish", Uncertain("RESET"))
    platform.will("settle publish", NotPublished())
    post = posting.post(client.connect().id)
    posting.work()
    assert platform.calls.count("run publish") == 3
    assert posting.states(post) == ["SENDING"]
    posting.age(post, hours=2)
    posting.pass_time()
    posting.work()
    assert posting.states(post) == ["UNCONFIRMED"]
