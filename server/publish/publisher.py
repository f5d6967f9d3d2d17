"""What sending a post to a platform is made of, and what a platform has to know for it.

A post is sent part by part: the post itself, then its follow-ups. A part is sent in steps, each with a name,
whose results are kept as they come, so that whoever goes on after a crash repeats nothing that has happened.
Steps that publish are different: that one is about to be taken is committed before its first byte leaves, and
after a crash it is settled, never just repeated.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from generated.hitchpost.v1 import social_post_service_pb2 as pb
from server.platforms import ClientApp, Tokens

# Values of JSON, by name: what a step has brought, or what was chosen before it.
Values = Mapping[str, Any]


class PublishFailed(Exception):
    """It was certainly not published. `category` is a PublishErrorCategory, `code` the platform's or one of
    ours, `message` what to do: none of them holds a secret.

    `retryable`: the same may succeed later; not before `retry_after` seconds, where the platform says so.
    `scope`: what the platform's limit is one of, see Sending.scopes; "" if of nothing but this target.
    """

    def __init__(
        self,
        category: int,
        code: str,
        message: str,
        *,
        retryable: bool = False,
        retry_after: float | None = None,
        scope: str = "",
    ) -> None:
        super().__init__(f"{pb.PublishErrorCategory.Name(category)} {code}")
        self.category = category
        self.code = code
        self.message = message
        self.retryable = retryable
        self.retry_after = retry_after
        self.scope = scope


class TokenExpired(Exception):
    """The platform says that the access token has ended; with a new one the same may succeed. Nothing was
    published."""


class Uncertain(Exception):
    """The platform may have published it, and may not have; the text is an error's code, without secrets."""


class NotYet(Exception):
    """The platform is still at work on what it was given: the step is to be run again in so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"{seconds:g} s")
        self.seconds = seconds


class NotPublished(Exception):
    """By `settle`: it is certainly not there and can't come any more, or running the step again can't publish
    it a second time. So it is run again."""


@dataclass(frozen=True, slots=True)
class MediaItem:
    """An image or a video, where it is, and what it shows ("" if nobody says)."""

    url: str
    alt_text: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """The post, or one of its follow-ups: `replies_to` is the index of the part that it replies to."""

    text: str
    media: tuple[MediaItem, ...] = ()
    replies_to: int | None = None


@dataclass(frozen=True, slots=True)
class Sender:
    """The account that publishes: what the platform calls it, its tokens, and the app they belong to.

    `connection` is the row of platforms.toml by which the tokens were had; None for imported ones.
    `limits` is what the platform said of this account's posts, see platforms/limits.py.
    """

    account_id: str
    platform_user_id: str
    username: str
    tokens: Tokens = field(repr=False)
    app: ClientApp | None
    connection: str | None = None
    limits: Values = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do. Together the results of a part's steps have `id` and `url` of what was published."""

    name: str
    publishes: bool = False


@dataclass(slots=True)
class Sending:
    """A part on its way to one account.

    `key` names this part of this target for good, in letters, digits and hyphens: the same after a crash,
    another one once RetrySocialPost has begun anew. `options` are the platform's own of PostPlatformOptions,
    by the names of the contract. `done` are the results of the part's steps so far, by name; `published` the
    results of parts before, merged, by index. `plan` is what `Publisher.plan` gave for a step that publishes,
    `begun` when it was first begun. A call ends at `until` (time.monotonic()).

    The publisher may add to `pauses`: after this step the platform takes no more calls for so many seconds,
    by scope: "account", "app" or "server"."""

    key: str
    sender: Sender
    part: Part
    index: int
    options: Values
    done: Values
    published: Mapping[int, Values]
    now: datetime
    until: float
    plan: Values = field(default_factory=dict)
    begun: datetime | None = None
    pauses: dict[str, float] = field(default_factory=dict)


class Publisher(ABC):
    """How a platform is told to publish. Safe to use from many threads.

    Each method that calls the platform raises PublishFailed; `run` of a step that publishes Uncertain for
    whatever leaves it open whether it was. The engine (sender.py) does the rest: order, states, retries,
    limits."""

    platform: str

    @abstractmethod
    def steps(self, sending: Sending) -> Sequence[Step]:
        """What is to be done for a part, in order. Calls nothing, and says the same each time."""

    def plan(self, step: Step, sending: Sending) -> Values:  # noqa: ARG002
        """What is chosen for a step that publishes before it is begun, to be the same whenever it is run.
        Calls nothing."""
        return {}

    @abstractmethod
    def run(self, step: Step, sending: Sending) -> Values:
        """Does it, and says what it has brought: JSON, kept in the clear. Raises NotYet and TokenExpired,
        too.
        """

    def settle(self, step: Step, sending: Sending) -> Values:  # noqa: ARG002
        """What a step that publishes has brought, of which nobody knows how it ended.

        Raises NotPublished when it may be run again, and Uncertain when nobody can be asked: then somebody
        has to look."""
        raise Uncertain("UNANSWERED")

    def limits(self, sender: Sender, until: float) -> Values | None:  # noqa: ARG002
        """What the platform says of this account's posts just now, by the names of platforms/limits.py; None
        when its documentation is all there is. Asked at most once an hour for each account."""
        return None
