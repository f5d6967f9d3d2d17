"""Looks whether a status is at its server: among the newest of the account's, by what was sent.

A server gives a text back as HTML, and may change it; so one that is not found is missing for sure only if
nothing else can be it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from html.parser import HTMLParser
from typing import Any

from server.platforms.paths import at
from server.publish.calls import json_of
from server.publish.mastodon_server import Server, identifier, moment, unreadable
from server.publish.publisher import PublishFailed

PAGE = 40
MOST_PAGES = 5
# What is this close before may be it, too.
DOUBT = timedelta(seconds=5)
# The header Date has whole seconds, and may be older than the answer: within these the clocks are as one; of
# others is known how far they are apart, but for so much.
AS_ONE = (timedelta(seconds=-3), timedelta(seconds=1))
UNKNOWN = timedelta(seconds=2)
ANYBODY_SEES = ("public", "unlisted")
# Mentions come back without their server.
MENTION = re.compile(r"(@\w[\w.-]*)@[\w.:-]*\w")


@dataclass(frozen=True, slots=True)
class Sent:
    """What the status would be. `media_ids` tell it from all others, if there are any."""

    text: str
    spoiler_text: str
    visibility: str
    media_ids: frozenset[str]
    in_reply_to_id: str | None
    begun: datetime


@dataclass(frozen=True, slots=True)
class Seen:
    """What looking has brought: the status, if it was found; else whether it is certainly not there."""

    status: Mapping[str, Any] | None
    missing: bool


def look(server: Server, sent: Sent, now: datetime) -> Seen:
    """Looks for the status. Raises PublishFailed when the server can't be asked for now."""
    statuses = Statuses(server, now)
    try:
        listed = list(statuses.since(sent.begun - DOUBT))
    except PublishFailed as failure:
        if failure.retryable:
            raise
        return Seen(None, missing=False)
    if sent.media_ids:
        ours = [status for status in listed if _media_ids(status) == sent.media_ids]
        return Seen(ours[0] if ours else None, missing=not ours and statuses.shows_all(sent.visibility))
    ours = [status for status in listed if _is_like(status, sent)]
    if len(ours) == 1 and statuses.created(ours[0]) >= sent.begun + statuses.unknown:
        return Seen(ours[0], missing=False)
    # Another text may be this one, as the server has made it.
    return Seen(None, missing=not listed and statuses.shows_all(sent.visibility))


class Statuses:
    """An account's statuses: all if its token may read them, else those that anybody sees.

    `unknown` is by how much later than it seems one may be from."""

    def __init__(self, server: Server, now: datetime) -> None:
        self._server, self._now = server, now
        self._anonymous = self._complete = False
        self._ahead = self.unknown = timedelta()

    def shows_all(self, visibility: str) -> bool:
        """Whether one of this visibility, "" if the account's default, was among what was looked at."""
        return self._complete and (not self._anonymous or visibility in ANYBODY_SEES)

    def created(self, status: Mapping[str, Any]) -> datetime:
        """When, by our clock. Raises PublishFailed if it doesn't say."""
        try:
            return moment(status.get("created_at")) - self._ahead
        except (ValueError, OverflowError):
            raise unreadable("UNREADABLE") from None

    def since(self, time: datetime) -> Iterator[Mapping[str, Any]]:
        """The newest, as far back as this time, or as some pages reach."""
        before: dict[str, str] = {}
        for _ in range(MOST_PAGES):
            page = self._page(**before)
            for status in page:
                # By id, not by time; pages end with the oldest all the same.
                if self.created(status) >= time:
                    yield status
            if not page or self.created(page[-1]) < time:
                self._complete = True
                return
            before = {"max_id": str(identifier(page[-1]))}

    def _page(self, **before: str) -> list[Mapping[str, Any]]:
        path = f"/api/v1/accounts/{self._server.account_id}/statuses"
        asked: dict[str, Any] = {"exclude_reblogs": "true", "limit": PAGE, **before}
        try:
            answer = self._server.get(path, anonymous=self._anonymous, **asked)
        except PublishFailed as failure:
            # Reading needs a permission of its own, which publishing does without.
            if self._anonymous or failure.code not in ("SCOPE_MISSING", "HTTP 403", "HTTP 401"):
                raise
            self._anonymous = True
            return self._page(**before)
        ahead = self._server.clock(answer) - self._now
        if not AS_ONE[0] <= ahead <= AS_ONE[1]:
            self._ahead, self.unknown = ahead, UNKNOWN
        page = json_of(answer)
        if not isinstance(page, list) or not all(isinstance(one, dict) and identifier(one) for one in page):
            raise unreadable("UNREADABLE")
        return page


def _media_ids(status: Mapping[str, Any]) -> frozenset[str]:
    attached = status.get("media_attachments")
    return frozenset(str(at(one, "id")) for one in attached) if isinstance(attached, list) else frozenset()


def _is_like(status: Mapping[str, Any], sent: Sent) -> bool:
    """A text that is empty is replaced by the spoiler's, so they count together."""
    said = f"{status.get('spoiler_text') or ''} {text(str(status.get('content') or ''))}"
    return (
        plain(said) == plain(f"{sent.spoiler_text} {sent.text}")
        and status.get("in_reply_to_id") == sent.in_reply_to_id
        and not _media_ids(status)
    )


def plain(text: str) -> str:
    """What is left of a text that was made HTML and read back: not its space, not the servers of mentions."""
    return " ".join(MENTION.sub(r"\1", text).split())


def text(html: str) -> str:
    """The text that this HTML was made of, but for its space."""
    reader = _Text(convert_charrefs=True)
    reader.feed(html)
    reader.close()
    return "".join(reader.parts)


class _Text(HTMLParser):
    def __init__(self, *, convert_charrefs: bool) -> None:
        super().__init__(convert_charrefs=convert_charrefs)
        self.parts: list[str] = []

    def handle_data(self, data: str) -> None:
        self.parts.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        if tag in ("p", "br"):
            self.parts.append("\n")
