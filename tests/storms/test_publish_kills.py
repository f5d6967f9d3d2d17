"""kill -9 at every moment of a send: no post and no follow-up is accepted twice, and none is lost."""

import json
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from server.base.vault import Vault
from tests.conftest import ENCRYPTION_KEY
from tests.kit.servers import rows
from tests.storms.publish_platform import PublishPlatform, publish_platform, times
from tests.storms.publish_steps import Workers, workers
from tests.storms.publish_worker import settings
from tests.storms.publishing import STATES, left, plant_accounts, plant_posts

VAULT = Vault(ENCRYPTION_KEY)
ROUNDS = int(os.environ.get("STORM_ROUNDS", "50"))
# Of these, so many rounds' posts see further deaths: whoever goes on dies as well, at any moment, so often.
SECOND_ROUNDS, SECOND_DEATHS = 10, 60
# A send that nobody disturbs has fewer moments.
MOST_MOMENTS = 120
CALL_SECONDS = 0.02
FOLLOW_UPS = json.dumps([{"caption": "{id}#1", "media": [], "delay": 0, "place": 1}])
HELD = "lease_time IS NOT NULL"
SUSPEND = f"UPDATE social_post_target SET due_time = 'infinity' WHERE {HELD}"
RUN_OUT = f"UPDATE social_post_target SET due_time = now() WHERE {HELD} AND social_post_id = ANY(%s)"


@pytest.fixture
def platform() -> Iterator[PublishPlatform]:
    with publish_platform() as platform:
        yield platform


@pytest.fixture
def url(new_database: Callable[[], str]) -> str:
    return new_database()


class Rounds:
    """Posts with a picture and a follow-up, each of an account of its own, sent by workers that die."""

    def __init__(self, url: str, platform: PublishPlatform, sent_by: Workers, accounts: list[str]) -> None:
        self._url = url
        self._platform = platform
        self._sent_by = sent_by
        self._accounts = accounts
        self._number = 0
        self._chance = random.Random(3)
        self.killed: dict[str, list[str]] = {}

    def rehearse(self) -> list[str]:
        """The moments of a send at which nobody dies."""
        self._plant()
        passed = self._sent_by.work()
        assert passed is not None
        assert len(passed) < MOST_MOMENTS
        return passed

    def kill_at(self, moment: str) -> None:
        """One round; until all are over it is nobody's turn to go on."""
        post = self._plant()
        seconds = self._chance.uniform(0.0, 2 * CALL_SECONDS)
        if self._sent_by.work(deadly=moment, seconds=seconds) is None:
            self.killed.setdefault(moment, []).append(post)
        rows(self._url, SUSPEND)

    def go_on(self) -> None:
        """The leases run out, and others go on until all is done."""
        again = [post for posts in self.killed.values() for post in posts[:SECOND_ROUNDS]]
        for _ in range(SECOND_DEATHS):
            rows(self._url, RUN_OUT, again)
            self._sent_by.work(countdown=self._chance.randrange(1, MOST_MOMENTS))
        for _ in range(20):
            rows(self._url, RUN_OUT, [post for posts in self.killed.values() for post in posts])
            assert self._sent_by.work() is not None
            if not rows(self._url, f"SELECT 1 FROM social_post_target WHERE {HELD} LIMIT 1"):
                return

    def _plant(self) -> str:
        self._number += 1
        media = json.dumps([{"url": f"{self._platform.url}/picture.png", "alt_text": "a picture"}])
        account = self._accounts[self._number]
        plant_posts(self._url, [account], 1, begin=self._number, first=-1, media=media, follow_ups=FOLLOW_UPS)
        return f"sp_{self._number:09}"


def check(url: str, platform: PublishPlatform) -> dict[str, str]:
    """The state of every target and its follow-up, by the post, after the platform's count was held against
    them."""
    counted = times(platform.accepted())
    assert [text for text, count in counted.items() if count > 1] == []
    select = "SELECT social_post_id, state, follow_ups FROM social_post_target"
    found: dict[str, str] = {}
    for post, state, follow_ups in rows(url, select):
        said = [(post, STATES[state])]
        said += [(f"{post}#{n}", STATES[one["state"]]) for n, one in enumerate(follow_ups, 1)]
        for text, name in said:
            assert name in ("PUBLISHED", "FAILED", "UNCONFIRMED", "CANCELLED"), f"{text} is {name}"
            assert name != "PUBLISHED" or counted[text] == 1, f"{text} is not there"
            assert name not in ("FAILED", "CANCELLED") or counted[text] == 0, f"{text} is {name}"
        found[post] = " + ".join(name for _, name in said)
    return found


def report(moments: list[str], killed: dict[str, list[str]], found: dict[str, str]) -> None:
    """What has become of the posts, by the moment; one line for those that follow each other and ended
    alike."""
    lines: list[tuple[str, str, dict[str, int]]] = []
    for moment in moments:
        ended = dict(Counter(found[post] for post in killed.get(moment, [])))
        if lines and set(lines[-1][2]) == set(ended):
            first, _, before = lines.pop()
            ended = dict(Counter(before) + Counter(ended))
            lines.append((first, moment, ended))
        else:
            lines.append((moment, moment, ended))
    for first, last, ended in lines:
        print(f"  {first}{f' … {last}' if last != first else ''}: {ended}")


def test_kill_at_every_moment_of_a_send(url: str, platform: PublishPlatform) -> None:
    platform.behaves(seconds=CALL_SECONDS)
    accounts = plant_accounts(url, VAULT, 2 + MOST_MOMENTS * ROUNDS)
    with workers(settings(url, platform.url, ENCRYPTION_KEY)) as sent_by:
        rounds = Rounds(url, platform, sent_by, accounts)
        moments = rounds.rehearse()
        for moment in moments:
            for _ in range(ROUNDS):
                rounds.kill_at(moment)
        rounds.go_on()
    assert left(url) == 0
    found = check(url, platform)
    deaths = sum(map(len, rounds.killed.values()))
    print(
        f"\n{len(moments)} moments of a send, {ROUNDS} rounds each, {deaths:,} deaths; none twice, none lost"
    )
    report(moments, rounds.killed, found)
    assert all(len(rounds.killed[moment]) == ROUNDS for moment in moments)
    # Until the plan is made nothing can have left, so nobody has to be asked.
    planned = next(moment for moment in moments if moment.startswith("before plan 0/"))
    for moment in moments[: moments.index(planned)]:
        posts = rounds.killed[moment][SECOND_ROUNDS:]
        assert {found[post] for post in posts} <= {"PUBLISHED + PUBLISHED"}, moment
