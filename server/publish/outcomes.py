"""What becomes of a part, recorded: of the post in the target itself; of a follow-up in its `follow_ups`,
which never touches the target's own state."""

import logging
from collections.abc import Mapping
from typing import Any

from server.base import metrics
from server.posts.states import FAILED, PENDING, PUBLISHED, SENDING, UNCONFIRMED, short_name
from server.publish import categories, failures, parts, rate_limits, records
from server.publish.attempt import Attempt
from server.publish.publisher import PublishFailed
from server.publish.records import KIND
from server.publish.steps import Later, LeaseLost, Taken, still_open
from server.storage.due_work import wake

log = logging.getLogger(__name__)

# Tokens that are refused in one try, one after the other.
MOST_REFUSED = 2


def ids(attempt: Attempt) -> dict[str, Any]:
    """What a line of the log names."""
    row = attempt.leased.row
    return {
        "project": row.project_id,
        "social_post_id": row.social_post_id,
        "social_account_id": row.social_account_id,
        "part": attempt.index,
    }


def begun(attempt: Attempt) -> None:
    """It is SENDING. Raises records.Busy, LeaseLost."""
    attempt.begin()
    if attempt.index == 0:
        ours = records.begin(attempt.leased, attempt.steps)
    else:
        ours = records.begin_follow_up(attempt.leased, attempt.outcome(state=SENDING), attempt.steps)
    if not ours:
        raise LeaseLost


def published(attempt: Attempt, taken: Taken) -> None:
    """It is PUBLISHED, as the results of its steps say."""
    platform_post_id, url = str(taken.results.get("id") or ""), taken.results.get("url")
    if attempt.index > 0:
        _end_follow_up(
            attempt,
            {
                "state": PUBLISHED,
                "platform_post_id": platform_post_id,
                "platform_post_url": url,
                "publish_time": attempt.now.isoformat(),
            },
            attempt.steps,
        )
        return
    seconds = parts.delay(attempt.stored.follow_ups, [])
    recorded = records.published(
        attempt.leased,
        taken.step,
        taken.unkept,
        platform_post_id=platform_post_id,
        url=url,
        seconds=seconds,
    )
    if not recorded:
        log.warning("what was published was settled by somebody else before", extra=ids(attempt))
        return
    _count(attempt, PUBLISHED, None)
    if seconds == 0:
        wake(KIND.name)


def failed(attempt: Attempt, failure: PublishFailed) -> None:
    """It was not published: it is tried again, or FAILED. While a call before may have published it, nobody
    knows that: then somebody looks again later, or it is UNCONFIRMED."""
    tried = attempt.trying.get("count", 0)
    # What could not even be begun is not tried again by itself: somebody has to do something first.
    seconds = failures.delay(failure, tried, attempt.since) if tried else None
    if failure.scope:
        pauses = {failure.scope: failure.retry_after or seconds or 0.0}
        rate_limits.pause(attempt.leased.row.project_id, attempt.scopes(), pauses)
    if (step := attempt.open_step) is not None:
        _in_doubt(attempt, step, failure)
        return
    error = failures.error(failure, given_up=failure.retryable and bool(tried) and seconds is None)
    _end(attempt, FAILED if seconds is None else PENDING, error, attempt.without_open(), seconds)


def refused(attempt: Attempt, seconds: float) -> bool:
    """The platform refuses the account's tokens: in so many seconds there may be others.

    Returns whether these should be asked for."""
    attempt.refuse()
    if not attempt.account.can_refresh or len(attempt.refused) >= MOST_REFUSED:
        failed(attempt, failures.tokens_refused())
        return False
    if attempt.open_step is not None:
        name = str(attempt.index)
        if records.keep(attempt.leased, {name: attempt.steps[name]}):
            KIND.retry(attempt.leased, seconds)
    else:
        _end(attempt, PENDING, None, attempt.without_open(), seconds)
    return True


def unconfirmed(attempt: Attempt, code: str) -> None:
    """Nobody knows whether it was published."""
    log.warning("nobody knows whether it was published", extra={**ids(attempt), "cause": code})
    _end(attempt, UNCONFIRMED, failures.unconfirmed(code), attempt.steps, None)


def _in_doubt(attempt: Attempt, step: Mapping[str, Any], failure: PublishFailed) -> None:
    meaning = still_open(attempt, step, failure)
    if isinstance(meaning, Later):
        KIND.retry(attempt.leased, meaning.seconds)
    else:
        unconfirmed(attempt, str(meaning))


def _end(
    attempt: Attempt,
    state: int,
    error: dict[str, Any] | None,
    steps: dict[str, Any],
    seconds: float | None,
) -> None:
    if attempt.index == 0:
        recorded = records.end(attempt.leased, state, error, steps, seconds)
        if recorded:
            _count(attempt, state, error)
        else:
            log.info("a lease was lost", extra=ids(attempt))
    else:
        _end_follow_up(attempt, {"state": state, **({"error": error} if error else {})}, steps, seconds)


def _end_follow_up(
    attempt: Attempt, outcome: parts.Outcome, steps: dict[str, Any], seconds: float | None = None
) -> None:
    """What became of it; if it is not due again itself, the next one is."""
    decided = attempt.outcome(**outcome)
    if seconds is None:
        seconds = parts.delay(attempt.stored.follow_ups, decided)
        decided, _ = parts.undecided(attempt.stored.follow_ups, decided)
    if not records.end_follow_up(attempt.leased, decided, steps, seconds):
        log.info("a lease was lost", extra=ids(attempt))
        return
    metrics.attempted(KIND.name, "retried" if outcome["state"] == PENDING else "done")
    if seconds == 0:
        wake(KIND.name)


def _count(attempt: Attempt, state: int, error: Mapping[str, Any] | None) -> None:
    """Of an account that can't be used it is not known where it is."""
    metrics.attempted(KIND.name, "retried" if state == PENDING else "done")
    if state != PENDING:
        platform = attempt.account.platform if hasattr(attempt, "account") else "unknown"
        metrics.settled(
            platform, short_name(state), categories.short_name(error["category"]) if error else ""
        )
