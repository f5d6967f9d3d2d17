"""A post that is checked as it would be sent, and is not: ValidateSocialPost."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from server.accounts.scope import Sendable, sendable
from server.base.identity import Caller, Clock
from server.base.platform_names import platform_name
from server.platforms.http import Http
from server.platforms.limits import Limits, limits_of
from server.platforms.media_types import wrong_medium
from server.posts.checks import check_content, check_time
from server.posts.rows import Content
from server.posts.sendable import Problem, media_of, place, problems
from server.publish.media_look import Looked, look_at
from server.publish.publisher import PublishFailed

# For all media together; less, if the caller waits for less. What is kept is for the answer.
LOOK_SECONDS, KEPT_SECONDS = 8.0, 0.5
Found = Mapping[str, Looked | PublishFailed]


class _To(NamedTuple):
    """Where a post goes: an account, or a platform ("")."""

    account_id: str
    platform: int
    limits: Limits | None


class Rehearsal:
    """Says what would keep posts from being accepted or sent."""

    def __init__(self, clock: Clock, http: Http) -> None:
        self._clock = clock
        self._http = http

    def problems(self, caller: Caller, content: Content, platforms: Sequence[int]) -> list[Problem]:
        """All that is known to be wrong, account by account and then platform by platform, each in the
        order of the fields. Media are looked at where they are; one that does not answer in time is no
        problem.

        Raises InvalidArgument for what is wrong with any post, SocialAccountNotFound, OwnerMismatch.
        """
        check_content(content, needs_account=not platforms)
        check_time(content, self._clock())
        accounts = sendable(caller, content.social_account_ids) if content.social_account_ids else []
        places = _places(accounts, platforms)
        found = self._look(caller, content, [to for to in places if to.limits is not None])
        seen = {url: looked.content_type for url, looked in found.items() if isinstance(looked, Looked)}
        wrong = problems(content, accounts, platforms, seen)
        for to in places:
            wrong += _media_problems(content, to, found)
        order = {(to.account_id, to.platform): number for number, to in enumerate(places)}
        return sorted(
            wrong,
            key=lambda problem: (order[problem.social_account_id, problem.platform], place(problem.field)),
        )

    def _look(self, caller: Caller, content: Content, places: Sequence[_To]) -> Found:
        def most_of(content_type: str) -> int:
            return max(to.limits.most_media_bytes(content_type) for to in places if to.limits is not None)

        urls = [url for to in places for _, url in media_of(content, to.account_id or None)]
        until = min(time.monotonic() + LOOK_SECONDS, caller.deadline - KEPT_SECONDS)
        return look_at(self._http, urls, most_of, until)


def _places(accounts: Sequence[Sendable], platforms: Sequence[int]) -> list[_To]:
    to_accounts = [
        _To(account.id, account.platform, limits_of(platform_name(account.platform), account.limits))
        for account in accounts
    ]
    return to_accounts + [_To("", platform, limits_of(platform_name(platform))) for platform in platforms]


def _media_problems(content: Content, to: _To, found: Found) -> Iterator[Problem]:
    """What was seen of the media, beside their types, which posts have checked."""
    if to.limits is None:
        return
    for path, url in media_of(content, to.account_id or None):
        looked = found.get(url)
        if isinstance(looked, PublishFailed):
            yield Problem(to.account_id, to.platform, path, looked.message)
        elif looked is not None:
            wrong = wrong_medium(
                platform_name(to.platform), to.limits, looked.content_type, looked.size, looked.pixels
            )
            if wrong is not None and wrong.code != "MEDIA_TYPE":
                yield Problem(to.account_id, to.platform, path, wrong.description)
