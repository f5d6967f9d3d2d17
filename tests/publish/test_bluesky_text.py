"""What is active in a text: by Bluesky's own rules, and in what people type."""

import pytest

from server.publish import bluesky_text
from server.publish.bluesky_text import facets

LINKS = [
    ("no link", []),
    ("start https://middle.com end", [("https://middle.com", "https://middle.com")]),
    (
        "https://a.com/foo?baz=bux#hash x",
        [("https://a.com/foo?baz=bux#hash", "https://a.com/foo?baz=bux#hash")],
    ),
    (
        "https://one.com\nhttps://two.com",
        [("https://one.com", "https://one.com"), ("https://two.com", "https://two.com")],
    ),
    (
        "start middle.com/foo?baz=bux#hash end",
        [("middle.com/foo?baz=bux#hash", "https://middle.com/foo?baz=bux#hash")],
    ),
    ("one.com\ntwo.com", [("one.com", "https://one.com"), ("two.com", "https://two.com")]),
    ("a trailing bsky.app: colon", [("bsky.app", "https://bsky.app")]),
    ("it is at bsky.app.", [("bsky.app", "https://bsky.app")]),
    ("my-site.co.uk:8443/path", [("my-site.co.uk:8443/path", "https://my-site.co.uk:8443/path")]),
    (
        "BSKY.App and HTTPS://BSKY.APP/x",
        [("BSKY.App", "https://BSKY.App"), ("HTTPS://BSKY.APP/x", "HTTPS://BSKY.APP/x")],
    ),
    ("http://localhost:8080/x", [("http://localhost:8080/x", "http://localhost:8080/x")]),
    ("not.. a..url ..here", []),
    ("e.g. something-cool.jpg website.com.jpg e.g./foo website.com.jpg/foo", []),
    ("somebody@example.com first.app@example.com", []),
    ("https:// and http://...", []),
    ("no\u017fe.com", []),
    (
        "https://foo.com, https://bar.com/what; https://baz.com.",
        [("https://foo.com",) * 2, ("https://bar.com/what",) * 2, ("https://baz.com",) * 2],
    ),
    ("(https://foo.com) (foo.com)", [("https://foo.com",) * 2, ("foo.com", "https://foo.com")]),
    ("see https://foo.com/thing_(cool)", [("https://foo.com/thing_(cool)",) * 2]),
    ("(see https://foo.com/thing_(cool)).", [("https://foo.com/thing_(cool)",) * 2]),
    (
        '"https://foo.com/a" <https://foo.com/b> \u201cfoo.com\u201d',
        [("https://foo.com/a",) * 2, ("https://foo.com/b",) * 2, ("foo.com", "https://foo.com")],
    ),
    ("https://foo.com!!! https://foo.com/?q=1...", [("https://foo.com",) * 2, ("https://foo.com/?q=1",) * 2]),
    ("https://foo.com/a's", [("https://foo.com/a's",) * 2]),
    (
        "\u300chttps://foo.com/\u65e5\u672c\u300d example.com\u3067\u3059",
        [("https://foo.com/\u65e5\u672c",) * 2, ("example.com", "https://example.com")],
    ),
]
MENTIONS = [
    ("@handle.com @Handle.COM", ["@handle.com", "@Handle.COM"]),
    ("start @full123-chars.test end", ["@full123-chars.test"]),
    ("not@right.com", []),
    ("@handle.com!@#$chars", ["@handle.com"]),
    ("@handle.com\n@handle.com", ["@handle.com"] * 2),
    ("parenthetical (@handle.com)", ["@handle.com"]),
    (
        "@handle.com. @handle.com- @handle.com's \u201c@handle.com\u201d @handle.com\u3055\u3093",
        ["@handle.com"] * 5,
    ),
    ("@handle @file.jpg @.com @-a.com", []),
]
TAGS = [
    ("#a #b", ["a", "b"]),
    ("#1 #1a #a1 # #? ## #1?", ["1a", "a1"]),
    ("text # text x#y", []),
    (f"#{'a' * 64} #{'b' * 65} #{'c' * 64}!", ["a" * 64, "c" * 64]),
    # Of what people see as one character.
    ("#" + "e\u0301" * 64 + " #" + "e\u0301" * 65, ["e\u0301" * 64]),
    ("its a #double#rainbow ##hashash", ["double#rainbow", "#hashash"]),
    (
        "some #n0n3s@n5e! #with,punctuation #like. #multi___...",
        ["n0n3s@n5e", "with,punctuation", "like", "multi"],
    ),
    ("with #\U0001f98b emoji, and #butter\U0001f98bfly", ["\U0001f98b", "butter\U0001f98bfly"]),
    ("#\ufe0f\u20e3tag and ##\ufe0f\u20e3tag", ["#\ufe0f\u20e3tag"]),
    ("#t\nag #\u200b #\u200ba #a\u200bb #\u20e2tag", ["t", "a"]),
    (
        "\uff03\u65e5\u672c\u8a9e\u3002 #cafe\u0301 #\u0939\u093f\u0928\u094d\u0926\u0940",
        ["\u65e5\u672c\u8a9e", "cafe\u0301", "\u0939\u093f\u0928\u094d\u0926\u0940"],
    ),
    ("$aapl ($GOOG) $A, $100 $TOOLONG no$SPACE $ABC12", ["$AAPL", "$GOOG", "$A", "$ABC12"]),
]


def shown(text: str, facet: dict) -> str:  # type: ignore[type-arg]
    """What a client shows as active: it reads the bytes that a facet names."""
    index = facet["index"]
    return text.encode()[index["byteStart"] : index["byteEnd"]].decode()


@pytest.mark.parametrize(("text", "links"), LINKS)
def test_links(text: str, links: list[tuple[str, str]]) -> None:
    made = facets(text, {})
    assert [(shown(text, facet), facet["features"][0]["uri"]) for facet in made] == links
    assert bluesky_text.first_link(text) == (links[0][1] if links else None)


@pytest.mark.parametrize(("text", "mentions"), MENTIONS)
def test_mentions(text: str, mentions: list[str]) -> None:
    handles = [mention.removeprefix("@").lower() for mention in mentions]
    assert bluesky_text.handles(text) == list(dict.fromkeys(handles))
    made = facets(text, {handle: f"did:of:{handle}" for handle in handles})
    said = [facet for facet in made if facet["features"][0]["$type"].endswith("#mention")]
    assert [shown(text, facet) for facet in said] == mentions
    assert [facet["features"][0]["did"] for facet in said] == [f"did:of:{handle}" for handle in handles]


@pytest.mark.parametrize(("text", "tags"), TAGS)
def test_tags(text: str, tags: list[str]) -> None:
    made = facets(text, {})
    assert [facet["features"][0]["tag"] for facet in made] == tags
    for facet, tag in zip(made, tags, strict=True):
        # The sign that makes it one, and the tag: nothing more is active.
        assert shown(text, facet)[1:].upper() == tag.removeprefix("$").upper()


@pytest.mark.parametrize(
    "before",
    [
        "",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f467 ",
        "e\u0301\u0301 ",
        "\u65e5\u672c ",
        "\U0001f1e9\U0001f1ea\n",
    ],
)
def test_places_are_bytes(before: str) -> None:
    text = f"{before}@alice.test example.com #tag {before}"
    made = facets(text, {"alice.test": "did:plc:alice"})
    assert [shown(text, facet) for facet in made] == ["@alice.test", "example.com", "#tag"]
    assert made[0]["index"]["byteStart"] == len(before.encode())


def test_a_handle_that_is_nobodys_stays_text() -> None:
    assert facets("@alice.test and @bob.test", {"bob.test": "did:plc:bob"}) == [
        {
            "index": {"byteStart": 16, "byteEnd": 25},
            "features": [{"$type": "app.bsky.richtext.facet#mention", "did": "did:plc:bob"}],
        }
    ]


@pytest.mark.parametrize(
    "text", ["https://a.com/#tag", "https://a.com/@alice.test", "@a.com#tag", "#@a.com #https://a.com"]
)
def test_nothing_is_active_twice(text: str) -> None:
    made = facets(text, {"a.com": "did:plc:a", "alice.test": "did:plc:b"})
    ends = [0] + [facet["index"]["byteEnd"] for facet in made]
    assert all(facet["index"]["byteStart"] >= end for facet, end in zip(made, ends, strict=False))


@pytest.mark.parametrize("sign", ["a.", "(", "@a.", "#", "https://)", "https://a.com/(", "$", "a-", "\u3000"])
def test_no_text_takes_long(sign: str) -> None:
    """Of 3,000 bytes, the most a post may have, a hundred times as many: an expression that tries everything
    would not come to its end."""
    facets(sign * (300_000 // len(sign.encode())), {})
