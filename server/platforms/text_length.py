"""How long a text is for a platform: in characters as it counts them, and in bytes."""

import unicodedata
from collections.abc import Callable, Mapping

import regex

from server.platforms.limits import Counting, Limits

GRAPHEME = regex.compile(r"\X")
# Flags are pairs of these. \X looks back to the first one from each, which takes seconds for many of them.
FLAG = regex.compile("[\U0001f1e6-\U0001f1ff]{1,2}")
EMOJI = regex.compile(r"[\p{Extended_Pictographic}--\p{ASCII}]|\u20e3", regex.V1)
# A flag, as \X may see it where it only matters that it is an emoji.
PICTURE = "\U0001f3f3"
# As platforms find them: by their scheme, at a host with a dot, without the punctuation of the sentence.
_IN_URL = r"""[\p{Latin}\p{Cyrillic}\p{Nd}!#-;=?-Z\[\]_a-z~]"""
URL = regex.compile(
    rf"(?<![\p{{L}}\p{{N}}_@$#/])https?://[\p{{L}}\p{{N}}-]++(?:\.[\p{{L}}\p{{N}}-]++)++(?::\d++)?"
    rf"(?:[/?#]{_IN_URL}*(?<![.,:;!?'\])]))?",
    regex.IGNORECASE,
)
MENTION = regex.compile(r"(?<![\p{L}\p{N}_/=@])@[\p{L}\p{N}_]++(?:[.-]++[\p{L}\p{N}_]++)*+")
MENTION_WITH_DOMAIN = regex.compile(rf"({MENTION.pattern})@[\p{{L}}\p{{N}}]++(?:[.:-]++[\p{{L}}\p{{N}}]++)*+")
HASHTAG = regex.compile(r"(?<![\p{L}\p{N}_&/])[#\uff03](?=\p{N}*+[\p{L}_])[\p{L}\p{M}\p{N}_]++")
# https://docs.x.com/fundamentals/counting-characters: of these each counts one, of all others two.
LIGHT = ((0, 4351), (8192, 8205), (8208, 8223), (8242, 8247))


def graphemes(text: str) -> int:
    """What people see as characters: extended grapheme clusters (UAX 29)."""
    if text.isascii():
        return len(text) - text.count("\r\n")
    return sum(1 for _ in GRAPHEME.finditer(FLAG.sub("x", text)))


def weighted(text: str) -> int:
    """As X counts: an emoji two, whatever it is made of."""
    text = FLAG.sub(PICTURE, unicodedata.normalize("NFC", text))
    return sum(
        2 if EMOJI.search(found[0]) else sum(_weight(ord(character)) for character in found[0])
        for found in GRAPHEME.finditer(text)
    )


def _weight(code_point: int) -> int:
    return 1 if any(first <= code_point <= last for first, last in LIGHT) else 2


COUNTS: Mapping[Counting, Callable[[str], int]] = {
    "characters": len,
    "graphemes": graphemes,
    "weighted": weighted,
}


def length(text: str, limits: Limits) -> int:
    """The characters of a post's text, as the platform counts them."""
    if limits.url_counts_as is not None:
        text = URL.sub("x" * limits.url_counts_as, text)
    if limits.mentions_without_domain:
        text = MENTION_WITH_DOMAIN.sub(r"\1", text)
    return COUNTS[limits.counted_as](text)


def hashtags(text: str) -> int:
    """How many words with # it has."""
    return sum(1 for _ in HASHTAG.finditer(text))


def mentions(text: str) -> int:
    """How many names with @ it has."""
    return sum(1 for _ in MENTION.finditer(text))
