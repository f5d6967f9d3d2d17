"""Where browsers may be sent: the grammar of redirect URLs, and the allow-list that takes no others."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.projects import redirect_urls
from tests.conftest import ENCRYPTION_KEY
from tests.kit.servers import printed, refused
from tests.kit.support import GENERATED, Client, unique
from tests.kit.tricks import TRICKS


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
