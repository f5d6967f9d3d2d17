"""When tokens are due, on a clock of the test's own."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from server.accounts.refresh_times import RefreshTimes, of_claimed, refresh_time
from server.platforms import Platform, Tokens, load

NOW = datetime(2030, 1, 1, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
ROWS = """
[x]
like = "sandbox"
[threads]
like = "sandbox"
refresh_after = 86400
refresh = {url = "https://graph.threads.net/refresh", parameters = {access_token = "{access_token}"}}
[pinterest]
like = "sandbox"
[mastodon]
documentation = ["https://docs.joinmastodon.org"]
authorize_url = "https://mastodon.example/authorize"
token = "https://mastodon.example/token"
default_scopes = []
token_endpoint_auth_method = "none"
"""


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Platform]:
    file: Path = tmp_path_factory.mktemp("rows") / "more.toml"
    file.write_text(ROWS)
    return {way.name: way for way in load("https://hitchpost.example", more=file)}


def tokens(life: timedelta | None, refresh_token: str | None = "r") -> Tokens:
    return Tokens("a", refresh_token, life if life is None else NOW + life, ())


# The way, how long the access token lives, whether there is a refresh token; the earliest time, the latest.
WHEN = [
    ("x", None, True, None),
    ("x", 2 * HOUR, False, None),
    ("x", 2 * HOUR, True, (90 * MINUTE, 102 * MINUTE)),
    ("x", 60 * DAY, True, (45 * DAY, 51 * DAY)),
    # Ten minutes before, or half of its life.
    ("x", HOUR, True, (45 * MINUTE, 50 * MINUTE)),
    ("x", 40 * MINUTE, True, (30 * MINUTE, 30 * MINUTE)),
    ("x", 20 * MINUTE, True, (10 * MINUTE, 10 * MINUTE)),
    ("x", 4 * MINUTE, True, (2 * MINUTE, 2 * MINUTE)),
    # Never at once, whatever the platform says: it would go on for ever.
    ("x", 2 * timedelta(seconds=1), True, (MINUTE, MINUTE)),
    ("x", timedelta(0), True, (MINUTE, MINUTE)),
    ("x", -DAY, True, (MINUTE, MINUTE)),
    ("x", datetime.max.replace(tzinfo=UTC) - NOW, True, (1000 * DAY, datetime.max.replace(tzinfo=UTC) - NOW)),
    # By the access token itself, when it is old enough.
    ("threads", 60 * DAY, False, (45 * DAY, 51 * DAY)),
    ("threads", 30 * HOUR, False, (DAY, 30 * HOUR * 0.85)),
    ("threads", 25 * HOUR, False, (DAY, DAY)),
    ("threads", 24 * HOUR, False, (18 * HOUR, 24 * HOUR * 0.85)),
    ("threads", 2 * HOUR, False, (90 * MINUTE, 102 * MINUTE)),
    # No way to refresh.
    ("mastodon", 60 * DAY, True, None),
]


@pytest.mark.parametrize(("name", "life", "has_refresh_token", "between"), WHEN)
def test_when_tokens_are_due(
    ways: dict[str, Platform],
    name: str,
    life: timedelta | None,
    has_refresh_token: bool,
    between: tuple[timedelta, timedelta] | None,
) -> None:
    found = {
        refresh_time(ways[name], tokens(life, "r" if has_refresh_token else None), NOW) for _ in range(50)
    }
    if between is None:
        assert found == {None}
        return
    earliest, latest = between
    assert all(due is not None and NOW + earliest <= due <= NOW + latest for due in found)
    # Jitter, where there is room.
    assert (len(found) > 1) == (latest > earliest)


def test_a_claim_without_a_refresh_token_is_due_with_the_one_that_is_kept(ways: dict[str, Platform]) -> None:
    alone, with_kept = of_claimed(ways["x"], tokens(HOUR, None), NOW)
    assert alone is None
    assert with_kept is not None
    assert of_claimed(None, tokens(HOUR), NOW) == RefreshTimes(None, None)
