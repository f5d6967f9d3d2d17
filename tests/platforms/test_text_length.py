"""How long a text is, as platforms count."""

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.platforms import text_length
from server.platforms.limits import LIMITS
from server.platforms.text_length import graphemes, hashtags, length, mentions, weighted
from tests.kit.support import GENERATED

MASTODON = LIMITS["mastodon"]
COUNTERPARTS = Path(__file__).parents[1] / "counterparts"
GRAPHEMES = {
    "": 0,
    "abc": 3,
    "\r\n\n": 2,
    "e\u0301": 1,
    "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466": 1,
    "\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7": 2,
    "\U0001f469\U0001f3fd\u200d\U0001f52c": 1,
    "1\ufe0f\u20e3": 1,
    "\u0915\u094d\u0937\u093f": 1,
    "\u0ba8\u0bbf": 1,
    "\u1112\u1161\u11ab\u1100\u116e\u11a8": 2,
    "\u0e01\u0e47": 1,
    "a\u0308\u0308b": 2,
    "\U0001f1e9" * 5: 3,
    "\U0001f1e9\u0301\U0001f1ea\U0001f1eb": 2,
    "\U0001f1e9\u200d\U0001f1ea": 2,
    "\u0600\U0001f1e9\U0001f1ea\u0903a": 2,
}


@pytest.mark.parametrize(("text", "count"), GRAPHEMES.items())
def test_what_people_see_as_one_character_is_one(text: str, count: int) -> None:
    assert graphemes(text) == count


@GENERATED
@given(st.text(st.sampled_from("a\r\n\t #@")))
def test_the_short_way_for_ascii_counts_alike(text: str) -> None:
    assert graphemes(text) == graphemes(text + "\u00e9") - 1 == len(text_length.GRAPHEME.findall(text))


URLS = {
    # (text, the links that are found)
    "https://example.com": ["https://example.com"],
    "see https://example.com/a?b=c&d=e#f now": ["https://example.com/a?b=c&d=e#f"],
    "(http://example.com/a).": ["http://example.com/a"],
    "HTTPS://EXAMPLE.COM/A, too": ["HTTPS://EXAMPLE.COM/A"],
    "https://example.com:8080/a!": ["https://example.com:8080/a"],
    "https://m\u00fcnchen.example/\u00fc": ["https://m\u00fcnchen.example/\u00fc"],
    "https://a.example https://b.example": ["https://a.example", "https://b.example"],
    "example.com/a": [],
    "http://localhost/a": [],
    "xhttp://example.com": [],
    "ftp://example.com": [],
    "https://": [],
}


@pytest.mark.parametrize(("text", "found"), URLS.items())
def test_links_are_found(text: str, found: list[str]) -> None:
    assert text_length.URL.findall(text) == found
    rest = len(text) - sum(map(len, found))
    assert length(text, MASTODON) == rest + 23 * len(found)


MENTIONS = {
    # (text, its length on Mastodon)
    "@alice": 6,
    "@alice@example.com": 6,
    "@alice@example.com, hi": 10,
    "hi @al.ice_b@sub.example.com:3000.": 13,
    "alice@example.com": 17,
    "@alice@example.com @bob@example.com": 11,
    "https://example.com/@alice@example.org": 23,
}


@pytest.mark.parametrize(("text", "count"), MENTIONS.items())
def test_mentions_count_without_their_server(text: str, count: int) -> None:
    assert length(text, MASTODON) == count


def test_hashtags_and_mentions_are_counted() -> None:
    assert hashtags("#one #2nd #3 \uff03four a#b &#39; #\u00fcber, #a#b") == 5
    assert mentions("@one, a@b @two@example.com /@x") == 2


def test_x_counts_by_weight() -> None:
    assert weighted("hello") == 5
    assert weighted("\u00fc\u044f\u05d0") == 3
    assert weighted("\u65e5\u672c") == 4
    assert weighted("\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466") == 2
    assert weighted("1#*") == 3


HOSTILE = {
    "mentions": "@a" * 30_000,
    "half mentions": "@a@" * 20_000,
    "names with dots": "@" + "a." * 30_000,
    "schemes": "https://" * 8000,
    "half hosts": "https://a." * 6500,
    "brackets": "https://a.example/" + "(" * 60_000,
    "punctuation": "https://a.example/" + ".,;" * 20_000,
    "accents": "e" + "\u0301" * 60_000,
    "flags": "\U0001f1e9" * 60_000,
    "conjuncts": "\u0915\u094d" * 30_000,
    "linkers": "\u0915" + "\u094d" * 60_000,
    "marks and joiners": "\u0301\u200d" * 30_000,
    "joiners": "\U0001f468\u200d" * 30_000,
    "digits": "#" + "1" * 60_000,
    "hashes": "#1" * 30_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_no_text_takes_long(text: str) -> None:
    """Processor time, of which such a text takes a twentieth; what backtracks takes minutes."""
    start = time.thread_time()
    length(text, MASTODON)
    hashtags(text)
    mentions(text)
    weighted(text)
    assert time.thread_time() - start < 10


GRAPHEME_LEN = """
const {graphemeLen, utf8Len} = require("@atproto/lex-data");
const texts = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(texts.map((text) => [graphemeLen(text), utf8Len(text)])));
"""


@pytest.mark.skipif(
    not (COUNTERPARTS / "node_modules" / "@atproto").is_dir() or shutil.which("node") is None,
    reason="Bluesky's server is not installed (tests/counterparts)",
)
def test_bluesky_counts_alike() -> None:
    """By the function of its own lexicon validator."""
    texts = [*GRAPHEMES, *URLS, "क्षत्रिय", "สวัสดี", "ÅÄÖ", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "👩‍❤️‍👩", "\u200d\u200d", "각각"]
    said = subprocess.run(
        [shutil.which("node") or "node", "-e", GRAPHEME_LEN],
        cwd=COUNTERPARTS,
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    assert json.loads(said) == [[graphemes(text), len(text.encode())] for text in texts]
