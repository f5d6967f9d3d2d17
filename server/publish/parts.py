"""What a post is made of for one account: the post, which is part 0, and its follow-ups: i is part i + 1."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from generated.hitchpost.v1 import social_post_service_pb2 as pb
from server.posts.states import CANCELLED, PENDING, PUBLISHED, SENDING
from server.publish.publisher import MediaItem, Part
from server.publish.records import Stored

# What became of a follow-up, by the names of PublishedFollowUp.
Outcome = dict[str, Any]


def part(stored: Stored, index: int) -> Part:
    """A part as the publisher is given it."""
    if index == 0:
        return Part(stored.caption, _media(stored.media))
    follow_up = stored.follow_ups[index - 1]
    return Part(follow_up["caption"], _media(follow_up["media"]), replies_to(stored.follow_ups, index - 1))


def options(stored: Stored, platform: str) -> Mapping[str, Any]:
    """The post's options for this platform."""
    chosen: Mapping[str, Any] = stored.platform_options.get(platform, {})
    return chosen


def digest(stored: Stored) -> str:
    """Changes with what is to be sent: what steps have brought for another content is of no use."""
    content = [stored.caption, stored.media, stored.platform_options]
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def replies_to(follow_ups: Sequence[Mapping[str, Any]], follow_up: int) -> int:
    """The index of the part that a follow-up replies to."""
    comment = follow_ups[follow_up].get("place") == pb.FOLLOW_UP_PLACE_COMMENT
    return 0 if comment else follow_up


def undecided(
    follow_ups: Sequence[Mapping[str, Any]], outcomes: Sequence[Outcome]
) -> tuple[list[Outcome], int | None]:
    """Which follow-up is next, None when there is none left; and the outcomes up to it, those CANCELLED that
    would reply to what is not there."""
    decided: list[Outcome] = []
    for index in range(len(follow_ups)):
        outcome = outcomes[index] if index < len(outcomes) else None
        if outcome is not None and outcome["state"] not in (PENDING, SENDING):
            decided.append(outcome)
            continue
        replied = replies_to(follow_ups, index)
        if replied == 0 or decided[replied - 1]["state"] == PUBLISHED:
            return [*decided, outcome or {"state": PENDING}], index
        decided.append({"state": CANCELLED})
    return decided, None


def delay(follow_ups: Sequence[Mapping[str, Any]], outcomes: Sequence[Outcome]) -> float | None:
    """How many seconds the next follow-up is published after what was decided just now; None without one."""
    _, index = undecided(follow_ups, outcomes)
    return None if index is None else float(follow_ups[index].get("delay") or 0)


def _media(media: Sequence[Mapping[str, str]]) -> tuple[MediaItem, ...]:
    return tuple(MediaItem(item["url"], item.get("alt_text", "")) for item in media)
