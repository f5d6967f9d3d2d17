"""Callers of several servers at once, as behind a proxy, who remember what was acknowledged."""

import json
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import grpc

from server.base.identity import utc_now
from tests.clients.test_retries import SERVICE_CONFIG
from tests.kit.servers import eventually, local_channel
from tests.kit.support import Client, import_request, unique

# Each call goes to another of the servers that there are.
_SPREAD = {"loadBalancingConfig": [{"round_robin": {}}]}
RETRYING = [
    ("grpc.service_config", json.dumps({**json.loads(SERVICE_CONFIG), **_SPREAD})),
    ("grpc.enable_retries", 1),
]
BARE = [("grpc.service_config", json.dumps(_SPREAD)), ("grpc.enable_retries", 0)]
# Else a server that comes back would be looked for later and later.
RECONNECT = [(f"grpc.{which}_reconnect_backoff_ms", 200) for which in ("initial", "min", "max")]
CALLERS = 3
PAUSE_SECONDS = 0.02


@dataclass
class Load:
    """`retrying` and `bare` count how calls ended, with the retry policy of docs/clients.md and without;
    `posts` and `profiles` have the ids of what was acknowledged, `scheduled` the captions that are due."""

    addresses: Sequence[str]
    client: Client
    account_ids: Sequence[str]
    retrying: Counter[str] = field(default_factory=Counter)
    bare: Counter[str] = field(default_factory=Counter)
    posts: dict[str, str] = field(default_factory=dict)
    profiles: dict[str, str] = field(default_factory=dict)
    scheduled: set[str] = field(default_factory=set)

    @contextmanager
    def running(self) -> Iterator[None]:
        """They call inside the block; each brings its last call to an end."""
        stop = threading.Event()
        wanted = [(RETRYING, self.retrying)] * CALLERS + [(BARE, self.bare)]
        threads = [threading.Thread(target=self._run, args=(stop, *one)) for one in wanted]
        for thread in threads:
            thread.start()
        try:
            self.goes_on()
            yield
            self.goes_on()
        finally:
            stop.set()
            for thread in threads:
                thread.join(90)

    def goes_on(self) -> None:
        """Returns when some more posts have been acknowledged."""
        before = len(self.posts)
        eventually("calls go on", lambda: len(self.posts) > before + 30, seconds=90)

    def _run(self, stop: threading.Event, options: Any, ends: Counter[str]) -> None:
        target = f"ipv4:{','.join(self.addresses)}"
        with closing(local_channel(target, options=[*RECONNECT, *options])) as channel:
            caller = _Caller(Client(channel, self.client.key), ends)
            for number in range(1_000_000):
                if stop.wait(PAUSE_SECONDS):
                    return
                self._write_and_read(caller, number)

    def _write_and_read(self, caller: "_Caller", number: int) -> None:
        caption, profile = unique("upgrade"), unique("upgrade-profile")
        post = {"caption": caption, "social_account_ids": [self.account_ids[number % len(self.account_ids)]]}
        if number % 3 == 0:
            post["scheduled_time"] = utc_now() + timedelta(seconds=1)
        if answer := caller("SocialPostService/CreateSocialPost", social_post=post, request_id=caption):
            self.posts[caption] = answer.social_post.id
            if number % 3 == 0:
                self.scheduled.add(caption)
            read = caller("SocialPostService/GetSocialPost", social_post_id=answer.social_post.id)
            if read is not None and read.social_post.caption != caption:
                caller.ends["another post"] += 1
        imported = import_request(profile, "owner", refresh_token="", request_id=profile)
        if number % 5 == 0 and (answer := caller("SocialAccountService/ImportSocialAccount", imported)):
            self.profiles[profile] = answer.social_account.id
        caller("SocialPostService/ListSocialPosts", page_size=5)


@dataclass
class _Caller:
    """Counts how its calls end; the answer of one that failed is None."""

    client: Client
    ends: Counter[str]

    def __call__(self, method: str, *request: Any, **fields: Any) -> Any:
        try:
            answer = self.client(method, *request, timeout=60, **fields)
        except grpc.RpcError as error:
            answer, code = None, error.code().name  # type: ignore[attr-defined]
        else:
            code = "OK"
        self.ends[code] += 1
        return answer
