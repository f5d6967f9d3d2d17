"""The allow-list of redirect URLs, as an operator fills it: what the grammar takes, and no others."""

from collections.abc import Callable

import pytest

from tests.conftest import ENCRYPTION_KEY
from tests.kit.servers import printed, refused
from tests.kit.support import unique


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
