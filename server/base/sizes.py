"""How large things may be, so that every client reads every answer: by default one refuses more than 4 MiB.

A page is measured as the JSON in which PostgreSQL sends its rows, before it sends them. As protobuf it is
smaller as a rule, and at most 1.8 times as large: an answer names each target of a post up to three times.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from google.protobuf.message import Message

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
TEXT, ADDRESS, SCOPES, TOKEN = 255, 2048, 50, 16_384

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
