"""Where browsers may be sent: the grammar of redirect URLs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.projects import redirect_urls
from tests.kit.support import GENERATED, Client
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
