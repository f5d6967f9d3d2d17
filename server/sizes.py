"""How large things may be, so that every client reads every answer: by default one refuses more than 4 MiB.

A page is measured as the JSON in which PostgreSQL sends its rows, before it sends them. As protobuf it is
smaller as a rule, and at most 1.8 times as large: an answer names each target of a post up to three times.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from google.protobuf.message import Message

from server.platforms import PlatformUnreachable, Profile

CLIENTS_ACCEPT = 4 * 1024 * 1024
# All rows of a page, as JSON.
PAGE_BYTES = 2_250_000
# All texts of a post, as UTF-8. As JSON, where a quotation mark takes two bytes and a target has its owner,
# such a post is still smaller than a page.
POST_BYTES = 1_000_000
# The same for a post of an earlier version, which knew no such limit: there are ids beside the texts.
READABLE_POST_BYTES = 4_000_000
# Of CompleteAuth, as protobuf.
REJECTED_BYTES = 1_000_000

# What ImportSocialAccount takes, in characters.
TEXT, ADDRESS, SCOPES = 255, 2048, 50

Media = Sequence[Mapping[str, str]]
M = TypeVar("M", bound=Message)


def text_bytes(parts: Iterable[tuple[str | None, Media | None]]) -> int:
    """The bytes of captions, and of the addresses and alt texts of their media, as UTF-8."""
    return sum(
        len((caption or "").encode())
        + sum(len(text.encode()) for item in media or () for text in item.values())
        for caption, media in parts
    )


def fitting(messages: Iterable[M], room: int) -> list[M]:
    """The first of these messages, as many as fit into so many bytes."""
    fit = []
    for message in messages:
        room -= message.ByteSize()
        if room < 0:
            break
        fit.append(message)
    return fit


def fitted(profile: Profile) -> Profile:
    """A profile as an account can hold it: with no more in it than an import may have.

    Names are for people, and cut; an address would no longer work, and is left out. Raises
    PlatformUnreachable for a longer id: cut it could be another profile's.
    """
    if len(profile.platform_user_id) > TEXT:
        raise PlatformUnreachable("a profile's id is too long")
    scopes = [scope for scope in profile.tokens.scopes if len(scope) <= TEXT]
    return dataclasses.replace(
        profile,
        username=profile.username[:TEXT],
        display_name=profile.display_name[:TEXT],
        profile_photo_url=profile.profile_photo_url if len(profile.profile_photo_url) <= ADDRESS else "",
        tokens=dataclasses.replace(profile.tokens, scopes=tuple(scopes[:SCOPES])),
    )
