"""The table of limits: that it is checked when loaded, and what an account's own limits change of it."""

import pytest

from server.base import platform_names
from server.platforms import limits
from server.platforms.limits import LIMITS, limits_of, parse, valid

ROW = '[x]\ndocumentation = ["https://docs.x.example"]\nimage_bytes = 5_000_000\nvideo_bytes = 1\n'


@pytest.mark.parametrize(
    ("more", "wrong"),
    [
        ("most_charcters = 3", r"x\.most_charcters"),
        ("most_characters = 0", r"x\.most_characters"),
        ('most_characters = "many"', r"x\.most_characters"),
        ('counted_as = "letters"', r"x\.counted_as"),
        ('scopes = ["write"]', r"x\.scopes"),
        ("poll_options = 1", r"x\.poll_options"),
    ],
)
def test_a_row_that_says_something_unknown_or_wrong_is_refused(more: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        parse(ROW + more)


@pytest.mark.parametrize("fact", ["documentation", "image_bytes", "video_bytes"])
def test_a_row_that_lacks_a_fact_is_refused(fact: str) -> None:
    lines = [line for line in ROW.splitlines() if not line.startswith(fact)]
    with pytest.raises(ValueError, match=rf"x\.{fact}"):
        parse("\n".join(lines))


def test_every_row_is_a_platform_and_says_what_it_accepts() -> None:
    for platform, row in LIMITS.items():
        assert platform in platform_names.ALL
        assert row.image_types
        assert row.video_types
        assert row.scopes


def test_rows_of_other_platforms_need_no_code() -> None:
    """What they document has names here."""
    rows = parse(
        ROW + 'most_characters = 280\ncounted_as = "weighted"\nurl_counts_as = 23\nmost_images = 4\n'
        "most_videos = 1\npoll_options = 4\npoll_option_characters = 25\npoll_least_seconds = 300\n"
        '[instagram]\ndocumentation = ["https://docs.instagram.example"]\nimage_bytes = 8\nvideo_bytes = 9\n'
        "least_media = 1\nmost_media = 10\nmixes_images_and_videos = true\nmost_hashtags = 30\n"
        "most_mentions = 20\nleast_image_ratio = 0.8\nmost_image_ratio = 1.91\n"
    )

    assert rows["x"].url_counts_as == 23
    assert rows["instagram"].most_image_ratio == 1.91


def test_what_a_platform_says_of_an_account_comes_in_the_place_of_its_row() -> None:
    own = {"most_characters": 5000, "image_types": ["image/png"], "most_media": 6}

    found = limits_of("mastodon", own)

    assert found == LIMITS["mastodon"].model_copy(update={**own, "image_types": ("image/png",)})
    assert limits_of("mastodon", None) == limits_of("mastodon", {}) == LIMITS["mastodon"]


def test_what_can_be_no_limit_is_left_out() -> None:
    said = {
        "most_characters": "a lot",
        "video_bytes": -1,
        "image_types": 7,
        "scopes": [],
        "media_scopes": [],
        "documentation": ["https://evil.example"],
        "colour": "red",
        "most_media": 8,
    }

    assert valid(said, LIMITS["mastodon"]) == {"most_media": 8}
    assert limits_of("mastodon", said) == LIMITS["mastodon"].model_copy(update={"most_media": 8})


def test_a_platform_without_a_row_has_no_limits() -> None:
    assert limits_of("pinterest", {"most_characters": 3}) is None


def test_names_of_an_accounts_own_limits_are_those_of_the_row() -> None:
    assert {"documentation", "scopes"}.isdisjoint(limits.OWN_NAMES)
    assert set(limits.Limits.model_fields) > limits.OWN_NAMES
