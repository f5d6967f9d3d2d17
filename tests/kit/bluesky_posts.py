"""Publishing to Bluesky without the engine: accounts that were connected, and parts that are sent step by
step."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from server.platforms import Asked, Returned, Tokens
from server.platforms.atproto_client import AtprotoClient
from server.platforms.bluesky import Bluesky, load
from server.publish.bluesky import BlueskyPublisher
from server.publish.publisher import MediaItem, Part, Sender, Sending, Step, Values
from tests.kit.bluesky import BlueskyAccount, Pds
from tests.kit.support import unique

REDIRECT_URI = "http://127.0.0.1:8080/callback/bluesky"
SECONDS = 30


def until() -> float:
    """For one call."""
    return time.monotonic() + SECONDS


def platform(pds: Pds) -> Bluesky:
    """As a server on this machine has it."""
    return load(AtprotoClient("http://127.0.0.1:8080"), pds.plc_url, pds.names.address, allow_private=True)


def by_app_password(pds: Pds, account: BlueskyAccount) -> Tokens:
    """Tokens of a session."""
    password = pds.new_app_password(account)
    return platform(pds).sign_in(account.did, password, "", datetime.now(UTC), until()).tokens


def by_oauth(pds: Pds, account: BlueskyAccount, *scopes: str) -> Tokens:
    """Tokens with a key, and these permissions or our usual ones."""
    way, verifier = platform(pds), secrets.token_urlsafe(43)
    asked = Asked(REDIRECT_URI, unique("state"), verifier, scopes, {"handle": account.did})
    begun = way.begin(way.own_app, asked, until())
    callback = dict(pair.split("=", 1) for pair in pds.agree(begun.url, account).partition("?")[2].split("&"))
    returned = Returned(callback["code"], begun.flow["issuer"], REDIRECT_URI, verifier, begun.flow)
    return way.exchange(way.own_app, returned, datetime.now(UTC), until())


@dataclass
class Target:
    """A post on its way to one account: what the engine would keep of it."""

    publisher: BlueskyPublisher
    tokens: Tokens
    options: Mapping[str, Any] = field(default_factory=dict)
    key: str = field(default_factory=lambda: unique("target"))
    # By index of the part, and by name of the step.
    done: dict[int, dict[str, Values]] = field(default_factory=dict)
    published: dict[int, Values] = field(default_factory=dict)
    plans: dict[int, Values] = field(default_factory=dict)
    pauses: dict[str, float] = field(default_factory=dict)

    def sending(self, part: Part, index: int = 0, plan: Values | None = None) -> Sending:
        """One step's own."""
        did = self.tokens.context.get("did", "")
        sender = Sender("sa_1", did, "somebody", self.tokens, None, "bluesky")
        done = self.done.setdefault(index, {})
        return Sending(
            f"{self.key}-{index}", sender, part, index, self.options, done, self.published,
            datetime.now(UTC), until(), plan or {}, pauses=self.pauses,
        )  # fmt: skip

    def prepare(self, part: Part, index: int = 0) -> None:
        """Takes all steps but the one that publishes, and plans that."""
        for step in self.publisher.steps(self.sending(part, index)):
            if step.publishes:
                self.plans[index] = self.publisher.plan(step, self.sending(part, index))
            elif step.name not in self.done[index]:
                self.done[index][step.name] = self.publisher.run(step, self.sending(part, index))

    def publish(self, part: Part, index: int = 0) -> Values:
        """Takes the step that publishes."""
        said = self.publisher.run(Step("publish", True), self.sending(part, index, self.plans[index]))
        self.published[index] = said
        return said

    def settle(self, part: Part, index: int = 0) -> Values:
        """Asks what became of it."""
        return self.publisher.settle(Step("publish", True), self.sending(part, index, self.plans[index]))

    def send(self, part: Part, index: int = 0) -> Values:
        """All of it."""
        self.prepare(part, index)
        return self.publish(part, index)


def text(caption: str, *media: tuple[str, str], replies_to: int | None = None) -> Part:
    """A part: its media are addresses and alt texts."""
    return Part(caption, tuple(MediaItem(*medium) for medium in media), replies_to)


def record(pds: Pds, published: Values) -> Any:
    """What is at the server under a post's address."""
    did, collection, rkey = published["uri"].removeprefix("at://").split("/")
    which = {"repo": did, "collection": collection, "rkey": rkey}
    return pds.call("com.atproto.repo.getRecord", params=which)


def records(pds: Pds, account: BlueskyAccount) -> list[Any]:
    """All posts of an account."""
    which = {"repo": account.did, "collection": "app.bsky.feed.post"}
    return list(pds.call("com.atproto.repo.listRecords", params=which)["records"])
