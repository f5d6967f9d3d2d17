"""A part of a target in a worker's hands: what is known of it, and what its steps have brought."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from server.accounts.publishing import Usable
from server.posts.states import PENDING
from server.publish import parts, rate_limits
from server.publish.publisher import Publisher, Sender, Sending, Step
from server.publish.records import Stored, Target
from server.storage.due_work import Leased

# What was uploaded is not kept for ever where it is.
KEPT = timedelta(hours=1)


@dataclass(slots=True)
class Attempt:
    """Part `index` of a target.

    `steps` are as stored: by "<part>/<step>" a step's `result` and the time `at` which it came, and for a
    step that publishes its `plan`, since when it was `begun`, and the `attempt` that did; by "<part>" how it
    is being tried: `since` when, the `count` of tries, the tokens that were `refused`. `outcomes` are of the
    follow-ups.
    """

    leased: Leased[Target]
    stored: Stored
    index: int
    outcomes: list[parts.Outcome]
    # Known once it is clear that the account can publish.
    account: Usable = field(init=False)
    publisher: Publisher = field(init=False)
    limits: Mapping[str, Any] | None = None
    # For so many seconds the platform takes no more calls.
    pause: float = 0.0
    steps: dict[str, Any] = field(init=False)
    loaded: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.steps = dict(self.stored.steps)

    @property
    def fresh(self) -> bool:
        """Nobody has begun it, or it has certainly failed since."""
        if self.index == 0:
            return self.stored.state == PENDING
        return bool(self.outcomes[self.index - 1]["state"] == PENDING)

    @property
    def now(self) -> datetime:
        """The database's time."""
        return self.stored.now + timedelta(seconds=time.monotonic() - self.loaded)

    @property
    def trying(self) -> dict[str, Any]:
        """How this part is being tried; empty before the first time.

        Whoever edits the post, schedules it anew, or has it retried lets it be tried from the beginning."""
        tried: dict[str, Any] = self.steps.get(str(self.index), {})
        same = self.index > 0 or tried.get("of") == self._of()
        return tried if same else {}

    @property
    def since(self) -> timedelta:
        """For how long it has been tried."""
        since = self.trying.get("since")
        return self.now - datetime.fromisoformat(since) if since else timedelta(0)

    @property
    def refused(self) -> list[str]:
        """The tokens that the platform has refused in this try."""
        return list(self.trying.get("refused", ()))

    @property
    def done(self) -> dict[str, Any]:
        """The results of this part's steps so far."""
        return self._results(self.index)

    @property
    def open_step(self) -> dict[str, Any] | None:
        """A step that publishes and was begun, of which nobody knows how it ended."""
        records = [self.steps[name] for name in self.steps if name.startswith(f"{self.index}/")]
        return next((one for one in records if "begun" in one and "result" not in one), None)

    def begin(self) -> None:
        """It is tried once more, with what is left of the tries before."""
        tried, now = self.trying, self.now
        kept = self.steps if tried else self._without(lambda _record: True)
        self.steps = {
            name: record
            for name, record in kept.items()
            if not name.startswith(f"{self.index}/") or self._holds(record, now)
        }
        self.steps[str(self.index)] = {
            "of": self._of() if self.index == 0 else None,
            "since": tried.get("since", now.isoformat()),
            "count": tried.get("count", 0) + 1,
            "refused": tried.get("refused", []),
        }

    def refuse(self) -> None:
        """The platform has refused the account's tokens."""
        tried = self.trying
        # Once, however often this is recorded until the database takes it.
        refused = dict.fromkeys([*self.refused, self.account.fingerprint])
        self.steps[str(self.index)] = {**tried, "refused": list(refused)}

    def outcome(self, **values: Any) -> list[parts.Outcome]:
        """The outcomes of follow-ups with that of this one."""
        return [*self.outcomes[: self.index - 1], values]

    def without_open(self) -> dict[str, Any]:
        """The steps but those that were begun and have certainly not published."""
        return self._without(lambda record: "plan" in record and "result" not in record)

    def name(self, step: Step) -> str:
        """What a step of this part is stored by."""
        return f"{self.index}/{step.name}"

    def result(self, step: Step, values: Mapping[str, Any]) -> dict[str, Any]:
        """The record of a step that is done."""
        before = self.steps.get(self.name(step), {})
        return {**before, "result": dict(values), "at": self.now.isoformat()}

    def scopes(self) -> dict[str, str]:
        """What limits of the platform may be of."""
        return rate_limits.scopes(self.leased.row.social_account_id, self.account)

    def sending(self, seconds: float, step: Step | None = None) -> Sending:
        """What the publisher is given, for a call that ends in so many seconds."""
        record = self.steps.get(self.name(step), {}) if step else {}
        begun = record.get("begun")
        return Sending(
            key=self._key(),
            sender=self.sender(),
            part=parts.part(self.stored, self.index),
            index=self.index,
            options=parts.options(self.stored, self.account.platform),
            done=self.done,
            published={index: self._published(index) for index in range(self.index)},
            now=self.now,
            until=time.monotonic() + seconds,
            plan=record.get("plan", {}),
            begun=datetime.fromisoformat(begun) if begun else None,
        )

    def sender(self) -> Sender:
        """The account as the publisher is given it."""
        return Sender(
            account_id=self.leased.row.social_account_id,
            platform_user_id=self.account.platform_user_id,
            username=self.account.username,
            tokens=self.account.tokens,
            app=self.account.app,
            connection=self.account.connection,
            limits=self.account.limits if self.limits is None else self.limits,
        )

    def _key(self) -> str:
        """The same after a crash, another when it is begun anew."""
        row = self.leased.row
        begun = self.stored.attempt_count + (self.stored.state == PENDING)
        number = f"f{self.index - 1}-{self.trying['count']}" if self.index else str(begun)
        return f"{row.social_post_id}-{row.social_account_id}-{number}".replace("_", "-")

    def _of(self) -> list[str]:
        queued = self.stored.queue_time
        return [queued.isoformat() if queued else "", parts.digest(self.stored)]

    def _holds(self, record: Mapping[str, Any], now: datetime) -> bool:
        """Whether a step that is done need not be done again: never, if it has published."""
        return "result" in record and ("plan" in record or datetime.fromisoformat(record["at"]) + KEPT > now)

    def _without(self, drop: Callable[[Mapping[str, Any]], bool]) -> dict[str, Any]:
        prefix = f"{self.index}/"
        return {
            name: record
            for name, record in self.steps.items()
            if not (name.startswith(prefix) and drop(record))
        }

    def _results(self, index: int) -> dict[str, Any]:
        prefix = f"{index}/"
        return {
            name.removeprefix(prefix): record["result"]
            for name, record in self.steps.items()
            if name.startswith(prefix) and "result" in record
        }

    def _published(self, index: int) -> dict[str, Any]:
        """What a part before has brought; what is not published has nothing."""
        shown: Mapping[str, Any] = (
            {
                "platform_post_id": self.stored.platform_post_id,
                "platform_post_url": self.stored.platform_post_url,
            }
            if index == 0
            else self.outcomes[index - 1]
        )
        merged = {"id": shown.get("platform_post_id"), "url": shown.get("platform_post_url")}
        for result in self._results(index).values():
            merged |= result
        return merged
