"""Writers that repeat a request until it is acknowledged, and what of it the database has in the end."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc

from tests.kit.servers import Server, local_channel, rows
from tests.kit.support import Client, unique

THREADS = 8
# How often a request is repeated, and how long a writer waits before it does.
ATTEMPTS = 600
PAUSE_SECONDS = 0.1
# Else a channel would wait longer and longer while nobody listens, and miss the calm.
RECONNECT = [(f"grpc.{which}_reconnect_backoff_ms", 200) for which in ("initial", "min", "max")]


@dataclass
class Writers:
    """Threads that create posts, each on a channel of its own; the caption is the request_id.

    `codes` counts every attempt, `acknowledged` has the post's id by caption, `given_up` those that never
    succeeded. `options` are further ones of the channels.
    """

    server: Server
    client: Client
    account_id: str
    options: Sequence[tuple[str, int | str]] = ()
    codes: Counter[str] = field(default_factory=Counter)
    acknowledged: dict[str, str] = field(default_factory=dict)
    given_up: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """They write inside the block; each brings its last request to an end."""
        threads = [threading.Thread(target=self._run) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stop.set()
            for thread in threads:
                thread.join(90)

    def _run(self) -> None:
        with closing(local_channel(self.server.address, options=[*RECONNECT, *self.options])) as channel:
            client = Client(channel, self.client.key)
            for _ in range(1_000_000):
                if self.stop.is_set():
                    return
                self._write(client, unique("written"))

    def _write(self, client: Client, name: str) -> None:
        for _ in range(ATTEMPTS):
            try:
                answer = self._create(client, name)
            except grpc.RpcError as error:
                self.codes[error.code().name] += 1  # type: ignore[attr-defined]
                time.sleep(PAUSE_SECONDS)
                continue
            self.codes["OK"] += 1
            self.acknowledged[name] = answer.social_post.id
            return
        self.given_up.append(name)

    def _create(self, client: Client, name: str) -> Any:
        post = {"caption": name, "social_account_ids": [self.account_id]}
        return client("SocialPostService/CreateSocialPost", social_post=post, request_id=name, timeout=20)

    def stored(self) -> "Stored":
        """Compares what was acknowledged with what the database has."""
        select = "SELECT caption, id FROM social_post WHERE project_id = %s"
        found = rows(self.server.settings["database_url"], select, self.client.project_id)
        times = Counter(caption for caption, _ in found)
        ids = set(found)
        lost = [name for name, id_ in self.acknowledged.items() if (name, id_) not in ids]
        twice = [name for name, count in times.items() if count > 1]
        return Stored(len(self.acknowledged), len(lost), len(twice), len(self.given_up), dict(self.codes))


@dataclass(frozen=True)
class Stored:
    """How many requests were acknowledged, lost, stored twice and given up; the codes of all attempts."""

    acknowledged: int
    lost: int
    twice: int
    given_up: int
    codes: dict[str, int]

    def __str__(self) -> str:
        codes = ", ".join(f"{code} {count:,}" for code, count in sorted(self.codes.items()))
        return (
            f"{self.acknowledged:,} acknowledged, {self.lost} lost, {self.twice} twice, "
            f"{self.given_up} given up; attempts: {codes}"
        )

    @property
    def is_right(self) -> bool:
        """Everything that was acknowledged is there once."""
        return not (self.lost or self.twice or self.given_up)
