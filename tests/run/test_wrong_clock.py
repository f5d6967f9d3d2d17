"""Servers on machines whose clock is wrong: time is the database's."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from server.base.identity import utc_now
from tests.kit.servers import Server, eventually, hitchpost, local_channel, rows, serving
from tests.kit.support import Client, unique

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
# Debian's package `faketime`, which .ci/run installs.
needs_faketime = pytest.mark.skipif(LIBRARY is None, reason="needs libfaketime")
CREATE = "SocialPostService/CreateSocialPost"


@contextmanager
def off_by(ahead: timedelta) -> Iterator[None]:
    """Processes that start inside have a clock that is so far ahead; the monotonic one is right."""
    seconds = f"{ahead.total_seconds():+.0f}"
    faked = {"LD_PRELOAD": str(LIBRARY), "FAKETIME": seconds, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    os.environ.update(faked)
    try:
        yield
    finally:
        for name in faked:
            del os.environ[name]


@contextmanager
def server_off_by(days: int, folder: Path, url: str) -> Iterator[tuple[Server, Client]]:
    """A server with such a clock, and a client."""
    with (
        off_by(timedelta(days=days)),
        serving(folder, url) as server,
        local_channel(server.address) as channel,
    ):
        try:
            yield server, server.new_client(channel)
        finally:
            # It could not stop in order: the library spoils how Python sleeps.
            server.kill()


def old_request(url: str, project: str, age: timedelta) -> str:
    """Plants the answer to a request_id of so long ago, by the database's clock."""
    request_id = unique("planted")
    rows(
        url,
        "INSERT INTO idempotent_request VALUES (%s, %s, '', '', now() - %s)",
        *(project, request_id, age),
    )
    return request_id


def seconds_from_now(timestamp: Any) -> float:
    return float(timestamp.seconds - time.time())


@needs_faketime
def test_a_server_a_day_ahead_expires_and_forgets_by_the_databases_clock(
    run_dir: Path, new_database: Callable[[], str]
) -> None:
    url = new_database()
    with server_off_by(1, run_dir, url) as (server, client):
        account = client.connect()
        assert abs(seconds_from_now(account.create_time)) < 60
        attempt = client("SocialAccountService/CreateAuthUrl", platform="PLATFORM_SANDBOX")
        assert abs(seconds_from_now(attempt.expire_time) - 15 * 60) < 60
        post = {"caption": "hello", "social_account_ids": [account.id]}
        # Not in the past.
        post["scheduled_time"] = utc_now() + timedelta(hours=1)
        request = {"social_post": post, "request_id": unique("request")}
        first = client(CREATE, **request)
        kept = old_request(url, client.project_id, timedelta(hours=23))
        forgotten = old_request(url, client.project_id, timedelta(hours=25))
        # It begins with what has expired; in time for the test it does so once more when it starts anew.
        [worker] = [child for child in server.children() if "worker" in child.cmdline()]
        worker.kill()

        def known() -> set[str]:
            return {id_ for (id_,) in rows(url, "SELECT request_id FROM idempotent_request")}

        eventually("the old request is forgotten", lambda: forgotten not in known(), seconds=90)
        assert known() == {kept, request["request_id"]}
        assert client(CREATE, **request) == first


@needs_faketime
def test_a_server_a_day_behind_takes_no_time_of_the_past(
    run_dir: Path, new_database: Callable[[], str]
) -> None:
    with server_off_by(-1, run_dir, new_database()) as (_, client):
        post = {"caption": "hello", "social_account_ids": [client.connect().id]}
        failed = client.fails(
            CREATE, social_post={**post, "scheduled_time": utc_now() - timedelta(minutes=1)}
        )
        assert (failed.code, failed.fields) == ("INVALID_ARGUMENT", ("social_post.scheduled_time",))


@needs_faketime
def test_doctor_says_what_a_wrong_clock_spoils(new_database: Callable[[], str]) -> None:
    with off_by(timedelta(days=1)):
        ran = hitchpost("doctor", database_url=new_database())
    [line] = [line for line in ran.stdout.splitlines() if "clock" in line]
    assert line.startswith("FAIL  clock: 86,")
    assert "by which everything is scheduled and expires" in line
