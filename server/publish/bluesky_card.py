"""The card that a link has below a post: what its page says of itself, by the Open Graph protocol.

Bluesky's servers fetch no page: the author's client makes the card. A page that can't be read has none, and
a picture that can't be had is left out; neither keeps a post from being published.
Facts: https://ogp.me, and the lexicon app.bsky.embed.external.
"""

import codecs
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

import httpx2
from selectolax.lexbor import LexborHTMLParser

from server.platforms.failures import PlatformUnreachable
from server.platforms.http import Http, run

# Of a page: what it says of itself is at its beginning.
PAGE_BYTES = 512 * 1024
PAGE_SECONDS = 10.0
# Of other people's texts.
TITLE_CHARACTERS, DESCRIPTION_CHARACTERS = 300, 1000
HEADERS = {
    "Accept": "text/html,application/xhtml+xml",
    "User-Agent": "Mozilla/5.0 (compatible; Hitchpost; link card)",
}
CHARSET = re.compile(rb"<meta[^>]{0,200}charset=[\"']?\s*([A-Za-z0-9_-]{1,40})", re.IGNORECASE)
# Of texts, and quick to read; Python knows others.
ENCODINGS = re.compile(r"utf-8|iso8859-.*|cp\d+|shift_jis.*|euc_.*|gb.*|big5.*|koi8-.*|ascii|tis-620")


@dataclass(frozen=True, slots=True)
class Page:
    """What a page says of itself; `image_url` is None if it has no picture."""

    title: str
    description: str
    image_url: str | None


def read(http: Http, url: str, until: float) -> Page | None:
    """The page at an address that somebody has typed; None if there is none that says what it is."""
    try:
        return run(_read(http, url), deadline(until))
    except (PlatformUnreachable, httpx2.HTTPError, ValueError, LookupError):
        return None


def deadline(until: float) -> float:
    """Until when a page, or its picture, is waited for."""
    return min(until, time.monotonic() + PAGE_SECONDS)


async def _read(http: Http, url: str) -> Page | None:
    # What is unpacked is cut, so packed bytes are limited beside that.
    options = http.options(most_bytes=4 * PAGE_BYTES, follow_redirects=True)
    async with (
        httpx2.AsyncClient(**options) as client,
        client.stream("GET", url, headers=HEADERS) as response,
    ):
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if not response.is_success or kind not in ("text/html", "application/xhtml+xml"):
            return None
        content = bytearray()
        async for part in response.aiter_bytes(64 * 1024):
            content += part
            if len(content) >= PAGE_BYTES:
                break
    return parse(bytes(content[:PAGE_BYTES]), response.charset_encoding, str(response.url))


def parse(content: bytes, charset: str | None, url: str) -> Page | None:
    """What a page says; `charset` is its header's, `url` where it was found in the end."""
    tree = LexborHTMLParser(content.decode(_encoding(content, charset), "replace"))
    said: dict[str, str] = {}
    for node in tree.css("meta"):
        name = node.attributes.get("property") or node.attributes.get("name")
        value = " ".join((node.attributes.get("content") or "").split())
        if name and value:
            said.setdefault(name.lower(), value)
    title_node = tree.css_first("head > title")
    title = _first(said, "og:title", "twitter:title") or (
        " ".join(title_node.text().split()) if title_node else ""
    )
    if not title:
        return None
    description = _first(said, "og:description", "twitter:description", "description")
    image = _first(said, "og:image:secure_url", "og:image", "og:image:url", "twitter:image")
    return Page(
        title[:TITLE_CHARACTERS],
        description[:DESCRIPTION_CHARACTERS],
        _address(url, image) if image else None,
    )


def _first(said: Mapping[str, str], *names: str) -> str:
    return next((said[name] for name in names if name in said), "")


def _address(page: str, image: str) -> str | None:
    """A picture's address, which may be relative to the page's."""
    try:
        return str(httpx2.URL(page).join(image))
    except (httpx2.InvalidURL, ValueError):
        return None


def _encoding(content: bytes, charset: str | None) -> str:
    """By the header, else by what the page says at its beginning."""
    declared = CHARSET.search(content[:2048])
    for name in (charset, declared[1].decode("ascii") if declared else None):
        try:
            encoding = codecs.lookup(name).name if name else ""
        except LookupError:
            continue
        if ENCODINGS.fullmatch(encoding):
            return encoding
    return "utf-8"
