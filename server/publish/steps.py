"""The steps of a part, taken one after the other: what each brings is kept before the next.

A step that publishes is committed before its first byte leaves. If nobody hears how it ended it is in doubt:
then the publisher's `settle` alone lets it be taken again, and no failure from then on counts as a proof that
nothing was published.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from server.publish import failures, rate_limits, records
from server.publish.attempt import Attempt
from server.publish.publisher import (
    NotPublished,
    NotYet,
    PublishFailed,
    Sending,
    Step,
    TokenExpired,
    Uncertain,
    Values,
)
from server.storage.due_work import backoff

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

# For how long a step may call its platform: an upload, and what publishes.
STEP_SECONDS, PUBLISH_SECONDS = 600.0, 60.0
# How often a step that publishes is taken again without a pause, when it may be.
RERUNS = 3


class Later(Exception):
    """The target stays as it is, and is looked at again in so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"{seconds:g} s")
        self.seconds = seconds


class Unconfirmed(Exception):
    """It may have been published, and nobody can be asked; the text is an error's code."""


class LeaseLost(Exception):
    """Somebody else has the target by now, or it is not there any more."""


class Taken(NamedTuple):
    """All steps of a part: the name of the last that publishes, the records that are not kept yet, and what
    they have brought, merged."""

    step: str
    unkept: dict[str, Any]
    results: dict[str, Any]


def take(attempt: Attempt) -> Taken:
    """Takes the steps that are left.

    Raises PublishFailed and TokenExpired, Later, Unconfirmed, LeaseLost.
    """
    steps = _called(attempt, lambda sending: list(attempt.publisher.steps(sending)), STEP_SECONDS)
    left = [step for step in steps if step.name not in attempt.done]
    unkept: dict[str, Any] = {}
    for step in left:
        result = _publish(attempt, step) if step.publishes else _take(attempt, step)
        unkept = {attempt.name(step): attempt.result(step, result)}
        attempt.steps |= unkept
        if step is not left[-1]:
            _keep(attempt, unkept)
            unkept = {}
            if attempt.pause:
                raise Later(attempt.pause)
    publishing = [attempt.name(step) for step in steps if step.publishes]
    merged: dict[str, Any] = {}
    for step in steps:
        merged |= attempt.done[step.name]
    return Taken(publishing[-1] if publishing else "", unkept, merged)


def _take(attempt: Attempt, step: Step) -> Values:
    try:
        return _called(attempt, lambda sending: attempt.publisher.run(step, sending), STEP_SECONDS, step)
    except NotYet as error:
        raise _not_yet(attempt, error) from None
    except Uncertain as error:
        # Nothing was to be published: to take it again does no harm.
        raise failures.unanswered(str(error)) from None


def _publish(attempt: Attempt, step: Step) -> Values:
    """What it has brought; `attempt.open_step` says whether it was in doubt before."""
    name = attempt.name(step)
    for _ in range(RERUNS):
        record = attempt.steps.get(name, {})
        if "begun" in record:
            settled = _settle(attempt, step, record)
            if settled is not None:
                return settled
        try:
            return _run(attempt, step, record)
        except Uncertain as error:
            attempt.steps[name]["uncertain"] = str(error)
    record = attempt.steps[name]
    if attempt.now - datetime.fromisoformat(record["begun"]) > failures.GIVE_UP:
        raise Unconfirmed(record["uncertain"])
    raise Later(backoff(attempt.leased.attempt, first=failures.FIRST_SECONDS, most=failures.MOST_SECONDS))


def _run(attempt: Attempt, step: Step, record: Mapping[str, Any]) -> Values:
    name, doubted = attempt.name(step), "begun" in record
    plan = record.get("plan")
    if plan is None:
        plan = _called(attempt, lambda sending: dict(attempt.publisher.plan(step, sending)), PUBLISH_SECONDS)
    begun = {"begun": attempt.now.isoformat(), **record, "plan": plan, "attempt": attempt.leased.attempt}
    attempt.steps[name] = begun
    _keep(attempt, {name: begun})
    try:
        return _called(attempt, lambda sending: attempt.publisher.run(step, sending), PUBLISH_SECONDS, step)
    except (PublishFailed, TokenExpired, NotYet) as failure:
        if doubted:
            raise still_open(attempt, begun, failure) from None
        attempt.steps[name] = {"plan": plan}
        if not isinstance(failure, NotYet):
            raise
        _keep(attempt, {name: attempt.steps[name]})
        raise _not_yet(attempt, failure) from None


def _settle(attempt: Attempt, step: Step, record: dict[str, Any]) -> Values | None:
    """What the step has brought, None when it is to be run again."""
    try:
        return _called(
            attempt, lambda sending: attempt.publisher.settle(step, sending), PUBLISH_SECONDS, step
        )
    except NotPublished:
        return None
    except Uncertain as error:
        raise Unconfirmed(record.get("uncertain") or str(error)) from None
    except (PublishFailed, TokenExpired, NotYet) as failure:
        raise still_open(attempt, record, failure) from None


def _not_yet(attempt: Attempt, failure: NotYet) -> Exception:
    """The platform is waited for, but not for ever."""
    return Later(failure.seconds) if attempt.since < failures.GIVE_UP else failures.not_ready()


def still_open(
    attempt: Attempt, record: Mapping[str, Any], failure: PublishFailed | TokenExpired | NotYet
) -> Exception:
    """What a failure means while a call before may have published: TokenExpired, Later or Unconfirmed."""
    since = attempt.now - datetime.fromisoformat(record["begun"])
    if isinstance(failure, TokenExpired):
        return failure
    if isinstance(failure, NotYet):
        seconds: float | None = failure.seconds if since < failures.GIVE_UP else None
    else:
        seconds = failures.delay(failure, attempt.leased.attempt, since)
    if seconds is not None:
        return Later(seconds)
    return Unconfirmed(failure.code if isinstance(failure, PublishFailed) else "UNANSWERED")


def _called(
    attempt: Attempt, call: Callable[[Sending], Answer], seconds: float, step: Step | None = None
) -> Answer:
    """Asks the publisher; keeps to the pauses that it names. What nobody expected is told like the rest."""
    sending = attempt.sending(seconds, step)
    try:
        return call(sending)
    except (PublishFailed, TokenExpired, Uncertain, NotYet, NotPublished):
        raise
    except Exception:
        log.exception("a publisher failed", extra={"platform": attempt.publisher.platform})
        if step is not None and step.publishes:
            raise Uncertain("INTERNAL") from None
        raise failures.internal() from None
    finally:
        if sending.pauses:
            attempt.pause = max(sending.pauses.values())
            rate_limits.pause(attempt.leased.row.project_id, attempt.scopes(), sending.pauses)


def _keep(attempt: Attempt, steps: dict[str, Any]) -> None:
    if not records.keep(attempt.leased, steps):
        raise LeaseLost
