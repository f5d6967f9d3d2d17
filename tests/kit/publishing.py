"""A platform to publish to that does what a test says, and a worker's hands: what is due, sent at once."""

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg2.extras import Json

from generated.hitchpost.v1 import social_post_service_pb2 as pb
from server.accounts.publishing import PublishingAccounts
from server.base.vault import Vault
from server.platforms import Platforms
from server.projects.platform_apps import PlatformApps
from server.publish.publisher import Publisher, Sending, Step, Values
from server.publish.publishers import Publishers
from server.publish.records import KIND, Target
from server.publish.sender import Sender
from server.publish.slow_servers import SlowServers
from server.storage.due_work import Leased
from tests.kit.support import Client

Sql = Callable[..., list[tuple[Any, ...]]]
# What a script does when a step is run: it may raise, and gives the step's result.
Script = Callable[[Sending], Values]


class Crash(BaseException):
    """The worker ends here, and records nothing."""


class Scripted(Publisher):
    """Publishes to a list. `script` may have something for "run <step>" and "settle <step>"; of several
    things one happens after the other, the last again and again."""

    platform = "sandbox"

    def __init__(self, steps: Sequence[Step] = (Step("publish", publishes=True),)) -> None:
        self.all_steps = list(steps)
        self.script: dict[str, list[Script | BaseException]] = {}
        # What was asked: "run publish", and with what.
        self.asked: list[tuple[str, Sending]] = []
        # What the platform has, as it came: key and text.
        self.posts: list[tuple[str, str]] = []
        self.plans = 0
        self._lock = threading.Lock()

    def will(self, what: str, *actions: Script | BaseException) -> None:
        """The next times that this is asked."""
        self.script[what] = list(actions)

    def steps(self, sending: Sending) -> Sequence[Step]:
        return self.all_steps

    def plan(self, step: Step, sending: Sending) -> Values:
        with self._lock:
            self.plans += 1
            return {"number": self.plans}

    def run(self, step: Step, sending: Sending) -> Values:
        values = self._act(f"run {step.name}", sending)
        if values is not None:
            return values
        return self.accept(sending) if step.publishes else {step.name: sending.key}

    def settle(self, step: Step, sending: Sending) -> Values:
        values = self._act(f"settle {step.name}", sending)
        return super().settle(step, sending) if values is None else values

    def accept(self, sending: Sending) -> Values:
        """The platform has it."""
        with self._lock:
            self.posts.append((sending.key, sending.part.text))
            number = len(self.posts)
        return {"id": f"post-{number}", "url": f"https://sandbox.example/{number}"}

    @property
    def calls(self) -> list[str]:
        """What was asked, in order."""
        return [what for what, _ in self.asked]

    @property
    def texts(self) -> list[str]:
        """What the platform has, in order."""
        return [text for _, text in self.posts]

    def _act(self, what: str, sending: Sending) -> Values | None:
        with self._lock:
            self.asked.append((what, sending))
            actions = self.script.get(what, [])
            action = actions.pop(0) if len(actions) > 1 else actions[0] if actions else None
        if isinstance(action, BaseException):
            raise action
        return action(sending) if action else None


def sender(publisher: Publisher, platforms: Platforms, vault: Vault) -> Sender:
    """Sends to this platform."""
    accounts = PublishingAccounts(vault, platforms, PlatformApps(vault))
    return Sender(accounts, Publishers([publisher]), SlowServers(8))


class Posting:
    """A project's posts, and a worker that sends them in the test's own thread."""

    def __init__(self, client: Client, sql: Sql, sender: Sender) -> None:
        self.client, self.sql, self.sender = client, sql, sender

    def post(self, *accounts: str, text: str = "hello", **fields: Any) -> str:
        """A post that is due now; its id."""
        later = datetime.now(UTC) + timedelta(hours=1)
        post = self.client.draft(*accounts, caption=text, scheduled_time=later, **fields)
        self.schedule(post.id)
        return str(post.id)

    def schedule(self, post_id: str, ago: float = 0.0) -> None:
        """The time that it was scheduled for has come, so many seconds ago."""
        self.sql(
            "UPDATE social_post SET scheduled_time = now() - %s * interval '1 second' WHERE id = %s",
            ago,
            post_id,
        )
        self.sql(
            "UPDATE social_post_target SET queue_time = now() - %s * interval '1 second', "
            "due_time = now() - %s * interval '1 second' WHERE social_post_id = %s AND state = 1",
            ago,
            ago,
            post_id,
        )

    def lease(self, worker: str = "me") -> list[Leased[Target]]:
        """What of this project is due, leased."""
        return [leased for leased in KIND.lease(worker) if leased.row.project_id == self.client.project_id]

    def work(self, most: int = 50) -> int:
        """Sends what is due, until nothing is; returns how many times a target was looked at."""
        count = 0
        while (due := self.lease()) and count < most:
            for leased in due:
                self.sender.send(leased)
                count += 1
        return count

    def pass_time(self, seconds: float = 0.0) -> None:
        """What waits is due, and leases have run out. With seconds, since so long."""
        self.sql(
            "UPDATE social_post_target SET due_time = now() - %s * interval '1 second' "
            "WHERE project_id = %s AND due_time IS NOT NULL",
            seconds,
            self.client.project_id,
        )

    def age(self, post_id: str, **ago: float) -> None:
        """What was begun was begun so much earlier, as far as steps know."""
        seconds = timedelta(**ago).total_seconds()
        for account, steps in self.sql(
            "SELECT social_account_id, steps FROM social_post_target WHERE social_post_id = %s", post_id
        ):
            for record in steps.values():
                for name in ("since", "begun", "at"):
                    if name in record:
                        time = datetime.fromisoformat(record[name]) - timedelta(seconds=seconds)
                        record[name] = time.isoformat()
            self._keep(post_id, account, steps)

    def _keep(self, post_id: str, account: str, steps: Mapping[str, Any]) -> None:
        self.sql(
            "UPDATE social_post_target SET steps = %s WHERE social_post_id = %s AND social_account_id = %s",
            Json(dict(steps)),
            post_id,
            account,
        )

    def target(self, post_id: str, account: str | None = None) -> Any:
        """The target as the API shows it; of an account, or the only one."""
        targets = [one for one in self.shown(post_id).targets if account in (None, one.social_account_id)]
        [target] = targets
        return target

    def shown(self, post_id: str) -> Any:
        """The post as the API shows it."""
        return self.client("SocialPostService/GetSocialPost", social_post_id=post_id).social_post

    def state(self, post_id: str) -> str:
        """The post's state, without its prefix."""
        return pb.SocialPostState.Name(self.shown(post_id).state).removeprefix("SOCIAL_POST_STATE_")

    def states(self, post_id: str) -> list[str]:
        """Its targets' states."""
        return [target_state(one) for one in self.shown(post_id).targets]


def target_state(target: Any) -> str:
    """A target's or follow-up's state, without its prefix."""
    return pb.SocialPostTargetState.Name(target.state).removeprefix("SOCIAL_POST_TARGET_STATE_")


def due_in(sql: Sql, post_id: str, since: datetime | None = None) -> float | None:
    """In how many seconds something is due of the post's only target: from now on, or from then on."""
    [(seconds,)] = sql(
        "SELECT extract(epoch FROM due_time - coalesce(%s, now()))::float8 FROM social_post_target "
        "WHERE social_post_id = %s",
        *(since, post_id),
    )
    assert seconds is None or isinstance(seconds, float)
    return seconds
