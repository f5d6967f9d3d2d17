"""CancelSocialPost races with the send: either the post was sent and says so, or it was not. The platform's
count, the target's state and the call's answer agree, each time."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.kit.servers import Server, eventually, local_channel, serving
from tests.kit.support import Client, failure, unique
from tests.storms.publish_platform import PublishPlatform, publish_platform, times
from tests.storms.publishing import STATES

RACES, RACERS = 1000, 8
# What a cancel waits at first; then longer after each that wins, and less after each that comes too late.
SECONDS, CHANGE = 0.02, 1.2
NOT_CANCELLABLE = "SOCIAL_POST_NOT_CANCELLABLE"


@pytest.fixture
def platform() -> Iterator[PublishPlatform]:
    with publish_platform() as platform:
        yield platform


@pytest.fixture
def server(run_dir: Path, new_database: Callable[[], str], platform: PublishPlatform) -> Iterator[Server]:
    # One worker process with eight threads: each account's sends are a queue, and each racer has its own.
    settings = {"public_url": platform.url, "worker_threads": "8", "allow_private_addresses": "true"}
    with serving(run_dir, new_database(), **settings) as server:
        yield server


class Racer:
    """Publishes posts of an account, and cancels each a moment later."""

    def __init__(self, client: Client, account_id: str) -> None:
        self._client = client
        self._account_id = account_id
        self._wait = SECONDS
        # By caption: what the call has answered, and what the target is in the end.
        self.answers: dict[str, str] = {}
        self.states: dict[str, str] = {}

    def race(self, races: int) -> None:
        """One after the other."""
        for _ in range(races):
            caption = unique("race")
            post = self._client.draft(self._account_id, caption=caption)
            self._client("SocialPostService/PublishSocialPost", social_post_id=post.id)
            time.sleep(self._wait)
            won = self._cancel(caption, post.id)
            self._wait = self._wait * CHANGE if won else self._wait / CHANGE
            self.states[caption] = eventually("it is over", lambda id_=post.id: self._ended(id_))

    def _cancel(self, caption: str, post_id: str) -> bool:
        try:
            answer = self._client("SocialPostService/CancelSocialPost", social_post_id=post_id)
        except grpc.RpcError as error:
            self.answers[caption] = failure(error).reason
            return False
        [target] = answer.social_post.targets
        self.answers[caption] = STATES[target.state]
        return self.answers[caption] == "CANCELLED"

    def _ended(self, post_id: str) -> str | None:
        post = self._client("SocialPostService/GetSocialPost", social_post_id=post_id).social_post
        state = STATES[post.targets[0].state]
        return None if state in ("PENDING", "SENDING") else state


def test_a_cancel_that_races_with_the_send_says_who_won(server: Server, platform: PublishPlatform) -> None:
    platform.behaves(seconds=0.005)
    with local_channel(server.address) as channel:
        client = server.new_client(channel)
        racers = [Racer(client, client.connect(refresh_token="").id) for _ in range(RACERS)]
        with ThreadPoolExecutor(RACERS) as pool:
            list(pool.map(lambda racer: racer.race(RACES // RACERS), racers))
    counted = times(platform.accepted())
    outcomes: Counter[tuple[Any, ...]] = Counter()
    for racer in racers:
        for caption, answer in racer.answers.items():
            outcomes[answer, racer.states[caption], counted[caption]] += 1
    said = "; ".join(
        f"{number} answered {answer}, then {state}, accepted {accepted} times"
        for (answer, state, accepted), number in outcomes.most_common()
    )
    print(f"\n{sum(outcomes.values()):,} cancels that race with their send: {said}")
    assert sum(outcomes.values()) == RACES
    sent = [(answer, "PUBLISHED", 1) for answer in (NOT_CANCELLABLE, "SENDING", "PUBLISHED")]
    assert set(outcomes) <= {("CANCELLED", "CANCELLED", 0), *sent}
    assert outcomes["CANCELLED", "CANCELLED", 0] > RACES / 10
    assert sum(outcomes[one] for one in sent) > RACES / 10
