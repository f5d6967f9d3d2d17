"""When tokens are refreshed: some time before they expire, and not all at once."""

import dataclasses
import random
from datetime import datetime, timedelta
from typing import NamedTuple

from server.platforms import Platform, Tokens

# Of what an access token has left to live; at random, so that what was connected together is due apart.
SHARE = (0.75, 0.85)
# Before it expires at the latest, if it lives for twice as long.
MARGIN = timedelta(minutes=10)
# At the earliest, whatever a platform says of how long its tokens live.
PAUSE = timedelta(minutes=1)


class RefreshTimes(NamedTuple):
    """When the tokens of a claim are due: by themselves, or with the refresh token that the account has had,
    which is kept if they bring none. None is never."""

    alone: datetime | None = None
    with_kept: datetime | None = None


def of_claimed(way: Platform | None, tokens: Tokens, now: datetime) -> RefreshTimes:
    """When new tokens are due that were had in this way; without one there is nobody to ask."""
    if way is None:
        return RefreshTimes()
    kept = dataclasses.replace(tokens, refresh_token=tokens.refresh_token or "kept")
    return RefreshTimes(refresh_time(way, tokens, now), refresh_time(way, kept, now))


def refresh_time(way: Platform, tokens: Tokens, now: datetime) -> datetime | None:
    """When tokens that just came to us are due; None if they don't expire, or can't be refreshed.

    What has no way to be refreshed ends when it expires: the account says when that is.
    """
    expire_time = tokens.expire_time
    if expire_time is None or not way.can_refresh(tokens):
        return None
    left = expire_time - now
    due_time = min(now + left * random.uniform(*SHARE), expire_time - min(MARGIN, left / 2))  # noqa: S311
    old_enough = now + way.refresh_after
    if due_time < old_enough < expire_time:
        # What has less to live was issued long ago.
        due_time = old_enough
    return max(due_time, now + PAUSE)
