"""A post as a record of Bluesky, and the key by which it is there once.

Facts: the lexicon app.bsky.feed.post, and https://atproto.com/specs/tid.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from server.publish import bluesky_text
from server.publish.publisher import MediaItem, Sending, Values

COLLECTION = "app.bsky.feed.post"
# The step that brings how a reply names what it replies to.
REPLIED = "replied"
SORTABLE = "234567abcdefghijklmnopqrstuvwxyz"
TID_CHARACTERS, CLOCK_BITS = 13, 10
KEY = re.compile(f"[{SORTABLE}]{{{TID_CHARACTERS}}}")
Record = dict[str, Any]


def record_key(now: datetime, key: str) -> str:
    """A TID: microseconds, and where others would say which of their clocks it was by, something of ours."""
    clock = int.from_bytes(hashlib.sha256(key.encode()).digest()[:2]) % (1 << CLOCK_BITS)
    number = int(now.timestamp() * 1_000_000) << CLOCK_BITS | clock
    signs = [SORTABLE[number >> 5 * place & 31] for place in reversed(range(TID_CHARACTERS))]
    return "".join(signs)


def record(sending: Sending, dids: Mapping[str, str], embed: Record | None) -> Record:
    """The post, made of what its steps have brought."""
    part, options = sending.part, sending.options
    made: Record = {
        "$type": COLLECTION,
        "text": part.text,
        "createdAt": sending.now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    if facets := bluesky_text.facets(part.text, dids):
        made["facets"] = facets
    if embed:
        made["embed"] = embed
    if part.replies_to is not None:
        made["reply"] = {"root": _place(sending, 0), "parent": _place(sending, part.replies_to)}
    if languages := list(options.get("languages") or ()):
        made["langs"] = languages
    # They are of the media: a follow-up without any needs none.
    labels = list(options.get("self_labels") or ())
    if labels and (sending.index == 0 or part.media):
        values = [{"val": label} for label in labels]
        made["labels"] = {"$type": "com.atproto.label.defs#selfLabels", "values": values}
    return made


def unnamed(sending: Sending) -> list[int]:
    """The posts that a reply has to name, and of which its steps before have not brought how."""
    if sending.part.replies_to is None:
        return []
    return [index for index in _replied(sending) if not {"uri", "cid"} <= set(sending.published[index])]


def _replied(sending: Sending) -> list[int]:
    return sorted({0, sending.part.replies_to or 0})


def _place(sending: Sending, index: int) -> dict[str, str]:
    asked = dict(zip(unnamed(sending), sending.done.get(REPLIED, {}).get("named", ()), strict=False))
    named = asked.get(index) or sending.published[index]
    return {"uri": named["uri"], "cid": named["cid"]}


def key_in(address: str) -> str | None:
    """The key of a post in its address, at:// or https://; None if that is no post's."""
    key = address.rstrip("/").rpartition("/")[2]
    return key if KEY.fullmatch(key) else None


def which(did: str, rkey: str) -> dict[str, str]:
    """How a server is told of which record it is."""
    return {"repo": did, "collection": COLLECTION, "rkey": rkey}


def media_embed(items: Sequence[MediaItem], media: Sequence[Values]) -> Record:
    """What shows these media: images, or one video."""
    if media[0]["kind"] == "video":
        [item], [video] = items, media
        shown = {"video": video["blob"], **_ratio(video)}
        return {"$type": "app.bsky.embed.video", **shown, **({"alt": item.alt_text} if item.alt_text else {})}
    images = [
        {"image": medium["blob"], "alt": item.alt_text, **_ratio(medium)}
        for item, medium in zip(items, media, strict=True)
    ]
    return {"$type": "app.bsky.embed.images", "images": images}


def _ratio(medium: Values) -> Record:
    return {"aspectRatio": medium["aspect_ratio"]} if medium.get("aspect_ratio") else {}


def card_embed(card: Values) -> Record | None:
    """What shows a link's card, if it has one."""
    return {"$type": "app.bsky.embed.external", "external": card["external"]} if "external" in card else None


def result(did: str, rkey: str, said: Values) -> Values:
    """What the post is called, where it is to be seen, and how a reply names it."""
    uri = str(said["uri"])
    url = f"https://bsky.app/profile/{did}/post/{rkey}"
    return {"id": uri, "url": url, "uri": uri, "cid": str(said["cid"])}
