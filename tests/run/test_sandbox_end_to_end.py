"""From the connect page to the timeline, and what a target says after each behaviour."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from generated.hitchpost.v1 import social_post_service_pb2 as pb
from server.sandbox.behaviours import NAMED
from tests.kit.publishing import target_state
from tests.kit.sandbox import SandboxApp
from tests.kit.servers import Server, eventually, local_channel, serving
from tests.kit.support import Client, unique
from tools.person import Person

SOON = timedelta(seconds=1)


@dataclass
class Product:
    """A server, a client of it, and its sandbox."""

    server: Server
    client: Client
    sandbox: SandboxApp

    def connected(self, handle: str) -> str:
        """The id of an account that a person has connected."""
        started = self.client(
            "SocialAccountService/CreateAuthUrl", platform="PLATFORM_SANDBOX", external_id=handle
        )
        with Person(handle) as person:
            assert person.open(person.agree(started.url)).status_code == 200
        [account] = self.client(
            "SocialAccountService/ListSocialAccounts", external_ids=[handle]
        ).social_accounts
        return str(account.id)

    def scheduled(self, account: str, **post: Any) -> str:
        """The id of a post that is due in a moment."""
        time = datetime.now(UTC) + SOON
        return str(self.client.draft(account, scheduled_time=time, **post).id)

    def target(self, post_id: str) -> pb.SocialPostTarget:
        """The post's only target."""
        post = self.client("SocialPostService/GetSocialPost", social_post_id=post_id).social_post
        [target] = post.targets
        return target

    def ended(self, post_id: str, *states: str) -> pb.SocialPostTarget:
        """The target, once it is in one of these states."""

        def there() -> pb.SocialPostTarget | None:
            target = self.target(post_id)
            return target if target_state(target) in states else None

        return eventually(f"{post_id} is {states}", there)

    def picture(self, alt_text: str) -> dict[str, str]:
        return {"url": f"{self.server.web_url}/sandbox/pictures/sunrise.png", "alt_text": alt_text}


@pytest.fixture(scope="module")
def product(run_dir: Path, new_database: Callable[[], str]) -> Iterator[Product]:
    with (
        serving(run_dir, new_database(), dev_mode="true", data_dir=str(run_dir)) as server,
        local_channel(server.address) as channel,
    ):
        yield Product(server, server.new_client(channel), SandboxApp(server.web_url))


@pytest.fixture(autouse=True)
def _behaves_well_again(product: Product) -> Iterator[None]:
    yield
    product.sandbox.call("DELETE", "behaviour")


def test_a_scheduled_post_with_picture_and_comment_is_on_the_timeline(product: Product) -> None:
    handle = unique("mia")
    account = product.connected(handle)
    post = product.scheduled(
        account,
        caption="Good morning",
        media=[product.picture("A sunrise")],
        follow_ups=[{"caption": "and good night", "media": [product.picture("The same")]}],
    )
    target = product.ended(post, "PUBLISHED")
    eventually(
        "the comment is there", lambda: target_state(product.target(post).follow_ups[0]) == "PUBLISHED"
    )
    [seen] = product.sandbox.look(handle)
    [comment] = seen["replies"]
    assert (target.platform_post_id, target.platform_post_url) == (seen["id"], seen["url"])
    assert (seen["text"], comment["text"]) == ("Good morning", "and good night")
    assert [medium["alt_text"] for medium in seen["media"] + comment["media"]] == ["A sunrise", "The same"]
    follow_up = product.target(post).follow_ups[0]
    assert (follow_up.platform_post_id, follow_up.platform_post_url) == (comment["id"], comment["url"])


def test_an_unlisted_post_has_its_address_alone(product: Product) -> None:
    handle = unique("mia")
    options = {"sandbox": {"visibility": "SANDBOX_VISIBILITY_UNLISTED"}}
    post = product.scheduled(product.connected(handle), platform_options=options)
    target = product.ended(post, "PUBLISHED")
    assert product.sandbox.look(handle) == []
    assert product.sandbox.call("GET", f"posts/{target.platform_post_id}").json()["text"] == "hello"


# Of a post with a picture, while the sandbox goes on like that: the target's state, its error, and whether
# the post is there. PENDING is tried again.
@pytest.mark.parametrize(
    ("behaviour", "state", "error", "is_there"),
    [
        ("slow", "PUBLISHED", None, True),
        ("network", "PENDING", ("NETWORK", "RemoteProtocolError", True), False),
        ("away", "PENDING", ("PLATFORM", "away", True), False),
        ("rate_limit", "PENDING", ("RATE_LIMIT", "rate_limited", True), False),
        ("token_expired", "FAILED", ("AUTH", None, False), False),
        ("auth", "FAILED", ("AUTH", "login_required", False), False),
        ("permission", "FAILED", ("PERMISSION", "forbidden", False), False),
        ("media", "FAILED", ("MEDIA", "media_refused", False), False),
        ("content", "FAILED", ("CONTENT", "text_refused", False), False),
        ("duplicate", "FAILED", ("DUPLICATE", "duplicate", False), False),
        ("platform", "PENDING", ("PLATFORM", "failed", True), False),
        ("drop", "UNCONFIRMED", ("NETWORK", None, False), True),
        ("gateway", "UNCONFIRMED", ("PLATFORM", None, False), True),
    ],
)
def test_what_a_target_says_after(
    product: Product,
    behaviour: str,
    state: str,
    error: tuple[str, str | None, bool] | None,
    is_there: bool,
) -> None:
    handle = unique("mia")
    account = product.connected(handle)
    product.sandbox.tell(behaviour, **({"delay": 0.2} if behaviour == "slow" else {}))
    post = product.scheduled(account, media=[product.picture("A sunrise")])
    if state == "PENDING":
        eventually("it has failed once", lambda: product.target(post).HasField("error"))
    target = product.ended(post, state)
    assert target.HasField("error") is (error is not None)
    if error is not None:
        category, code, retryable = error
        assert pb.PublishErrorCategory.Name(target.error.category) == f"PUBLISH_ERROR_CATEGORY_{category}"
        assert code in (None, target.error.code)
        assert target.error.retryable is retryable
        assert target.HasField("due_time") is (state == "PENDING")
    assert len(product.sandbox.look(handle)) == int(is_there)


def test_every_behaviour_is_tried_above() -> None:
    [table] = [mark for mark in test_what_a_target_says_after.pytestmark if mark.name == "parametrize"]
    assert [row[0] for row in table.args[1]] == list(NAMED)


@pytest.mark.parametrize("behaviour", ["token_expired", "platform", "rate_limit", "network"])
def test_what_passes_is_published_once_it_has(product: Product, behaviour: str) -> None:
    handle = unique("mia")
    account = product.connected(handle)
    product.sandbox.tell(behaviour, next=1, seconds=3 if behaviour == "rate_limit" else None)
    # With a picture, since of a post alone that got no answer nobody knows.
    post = product.scheduled(account, media=[product.picture("A sunrise")])
    target = product.ended(post, "PUBLISHED", "FAILED", "UNCONFIRMED")
    assert (target_state(target), target.HasField("error")) == ("PUBLISHED", False)
    assert len(product.sandbox.look(handle)) == 1


def test_a_follow_up_that_fails_leaves_the_post_published(product: Product) -> None:
    handle = unique("mia")
    account = product.connected(handle)
    follow_ups = [{"caption": "a"}, {"caption": "b", "place": "FOLLOW_UP_PLACE_THREAD"}]
    follow_ups[0]["delay"] = {"seconds": 3}  # type: ignore[assignment]
    post = product.scheduled(account, follow_ups=follow_ups)
    product.ended(post, "PUBLISHED")
    product.sandbox.tell("content")

    def states() -> list[str]:
        return [target_state(one) for one in product.target(post).follow_ups]

    eventually("the follow-ups have ended", lambda: "PENDING" not in states())
    assert states() == ["FAILED", "CANCELLED"]
    assert target_state(product.target(post)) == "PUBLISHED"
    assert [seen["replies"] for seen in product.sandbox.look(handle)] == [[]]
