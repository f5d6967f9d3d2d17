"""A post that is due is sent, in steps, and its owner sees what became of it."""

from datetime import UTC, datetime, timedelta

from server.publish.publisher import Step
from tests.kit.publishing import Posting, Scripted
from tests.kit.support import Client


def test_what_is_due_is_published(posting: Posting, platform: Scripted, client: Client) -> None:
    account = client.connect().id
    post = posting.post(account, text="good morning")
    before = datetime.now(UTC)
    assert posting.work() == 1
    assert platform.texts == ["good morning"]
    shown = posting.shown(post)
    [target] = shown.targets
    assert (posting.state(post), posting.states(post)) == ("PUBLISHED", ["PUBLISHED"])
    assert (target.platform_post_id, target.platform_post_url) == ("post-1", "https://sandbox.example/1")
    assert target.attempt_count == 1
    assert not target.HasField("due_time")
    assert not target.HasField("error")
    assert before - timedelta(seconds=5) < target.publish_time.ToDatetime(UTC)
    assert target.send_time.ToDatetime() <= target.publish_time.ToDatetime()
    assert posting.work() == 0


def test_it_is_sending_before_the_first_byte_leaves(
    posting: Posting, platform: Scripted, client: Client
) -> None:
    """Seen from inside of the call: committed, with what was planned for it."""
    seen = []

    def look(sending: object) -> dict[str, str]:
        [(state, steps)] = posting.sql(
            "SELECT state, steps FROM social_post_target WHERE social_post_id = %s", post
        )
        seen.append((state, steps["0/publish"]["plan"], posting.state(post)))
        return {"id": "1"}

    platform.will("run publish", look)
    post = posting.post(client.connect().id)
    posting.work()
    assert seen == [(2, {"number": 1}, "PUBLISHING")]


def test_steps_are_taken_in_order_and_their_results_given_on(
    posting: Posting, platform: Scripted, client: Client
) -> None:
    platform.all_steps = [Step("upload"), Step("container"), Step("publish", publishes=True)]
    post = posting.post(client.connect().id)
    posting.work()
    assert platform.calls == ["run upload", "run container", "run publish"]
    last = platform.asked[-1][1]
    assert set(last.done) == {"upload", "container"}
    assert last.begun is not None
    assert posting.state(post) == "PUBLISHED"


def test_the_publisher_is_given_the_post(posting: Posting, platform: Scripted, client: Client) -> None:
    """As it is for this account, with its tokens and options."""
    account = client.connect("42", external_id="alice", access_token="secret-of-the-test-kept")
    post = posting.post(
        account.id,
        text="all",
        media=[{"url": "https://a.example/1.png", "alt_text": "one"}],
        account_overrides=[{"social_account_id": account.id, "caption": "theirs"}],
        platform_options={"sandbox": {"visibility": "SANDBOX_VISIBILITY_UNLISTED"}},
    )
    posting.work()
    [(_, sending)] = platform.asked
    assert sending.part.text == "theirs"
    assert [(item.url, item.alt_text) for item in sending.part.media] == [("https://a.example/1.png", "one")]
    assert sending.options == {"visibility": "SANDBOX_VISIBILITY_UNLISTED"}
    assert (sending.sender.account_id, sending.sender.platform_user_id) == (account.id, "42")
    assert sending.sender.tokens.access_token == "secret-of-the-test-kept"
    assert sending.key == f"{post}-{account.id}-1".replace("_", "-")
    assert sending.plan == {"number": 1}
