"""Images, videos and link cards on their way to Bluesky: what is read of them, and what is refused."""

from collections.abc import Iterator
from io import BytesIO

import pytest

from generated.hitchpost.v1 import social_post_service_pb2 as pb
from server.platforms import Tokens
from server.platforms.http import Http
from server.publish import bluesky_card, bluesky_media
from server.publish.bluesky import BlueskyPublisher
from server.publish.bluesky_card import Page
from server.publish.media import Media, MediaFile, content_type
from server.publish.publisher import PublishFailed
from tests.kit.bluesky_posts import Target, text, until
from tests.kit.media import Site, gif, jpeg, mp4, png, site, webp
from tests.kit.support import free_port, secret

HTTP = Http(allow_private=True)


@pytest.fixture(scope="module")
def files() -> Iterator[Site]:
    with site() as served:
        yield served


def medium(content: bytes) -> MediaFile:
    return MediaFile(BytesIO(content), content_type(content[:64]), len(content))


SIZES = [
    (png(640, 480), (640, 480)),
    (gif(12, 34), (12, 34)),
    (webp(1000, 20), (1000, 20)),
    (jpeg(640, 480), (640, 480)),
    # A picture taken upright with a camera that was made to lie: it is shown turned.
    (jpeg(640, 480, orientation=6), (480, 640)),
    (jpeg(640, 480, orientation=3), (640, 480)),
    (mp4(1920, 1080), (1920, 1080)),
    (mp4(1920, 1080, last=False), (1920, 1080)),
    (mp4(1920, 1080, turned=True), (1080, 1920)),
    # What does not say, or lies, has none.
    (png(640, 480)[:20], None),
    (jpeg(640, 480)[:12], None),
    (mp4()[:40], None),
    (mp4(0, 0), None),
    (mp4()[:28] + b"\x00\x00\x00\x00moov" * 2000, None),
    (mp4()[:28] + b"\x00\x00\x00\x01mdat" + b"\xff" * 8, None),
]


@pytest.mark.parametrize(("content", "size"), SIZES, ids=lambda value: str(value)[:24])
def test_how_media_are_shown(content: bytes, size: tuple[int, int] | None) -> None:
    want = None if size is None else {"width": size[0], "height": size[1]}
    assert bluesky_media.aspect_ratio(medium(content)) == want


def target() -> Target:
    """An account at a server that must not be called."""
    context = {"did": "did:plc:a", "pds": f"http://127.0.0.1:{free_port()}"}
    return Target(BlueskyPublisher(HTTP, Media(HTTP)), Tokens(secret(), None, None, (), context))


REFUSED = [
    ([png(size=1_000_000)], "MEDIA_SIZE"),
    ([mp4(), png()], "MEDIA_MIXED"),
    ([b"\x00\x00\x00\x14ftypqt  " + b"\x00" * 8], "MEDIA_TYPE"),
    ([b"\x1a\x45\xdf\xa3" + b"\x00" * 60], "MEDIA_TYPE"),
    ([b"<svg>"], "MEDIA_TYPE"),
]


@pytest.mark.parametrize(("contents", "code"), REFUSED, ids=[code for _, code in REFUSED])
def test_what_is_refused(contents: list[bytes], code: str, files: Site) -> None:
    media = [(files.put(f"/{number}", content), "") for number, content in enumerate(contents)]
    with pytest.raises(PublishFailed) as refused:
        target().prepare(text("", *media))
    error = refused.value
    assert (error.category, error.code, error.retryable) == (pb.PUBLISH_ERROR_CATEGORY_MEDIA, code, False)


def test_a_medium_that_is_not_there(files: Site) -> None:
    with pytest.raises(PublishFailed) as refused:
        target().prepare(text("", (f"{files.url}/nowhere", "")))
    assert refused.value.category == pb.PUBLISH_ERROR_CATEGORY_MEDIA


URL = "https://example.com/a/page"
PAGES = [
    ("<title>A\n  title</title>", Page("A title", "", None)),
    ('<meta property="og:title" content="A"><title>B</title>', Page("A", "", None)),
    ("<meta content=A property=og:title><meta name=description content='D'>", Page("A", "D", None)),
    ('<meta name="twitter:title" content="A"><meta property="og:title" content="">', Page("A", "", None)),
    ('<title>A</title><meta property="og:image" content="/i.png">', Page("A", "", "https://example.com/i.png")),
    ('<title>A</title><meta property="og:image" content="i.png">', Page("A", "", "https://example.com/a/i.png")),
    ('<title>A</title><meta property="og:image" content="//b.com/i">', Page("A", "", "https://b.com/i")),
    ('<title>A</title><meta property="og:image" content="https://a:b/">', Page("A", "", None)),
    (f"<title>{'t' * 999}</title>", Page("t" * 300, "", None)),
    ('<meta property="og:description" content="no title">', None),
    ("", None),
    ("<title>A", Page("A", "", None)),
    ("<svg><title>of a picture</title></svg>", None),
    ("<p><!-- <title>no</title>", None),
]  # fmt: skip


@pytest.mark.parametrize(("html", "page"), PAGES)
def test_what_pages_say(html: str, page: Page | None) -> None:
    assert bluesky_card.parse(html.encode(), None, URL) == page


@pytest.mark.parametrize(
    ("content", "charset", "title"),
    [
        ("<title>Grüße</title>".encode(), None, "Grüße"),
        ("<title>Grüße</title>".encode("latin-1"), "iso-8859-1", "Grüße"),
        ('<meta charset="windows-1252"><title>Grüße</title>'.encode("cp1252"), None, "Grüße"),
        ('<meta content="text/html; charset=shift_jis"><title>日本</title>'.encode("sjis"), None, "日本"),
        ("<title>Grüße</title>".encode(), "no-such", "Grüße"),
        # Python's own: no text that a browser would read.
        (b"<title>a\\x41</title>", "unicode_escape", "a\\x41"),
        (b"<title>a</title>", "base64", "a"),
    ],
)  # fmt: skip
def test_pages_in_other_encodings(content: bytes, charset: str | None, title: str) -> None:
    page = bluesky_card.parse(content, charset, URL)
    assert page is not None
    assert page.title == title


def test_pages_that_have_no_card(files: Site) -> None:
    for url in (
        f"{files.url}/nowhere",
        files.put("/picture", png(), "image/png"),
        files.put("/plain", b"<title>A</title>", "text/plain"),
        f"http://127.0.0.1:{free_port()}/",
        "http://[::1",
        "http://no-such-host.invalid/",
    ):
        assert bluesky_card.read(HTTP, url, until()) is None


def test_a_page_is_read_only_at_its_beginning(files: Site) -> None:
    url = files.page("/long", "<title>A</title>" + " " * 5_000_000)
    assert bluesky_card.read(HTTP, url, until()) == Page("A", "", None)
    late = files.page("/late", " " * bluesky_card.PAGE_BYTES + "<title>A</title>")
    assert bluesky_card.read(HTTP, late, until()) is None


def test_a_page_at_a_private_address_is_not_called(files: Site) -> None:
    url = files.page("/private", "<title>A</title>")
    assert bluesky_card.read(Http(), url, until()) is None
    assert "/private" not in files.asked
    assert bluesky_card.read(HTTP, url, until()) is not None
