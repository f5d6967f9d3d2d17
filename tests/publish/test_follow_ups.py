"""Follow-ups come after the post, in order, with outcomes of their own; none of them touches the post's."""

from datetime import timedelta
from typing import Any

import pytest

from generated.hitchpost.v1 import social_post_service_pb2 as pb
from server.publish import parts
from server.publish.publisher import NotPublished, PublishFailed, TokenExpired, Uncertain
from tests.kit.publishing import Crash, Posting, Scripted, Sql, due_in, target_state
from tests.kit.support import Client

SURE = PublishFailed(pb.PUBLISH_ERROR_CATEGORY_CONTENT, "TooLong", "Make it shorter.")
AGAIN = PublishFailed(pb.PUBLISH_ERROR_CATEGORY_NETWORK, "HTTP 503", "Later.", retryable=True)
COMMENT, THREAD = "FOLLOW_UP_PLACE_COMMENT", "FOLLOW_UP_PLACE_THREAD"


def thread(posting: Posting, client: Client, *follow_ups: dict[str, Any]) -> str:
    """A post with follow-ups named a, b, c."""
    named = [{"caption": "abc"[place], **follow_up} for place, follow_up in enumerate(follow_ups)]
    return posting.post(client.connect().id, text="post", follow_ups=named)


def outcomes(posting: Posting, post: str) -> list[str]:
    return [target_state(one) for one in posting.target(post).follow_ups]


def fails_at(platform: Scripted, text: str, end: BaseException) -> None:
    """The platform takes everything but what says this."""

    def act(sending: Any) -> Any:
        if sending.part.text == text:
            raise end
        return platform.accept(sending)

    platform.will("run publish", act)


def test_a_thread_is_published_in_order(posting: Posting, platform: Scripted, client: Client) -> None:
    post = thread(posting, client, {}, {"place": THREAD}, {"place": COMMENT})
    posting.work()
    assert platform.texts == ["post", "a", "b", "c"]
    sendings = [sending for _, sending in platform.asked]
    assert [sending.index for sending in sendings] == [0, 1, 2, 3]
    assert [sending.part.replies_to for sending in sendings] == [None, 0, 1, 0]
    assert [sending.published[0]["id"] for sending in sendings[1:]] == ["post-1"] * 3
    assert sendings[2].published[1] == {"id": "post-2", "url": "https://sandbox.example/2"}
    assert len({sending.key for sending in sendings}) == 4
    target = posting.target(post)
    assert outcomes(posting, post) == ["PUBLISHED"] * 3
    assert target.follow_ups[1].platform_post_id == "post-3"
    assert target.follow_ups[1].publish_time.ToDatetime() >= target.publish_time.ToDatetime()
    assert not target.HasField("due_time")
    assert posting.work() == 0


def test_each_waits_for_its_delay(posting: Posting, platform: Scripted, client: Client, sql: Sql) -> None:
    """After what it follows; the post is PUBLISHED meanwhile, and the account's queue goes on."""
    post = thread(posting, client, {"delay": timedelta(minutes=5)}, {"delay": timedelta(hours=1)})
    posting.work()
    assert (posting.states(post), outcomes(posting, post)) == (["PUBLISHED"], ["PENDING"] * 2)
    assert 290 < (due_in(sql, post) or 0) <= 300
    posting.pass_time()
    posting.work()
    assert outcomes(posting, post) == ["PUBLISHED", "PENDING"]
    assert 3590 < (due_in(sql, post) or 0) <= 3600
    posting.pass_time()
    posting.work()
    assert outcomes(posting, post) == ["PUBLISHED"] * 2
    assert due_in(sql, post) is None


def test_they_keep_no_other_post_waiting(posting: Posting, platform: Scripted, client: Client) -> None:
    account = client.connect().id
    posting.post(account, text="one", follow_ups=[{"caption": "a", "delay": timedelta(minutes=5)}])
    posting.work()
    posting.post(account, text="two")
    posting.work()
    assert platform.texts == ["one", "two"]


def test_one_that_fails_ends_those_that_reply_to_it(
    posting: Posting, platform: Scripted, client: Client
) -> None:
    """And never the post, nor a comment to the post."""
    fails_at(platform, "a", SURE)
    post = thread(posting, client, {}, {}, {"place": COMMENT})
    posting.work()
    assert platform.texts == ["post", "c"]
    assert outcomes(posting, post) == ["FAILED", "CANCELLED", "PUBLISHED"]
    target = posting.target(post)
    assert (target_state(target), posting.state(post)) == ("PUBLISHED", "PUBLISHED")
    assert target.follow_ups[0].error.code == "TooLong"
    assert not target.HasField("error")
    assert not target.HasField("due_time")


def test_the_chain_goes_on_to_its_end(posting: Posting, platform: Scripted, client: Client) -> None:
    fails_at(platform, "a", SURE)
    post = thread(posting, client, {}, {}, {})
    posting.work()
    assert outcomes(posting, post) == ["FAILED", "CANCELLED", "CANCELLED"]


def test_one_that_fails_for_now_is_tried_again(
    posting: Posting, platform: Scripted, client: Client, sql: Sql
) -> None:
    fails_at(platform, "a", AGAIN)
    post = thread(posting, client, {}, {})
    [(begun,)] = sql("SELECT now()")
    posting.work()
    assert outcomes(posting, post) == ["PENDING", "PENDING"]
    assert posting.target(post).follow_ups[0].error.code == "HTTP 503"
    assert (due_in(sql, post, begun) or 0) > 1
    assert (due_in(sql, post) or 0) <= 5
    fails_at(platform, "", AGAIN)
    posting.pass_time()
    posting.work()
    assert platform.texts == ["post", "a", "b"]
    tried = [sending for _, sending in platform.asked if sending.part.text == "a"]
    assert len({sending.key for sending in tried}) == 2
    assert not posting.target(post).follow_ups[0].HasField("error")


def test_tries_in_vain_end(posting: Posting, platform: Scripted, client: Client) -> None:
    fails_at(platform, "a", AGAIN)
    post = thread(posting, client, {})
    posting.work()
    posting.age(post, hours=2)
    posting.pass_time()
    posting.work()
    assert outcomes(posting, post) == ["FAILED"]


def test_one_of_which_nobody_knows(posting: Posting, platform: Scripted, client: Client) -> None:
    fails_at(platform, "a", Uncertain("TIMEOUT"))
    post = thread(posting, client, {}, {})
    posting.work()
    assert outcomes(posting, post) == ["UNCONFIRMED", "CANCELLED"]
    assert (posting.states(post), posting.state(post)) == (["PUBLISHED"], "PUBLISHED")
    assert len([call for call in platform.calls if call == "run publish"]) == 2


@pytest.mark.parametrize("accepted", [False, True])
def test_a_crash_is_settled(accepted: bool, posting: Posting, platform: Scripted, client: Client) -> None:
    """With the key and the plan of before; the post itself is not sent again."""

    def dies(sending: Any) -> Any:
        if accepted:
            platform.accept(sending)
        raise Crash

    def settle(sending: Any) -> Any:
        if any(key == sending.key for key, _ in platform.posts):
            return {"id": "post-2"}
        raise NotPublished

    platform.will("run publish", platform.accept, dies, platform.accept)
    platform.will("settle publish", settle)
    post = thread(posting, client, {})
    with pytest.raises(Crash):
        posting.work()
    assert outcomes(posting, post) == ["SENDING"]
    posting.pass_time()
    posting.work()
    assert platform.texts == ["post", "a"]
    assert outcomes(posting, post) == ["PUBLISHED"]
    sendings = [sending for _, sending in platform.asked if sending.index == 1]
    assert len({(sending.key, sending.plan["number"], sending.begun) for sending in sendings}) == 1


def test_a_token_that_is_refused_is_refreshed(
    posting: Posting, platform: Scripted, client: Client, sql: Sql
) -> None:
    fails_at(platform, "a", TokenExpired())
    post = thread(posting, client, {})
    [(begun,)] = sql("SELECT now()")
    posting.work()
    assert outcomes(posting, post) == ["PENDING"]
    assert (due_in(sql, post, begun) or 0) >= 2
    assert (due_in(sql, post) or 0) <= 2
    [(asked,)] = sql(
        "SELECT due_time <= now() FROM social_account_token WHERE project_id = %s", client.project_id
    )
    assert asked


def test_an_account_that_is_gone_ends_them(posting: Posting, platform: Scripted, client: Client) -> None:
    account = client.connect().id
    follow_ups = [{"caption": "a", "delay": timedelta(minutes=5)}, {"caption": "b"}]
    post = posting.post(account, text="post", follow_ups=follow_ups)
    posting.work()
    client("SocialAccountService/DisconnectSocialAccount", social_account_id=account)
    posting.pass_time()
    posting.work()
    assert outcomes(posting, post) == ["FAILED", "CANCELLED"]
    assert posting.target(post).follow_ups[0].error.code == "ACCOUNT_DISCONNECTED"
    assert posting.state(post) == "PUBLISHED"


def test_a_post_that_fails_has_none(posting: Posting, platform: Scripted, client: Client) -> None:
    platform.will("run publish", SURE)
    post = thread(posting, client, {})
    posting.work()
    assert (posting.states(post), outcomes(posting, post)) == (["FAILED"], ["PENDING"])
    assert platform.calls == ["run publish"]


# The places of follow-ups, what became of the first of them, and which one is next.
NEXT = [
    ("t", "", 0),
    ("t", "P", None),
    ("tt", "F", None),
    ("tc", "F", 1),
    ("ttc", "F", 2),
    ("ttt", "P", 1),
    ("ct", "F", None),
    ("cc", "F", 1),
    ("tt", "S", 0),
]


@pytest.mark.parametrize(("places", "states", "index"), NEXT)
def test_which_one_is_next(places: str, states: str, index: int | None) -> None:
    follow_ups = [{"place": 2 if place == "c" else 1} for place in places]
    numbers = {"P": 3, "F": 4, "S": 2}
    decided, found = parts.undecided(follow_ups, [{"state": numbers[state]} for state in states])
    assert found == index
    if found is None:
        assert len(decided) == len(places)
