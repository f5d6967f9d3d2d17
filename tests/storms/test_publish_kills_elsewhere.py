"""kill -9 at every moment of a send, on platforms that can be asked afterwards: nothing is there twice, and
whoever goes on finds out what is there, so that nobody has to look."""

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

from tests.conftest import Running
from tests.kit.bluesky import Pds
from tests.kit.mastodon import Instance
from tests.kit.media import png, site
from tests.kit.publishing import Posting, Sql, target_state
from tests.kit.support import Client, unique
from tests.storms.publish_steps import Workers, workers

ROUNDS = int(os.environ.get("STORM_ROUNDS", "50"))
# What a call takes, about.
CALL_SECONDS = 0.02
# Whoever goes on may have to wait for the platform, each time for less than these.
LOOKS, MINUTES = 12, 3
ENDED = ("PUBLISHED", "FAILED", "UNCONFIRMED", "CANCELLED")


class Place(NamedTuple):
    """An account of a platform, and the texts of the posts that are there."""

    account: str
    texts: Callable[[], list[str]]


@contextmanager
def mastodon(client: Client, request: pytest.FixtureRequest) -> Iterator[Place]:
    """An account at the stand-in for a Mastodon server."""
    with Instance().serving() as instance:
        options = {"mastodon": {"instance": instance.name}}
        begun = client(
            "SocialAccountService/CreateAuthUrl", platform="PLATFORM_MASTODON", platform_options=options
        )
        answer = client("SocialAccountService/CompleteAuth", callback_url=instance.agree(begun.url))
        [account] = answer.connected_accounts
        yield Place(
            account.id,
            lambda: [
                one["content"].removeprefix("<p>").removesuffix("</p>") for one in instance.statuses.posted
            ],
        )


@contextmanager
def bluesky(client: Client, request: pytest.FixtureRequest) -> Iterator[Place]:
    """An account at Bluesky's own server."""
    pds: Pds = request.getfixturevalue("pds")
    person = pds.new_account()
    password = pds.new_app_password(person)
    answer = client("SocialAccountService/ConnectWithAppPassword", handle=person.did, app_password=password)

    def texts() -> list[str]:
        which: dict[str, Any] = {"repo": person.did, "collection": "app.bsky.feed.post", "limit": 100}
        found: list[str] = []
        for _ in range(1000):
            page = pds.call("com.atproto.repo.listRecords", params=which)
            found += [one["value"]["text"] for one in page["records"]]
            if not page.get("cursor"):
                break
            which["cursor"] = page["cursor"]
        return found

    yield Place(answer.social_account.id, texts)


class Rounds:
    """Posts with a picture and a follow-up, one after the other, sent by workers that die."""

    def __init__(self, posting: Posting, account: str, sent_by: Workers, picture: str) -> None:
        self._posting = posting
        self._account = account
        self._sent_by = sent_by
        self._media = [{"url": picture, "alt_text": "a picture"}]
        self._chance = random.Random(3)
        # By moment: the text of each post whose worker died there, and what has become of it.
        self.killed: dict[str, dict[str, list[str]]] = {}

    def rehearse(self) -> list[str]:
        """The moments of a send at which nobody dies."""
        self._plant(unique("rehearsed"))
        passed = self._sent_by.work()
        assert passed is not None
        return passed

    def kill_at(self, moment: str) -> None:
        """One round: somebody dies, and others go on until all is through."""
        text = unique("post")
        post = self._plant(text)
        died = self._sent_by.work(deadly=moment, seconds=self._chance.uniform(0, 2 * CALL_SECONDS)) is None
        for _ in range(LOOKS):
            states = self._states(post)
            if all(state in ENDED for state in states):
                break
            self._posting.age(post, minutes=MINUTES)
            self._posting.pass_time()
            assert self._sent_by.work() is not None
        if died:
            self.killed.setdefault(moment, {})[text] = states

    def _plant(self, text: str) -> str:
        more = [{"caption": f"{text} more"}]
        return self._posting.post(self._account, text=text, media=self._media, follow_ups=more)

    def _states(self, post: str) -> list[str]:
        target = self._posting.target(post)
        # Those that nobody has begun are not shown.
        follow_ups = [target_state(one) for one in target.follow_ups] or ["PENDING"]
        return [target_state(target), *follow_ups]


@pytest.mark.parametrize("platform", [mastodon, bluesky], ids=["mastodon", "bluesky"])
def test_kill_at_every_moment_of_a_send(
    platform: Callable[..., Any],
    client: Client, sql: Sql, running: Running, request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    with (
        platform(client, request) as place,
        site() as files,
        workers(running.settings) as sent_by,
    ):
        posting = Posting(client, sql, running.app.sender)
        rounds = Rounds(posting, place.account, sent_by, files.put("/picture.png", png(4, 3)))
        moments = rounds.rehearse()
        for moment in moments:
            for _ in range(ROUNDS):
                rounds.kill_at(moment)
        there = Counter(place.texts())
    deaths = sum(map(len, rounds.killed.values()))
    ended = Counter(" + ".join(states) for killed in rounds.killed.values() for states in killed.values())
    twice = [text for text, count in there.items() if count > 1]
    print(
        f"\n{platform.__name__}: {len(moments)} moments of a send, {ROUNDS} rounds each: {deaths:,} deaths, "
        f"{dict(ended)}, {len(twice)} twice"
    )
    assert twice == []
    for killed in rounds.killed.values():
        for text, states in killed.items():
            assert [there[text], there[f"{text} more"]] == [int(state == "PUBLISHED") for state in states], (
                text
            )
    assert set(ended) == {"PUBLISHED + PUBLISHED"}
    certain = [moment for moment in moments if not moment.startswith("in ")]
    assert all(len(rounds.killed[moment]) == ROUNDS for moment in certain)
