"""Whether a post can be sent to its accounts: what each platform takes of text, media and polls, and what
each account may do. Drafts are not asked this; what is scheduled, published or retried is.

Everything is told at once, of all accounts, and nothing is ever cut to fit.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from generated.hitchpost.v1 import social_account_service_pb2 as accounts_pb
from server.accounts.scope import Sendable, sendable
from server.base.errors import FieldViolation, InvalidArgument
from server.base.identity import Caller
from server.base.platform_names import platform_name
from server.platforms.limits import Limits, limits_of
from server.posts.parts import Lengths, Media, PartChecks, Wrong
from server.posts.rows import Content

RECONNECT: Mapping[int, str] = {
    accounts_pb.SOCIAL_ACCOUNT_STATE_NEEDS_REAUTH: "must be connected again: its platform refuses its tokens",
    accounts_pb.SOCIAL_ACCOUNT_STATE_DISCONNECTED: "must be connected again: it was disconnected",
}
UNKNOWN = "can't be published to: this server doesn't know yet how that platform takes posts"
# The fields of SocialPost, in their order.
_ORDER = ("caption", "social_account_ids", "media", "account_overrides", "platform_options", "follow_ups")
_AFTER = len(_ORDER)
_NUMBERS = re.compile(r"\d+")


class Problem(NamedTuple):
    """What keeps a post from being sent to an account, or without one to a platform: which field, and what
    would be right."""

    social_account_id: str
    platform: int
    field: str
    description: str


def check_sendable(caller: Caller, content: Content, only: Collection[str] | None = None) -> None:
    """Whether the post can be sent, to all its accounts or to those `only`.

    Raises InvalidArgument with all that is wrong; SocialAccountNotFound and OwnerMismatch as scope.sendable.
    """
    accounts = sendable(caller, content.social_account_ids)
    found = problems(content, [account for account in accounts if only is None or account.id in only])
    if found:
        wrong = dict.fromkeys(FieldViolation(problem.field, problem.description) for problem in found)
        raise InvalidArgument(sorted(wrong, key=lambda violation: place(violation.field)))


def place(field: str) -> tuple[int, list[int]]:
    """Where a field is in a request, to sort by."""
    name = re.split(r"[.\[]", field.removeprefix("social_post."), maxsplit=1)[0]
    return _ORDER.index(name) if name in _ORDER else _AFTER, [*map(int, _NUMBERS.findall(field))]


def problems(
    content: Content,
    accounts: Sequence[Sendable],
    platforms: Sequence[int] = (),
    seen: Mapping[str, str] | None = None,
) -> list[Problem]:
    """What keeps the post from each of these accounts, and from `platforms` in general, in this order.

    `seen` has the types of media by their addresses, where somebody has looked."""
    known = _Known(Lengths(), seen or {})
    found = []
    for account in accounts:
        path = f"social_post.social_account_ids[{list(content.social_account_ids).index(account.id)}]"
        for wrong in _of_account(content, account, path, known):
            found.append(Problem(account.id, account.platform, *wrong))
    for index, platform in enumerate(platforms):
        checks = _checks(platform, None, known)
        wrongs = _of_content(content, None, checks) if checks else [Wrong(f"platforms[{index}]", UNKNOWN)]
        found += [Problem("", platform, *wrong) for wrong in wrongs]
    return found


class _Known(NamedTuple):
    """What is the same for all accounts."""

    lengths: Lengths
    seen: Mapping[str, str]


def _checks(platform: int, own: Mapping[str, Any] | None, known: _Known) -> PartChecks | None:
    name = platform_name(platform)
    limits = limits_of(name, own)
    return None if limits is None else PartChecks(name, limits, *known)


def _of_account(content: Content, account: Sendable, path: str, known: _Known) -> Iterator[Wrong]:
    checks = _checks(account.platform, account.limits, known)
    if checks is None:
        yield Wrong(path, UNKNOWN)
        return
    yield from _of_content(content, account.id, checks)
    if account.state in RECONNECT:
        yield Wrong(path, RECONNECT[account.state])
    if lacking := _lacking(content, account, checks.limits):
        yield Wrong(path, f"must be connected again with the permission {' and '.join(lacking)}")


def _of_content(content: Content, account_id: str | None, checks: PartChecks) -> Iterator[Wrong]:
    """What is wrong with texts, media and options; None for the account when only the platform is known."""
    options = content.platform_options.get(checks.platform, {})
    # Where platforms have it, it is sent with each part.
    before = options.get("spoiler_text", "")
    (text_path, text), (media_path, media) = main_part(content, account_id)
    yield from checks.text(text_path, before, text)
    yield from checks.media(media_path, media)
    yield from checks.poll(f"social_post.platform_options.{checks.platform}.poll", options.get("poll"), media)
    for index, follow_up in enumerate(content.follow_ups):
        yield from checks.text(f"social_post.follow_ups[{index}].caption", before, follow_up["caption"])
        yield from checks.media(f"social_post.follow_ups[{index}].media", follow_up["media"])


def main_part(content: Content, account_id: str | None) -> tuple[tuple[str, str], tuple[str, Media]]:
    """The post as an account has it: the path of its text and the text, that of its media and the media."""
    text, media = ("social_post.caption", content.caption), ("social_post.media", content.media)
    for index, (overridden, (own_text, own_media)) in enumerate(content.overrides.items()):
        if overridden == account_id:
            path = f"social_post.account_overrides[{index}]"
            text = text if own_text is None else (f"{path}.caption", own_text)
            media = (f"{path}.media", own_media) if own_media else media
    return text, media


def media_of(content: Content, account_id: str | None) -> list[tuple[str, str]]:
    """All media that an account is sent: the path of the address, and the address."""
    _, (path, media) = main_part(content, account_id)
    parts = [(path, media)]
    for index, follow_up in enumerate(content.follow_ups):
        parts.append((f"social_post.follow_ups[{index}].media", follow_up["media"]))
    return [
        (f"{path}[{index}].url", medium["url"]) for path, media in parts for index, medium in enumerate(media)
    ]


def _lacking(content: Content, account: Sendable, limits: Limits) -> list[str]:
    """The scopes that the account would have to have; nobody knows those of an account without any."""
    if not account.scopes:
        return []
    has_media = bool(media_of(content, account.id))
    return [
        patterns[0]
        for patterns in limits.scopes + (limits.media_scopes if has_media else ())
        if not any(fnmatchcase(scope, pattern) for scope in account.scopes for pattern in patterns)
    ]
