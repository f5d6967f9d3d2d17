"""Where browsers may be sent: the grammar of redirect URLs, and the allow-list that takes no others."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server import redirect_urls
from tests.conftest import ENCRYPTION_KEY
from tests.servers import printed, refused
from tests.support import GENERATED, Client, unique

# Each with the host that we take, or None where we refuse. test_browser.py asks Chromium about the same.
TRICKS: dict[str, str | None] = {
    "https://app.example.com": "app.example.com",
    "https://app.example.com/done?x=1&y=%2F#part": "app.example.com",
    "https://APP.Example.COM/Done": "app.example.com",
    "https://app.example.com:8443/done": "app.example.com",
    "https://xn--bcher-kva.example/": "xn--bcher-kva.example",
    "https://a--b.example/?@evil.example": "a--b.example",
    "https://app.example.com/@evil.example/:80": "app.example.com",
    "https://app.example.com?/\\evil.example": None,
    "http://localhost#@evil.example/": "localhost",
    "http://127.0.0.1:3000/done": "127.0.0.1",
    "http://[::1]:8000/x": "[::1]",
    "http://[1::2:3:0:0:4]/": "[1::2:3:0:0:4]",
    # A browser reads a backslash as a slash.
    "http://evil.example\\@localhost/": None,
    "http:\\\\evil.example/": None,
    "https:/\\evil.example/": None,
    # It takes more slashes, fewer, or none for two.
    "http:///evil.example/": None,
    "http:/evil.example/": None,
    "http:evil.example": None,
    "//evil.example/": None,
    # It drops tabs and line ends anywhere, and spaces and control characters at both ends.
    "http://evil.exam\tple/": None,
    "http://local\nhost/": None,
    "ht\rtp://localhost/": None,
    " http://localhost/": None,
    "http://localhost/\x00": None,
    "http://localhost/ x": None,
    # What stands before an @ is a user name.
    "http://localhost@evil.example/": None,
    "http://localhost:80@evil.example/": None,
    "http://user:password@localhost/": None,
    "http://@localhost/": None,
    # It decodes, and maps what looks alike.
    "http://%65vil.example/": None,
    "http://127.0.0.1%2f@evil.example/": None,
    "http://evil\u3002example/": None,
    "http://\uff4cocalhost/": None,
    "http://b\u00fccher.example/": None,
    "http://evil.example\uff0flocalhost/": None,
    "http://local\u00adhost/": None,
    # It knows many forms of an IPv4 address.
    "http://0x7f.1/": None,
    "http://2130706433/": None,
    "http://0177.0.0.1/": None,
    "http://127.1/": None,
    "http://127.0.0.1./": None,
    "http://127.0.0.256/": None,
    "http://app.example.1/": None,
    "http://app.example.0x1/": None,
    # And of an IPv6 address.
    "http://[0:0:0:0:0:0:0:1]/": None,
    "http://[::ffff:7f00:1]/": None,
    "http://[::ffff:127.0.0.1]/": None,
    "http://[::1%25eth0]/": None,
    "http://[::1/": None,
    # No host, no name that DNS knows, no port that there is, no address for browsers.
    "http://": None,
    "http:///": None,
    "http://:80/": None,
    "http://localhost./": None,
    "http://app..example/": None,
    "http://-app.example/": None,
    "http://app_1.example/": None,
    f"http://{'a' * 64}.example/": None,
    f"http://{'a.' * 127}example/": None,
    "http://localhost:/": None,
    "http://localhost:0/": None,
    "http://localhost:65536/": None,
    "http://localhost:8\u0660/": None,
    "HTTP://localhost/": None,
    "javascript://localhost/%0aalert(1)": None,
    "ftp://localhost/": None,
    f"https://app.example.com/{'x' * 2048}": None,
}


@pytest.mark.parametrize("url", TRICKS)
def test_the_grammar_of_redirect_urls(url: str, client: Client) -> None:
    """On every way in: what we refuse is FIELD_INVALID even if it should be on an allow-list."""
    taken = TRICKS[url]
    if taken is None:
        with pytest.raises(ValueError, match="must be http"):
            redirect_urls.host(url)
        request = {"platform": "PLATFORM_SANDBOX", "redirect_url": url}
        refused = client.fails("SocialAccountService/CreateAuthUrl", **request)
        assert (refused.what, refused.fields) == (("INVALID_ARGUMENT", "FIELD_INVALID"), ("redirect_url",))
    else:
        assert redirect_urls.host(url) == taken


@GENERATED
@given(st.text(alphabet="ab1.-:/\\@[]%?# \t\u3002", max_size=12))
def test_whatever_is_accepted_has_a_plain_host(rest: str) -> None:
    try:
        host = redirect_urls.host(f"http://{rest}")
    except ValueError:
        return
    assert rest.startswith(host)
    assert rest[len(host) :][:1] in ("", ":", "/", "?", "#")


@pytest.fixture
def settings(new_database: Callable[[], str]) -> dict[str, str]:
    return {"database_url": new_database(), "encryption_keys": ENCRYPTION_KEY}


def test_the_allow_list_command_takes_https_and_what_browsers_read_as_we_do(settings: dict[str, str]) -> None:
    name = unique("project")
    printed("projects", "create", name, **settings)
    add = ("projects", "add-redirect-url", name)
    for url in ("http://evil.example\\@localhost/", "https://user@app.example.com/", "http:///x", "https://"):
        assert "must be http" in refused(*add, url, **settings)
    assert "https://" in refused(*add, "http://app.example.com/done", **settings)
    assert "http" not in printed("projects", "list", **settings)
    printed(*add, "https://app.example.com/done", **settings)
    printed(*add, "http://app.example.com/dev", dev_mode="true", **settings)
    listed = printed("projects", "list", **settings)
    assert "https://app.example.com/done http://app.example.com/dev" in listed


def test_a_redirect_url_can_be_removed(settings: dict[str, str]) -> None:
    name, url = unique("project"), "https://app.example.com/done"
    printed("projects", "create", name, **settings)
    remove = ("projects", "remove-redirect-url", name, url)
    assert "not on the allow-list" in refused(*remove, **settings)
    printed("projects", "add-redirect-url", name, url, **settings)
    printed(*remove, **settings)
    assert "http" not in printed("projects", "list", **settings)
