"""Pages: their sizes, what a token is good for, and that a walk through a list misses and repeats nothing."""

import random
import string
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import timedelta
from itertools import chain, permutations
from typing import Any

import psycopg2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg2.extras import execute_values

from server.base.identity import new_id, utc_now
from tests.conftest import Running
from tests.kit.support import GENERATED, Client, unique

ACCOUNTS, POSTS = "SocialAccountService/ListSocialAccounts", "SocialPostService/ListSocialPosts"
TARGETS = "SocialPostService/ListSocialPostTargets"
SqlRunner = Callable[..., list[tuple[Any, ...]]]


def _rows(answer: Any) -> list[str]:
    """The ids of a page, of whichever list it is."""
    targets = getattr(answer, "social_post_targets", ())
    if targets:
        return [f"{row.social_post_id}/{row.social_account_id}" for row in targets]
    return [row.id for row in getattr(answer, "social_accounts", None) or getattr(answer, "social_posts", ())]


def _walk(client: Client, method: str, **fields: Any) -> Iterator[list[str]]:
    """Every page of a list."""
    token = ""
    while True:
        answer = client(method, page_token=token, **fields)
        yield _rows(answer)
        token = answer.next_page_token
        if not token:
            return


def _ids(kind: str, count: int) -> list[str]:
    """Ids a second apart, as if they had been made over the last hours."""
    now = utc_now()
    return [new_id(kind, now - timedelta(seconds=number)) for number in range(1, count + 1)]


def _insert_accounts(cursor: Any, project_id: str, ids: Sequence[str]) -> None:
    columns = "id, project_id, platform, platform_user_id, external_id, username, display_name"
    rest = "profile_photo_url, state, scopes, metadata, version, create_time, update_time, connect_time"
    rows = [(id_, project_id, id_, "alice" if number % 2 else "bob") for number, id_ in enumerate(ids)]
    execute_values(
        cursor,
        f"INSERT INTO social_account ({columns}, {rest}) VALUES %s",
        rows,
        "(%s, %s, 1, %s, %s, 'name', '', '', 1, '{}', '{}', 1, now(), now(), now())",
        page_size=1000,
    )


def _insert_posts(cursor: Any, project_id: str, ids: Sequence[str]) -> None:
    """Posts to one account, of alice or of bob, which they are tagged with too."""
    cursor.execute("SELECT external_id, id FROM social_account WHERE project_id = %s", (project_id,))
    accounts = dict(cursor.fetchall())
    owners = [("alice" if number % 2 else "bob", id_) for number, id_ in enumerate(ids)]
    execute_values(
        cursor,
        "INSERT INTO social_post (id, project_id, external_id, caption, media, state, platform_options,"
        " version, create_time, update_time) VALUES %s",
        [(id_, project_id, owner) for owner, id_ in owners],
        "(%s, %s, %s, 'hello', '[]', 1, '{}', 1, now(), now())",
    )
    execute_values(
        cursor,
        "INSERT INTO social_post_target (project_id, social_post_id, social_account_id, position, state)"
        " VALUES %s",
        [(project_id, id_, accounts[owner]) for owner, id_ in owners],
        "(%s, %s, %s, 0, 1)",
    )


@contextmanager
def _cursor(running: Running) -> Iterator[Any]:
    with closing(psycopg2.connect(running.database_url)) as connection:
        connection.autocommit = True
        yield connection.cursor()


# Sizes.


def test_sizes(client: Client, running: Running) -> None:
    with _cursor(running) as cursor:
        _insert_accounts(cursor, client.project_id, _ids("sa", 1001))
    sizes = {size: len(_rows(client(ACCOUNTS, page_size=size))) for size in (0, 1, 50, 1000, 1001, 2**31 - 1)}
    assert sizes == {0: 50, 1: 1, 50: 50, 1000: 1000, 1001: 1000, 2**31 - 1: 1000}
    assert [len(page) for page in _walk(client, ACCOUNTS, page_size=5000)] == [1000, 1]
    for method in (ACCOUNTS, POSTS, TARGETS):
        failed = client.fails(method, page_size=-1)
        assert (failed.code, failed.fields) == ("INVALID_ARGUMENT", ("page_size",))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6, 7])
def test_the_last_page_has_no_token(client: Client, size: int) -> None:
    accounts = [client.connect().id for _ in range(6)]
    pages = list(_walk(client, ACCOUNTS, page_size=size))
    assert len(pages) == -(-6 // size)
    assert sorted(chain(*pages)) == sorted(accounts)
    posts = [client.draft(accounts[0]).id for _ in range(6)]
    pages = list(_walk(client, POSTS, page_size=size))
    assert (len(pages), sorted(chain(*pages))) == (-(-6 // size), sorted(posts))
    pages = list(_walk(client, TARGETS, page_size=size))
    wanted = sorted(f"{post}/{accounts[0]}" for post in posts)
    assert (len(pages), sorted(chain(*pages))) == (-(-6 // size), wanted)


def test_an_empty_list_is_one_empty_page(client: Client) -> None:
    for method in (ACCOUNTS, POSTS, TARGETS):
        assert list(_walk(client, method)) == [[]]


# What a token is good for.


def _filled(client: Client) -> Client:
    for _ in range(3):
        client.draft(client.connect(external_id="alice").id, external_id="alice")
    return client


def _token(client: Client, method: str, **filters: Any) -> str:
    token: str = client(method, page_size=1, **filters).next_page_token
    assert token
    return token


def _refused(client: Client, method: str, token: str, **filters: Any) -> None:
    failed = client.fails(method, page_token=token, **filters)
    assert (failed.what, failed.fields) == (("INVALID_ARGUMENT", "FIELD_INVALID"), ("page_token",))


@pytest.mark.parametrize("method", [ACCOUNTS, POSTS, TARGETS])
def test_a_token_is_good_for_its_filters(client: Client, method: str) -> None:
    filters = {"external_ids": ["alice"], "states": [1], "platforms": [1]}
    token = _token(_filled(client), method, **filters)
    assert len(_rows(client(method, page_token=token, page_size=2, **filters))) == 2
    for other in (
        {},
        {**filters, "external_ids": ["alice", "bob"]},
        {**filters, "external_ids": []},
        {**filters, "states": [1, 2]},
        {**filters, "platforms": []},
        {**filters, "social_account_ids": [client.connect().id]},
    ):
        _refused(client, method, token, **other)


def test_a_token_of_posts_is_good_for_its_window(client: Client) -> None:
    account, time = client.connect().id, utc_now() + timedelta(days=1)
    for _ in range(2):
        client.draft(account, scheduled_time=time)
    window = {"scheduled_after": time - timedelta(days=1), "scheduled_before": time + timedelta(days=1)}
    token = _token(client, POSTS, **window)
    assert len(_rows(client(POSTS, page_token=token, **window))) == 1
    _refused(client, POSTS, token, **{**window, "scheduled_before": time})
    _refused(client, POSTS, token, scheduled_after=window["scheduled_before"])


@pytest.mark.parametrize("method", [ACCOUNTS, POSTS, TARGETS])
def test_a_token_is_good_for_its_project_and_its_scope(
    client: Client, stranger: Client, read_only: Client, method: str
) -> None:
    token = _token(_filled(client), method)
    scoped = _token(client.as_owner("alice"), method)
    assert _rows(read_only(method, page_token=token)) == _rows(client(method, page_token=token))
    _refused(_filled(stranger), method, token)
    _refused(client.as_owner("alice"), method, token)
    for caller in (client, client.as_owner("bob"), client.as_owner("Alice"), stranger.as_owner("alice")):
        _refused(caller, method, scoped)


def test_a_token_is_good_for_its_method(client: Client) -> None:
    tokens = {method: _token(_filled(client), method) for method in (ACCOUNTS, POSTS, TARGETS)}
    for method, other in permutations(tokens, 2):
        _refused(client, method, tokens[other])


@pytest.mark.parametrize("method", [ACCOUNTS, POSTS, TARGETS])
def test_a_token_that_no_list_gave_is_refused(client: Client, method: str) -> None:
    token = _token(_filled(client), method)
    anything = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80)
    base64 = st.text(f"{string.ascii_letters}{string.digits}-_", min_size=1, max_size=80)
    # The last characters of base64 have bits that mean nothing.
    places = st.integers(0, len(token) - 4)
    damaged = st.builds(
        lambda place, other: token[:place] + other + token[place + 1 :], places, st.sampled_from("Aa0-_")
    )
    cut = places.map(lambda place: token[: place + 1])

    @settings(GENERATED, max_examples=200)
    @given((anything | base64 | damaged | cut).filter(lambda other: other != token))
    def refuse(other: str) -> None:
        _refused(client, method, other)

    refuse()
    _refused(client, method, token + token)


# Walks while others write.


class Writer:
    """A thread that inserts rows anywhere in the list and deletes rows, until it is told to stop."""

    def __init__(self, running: Running, insert: Callable[[Any, list[str]], None], table: str) -> None:
        self._running, self._insert, self._table = running, insert, table
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write)
        self._begun = threading.Event()
        self.rounds = 0
        self.failed: Exception | None = None

    def __enter__(self) -> "Writer":
        self._thread.start()
        assert self._begun.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _write(self) -> None:
        try:
            with _cursor(self._running) as cursor:
                while not self._stop.is_set():
                    self._round(cursor)
        except psycopg2.Error as error:
            self.failed = error

    def _round(self, cursor: Any) -> None:
        kind = "sa" if self._table == "social_account" else "sp"
        now = utc_now()
        ids = [new_id(kind, now - timedelta(seconds=random.uniform(-1, 12_000))) for _ in range(20)]
        self._insert(cursor, ids)
        cursor.execute(f"DELETE FROM {self._table} WHERE id = ANY(%s)", (ids[::2],))
        self.rounds += 1
        self._begun.set()


def _walked(client: Client, method: str, writers: list[Writer], **fields: Any) -> list[str]:
    with writers[0], writers[1]:
        seen = list(chain(*_walk(client, method, **fields)))
    assert [writer.failed for writer in writers] == [None, None]
    assert min(writer.rounds for writer in writers) > 1
    return seen


def _check(seen: list[str], throughout: Sequence[str]) -> None:
    """No row twice, newest first, and each row that was there all the time."""
    assert len(set(seen)) == len(seen)
    assert seen == sorted(seen, reverse=True)
    assert set(throughout) - set(seen) == set()


@pytest.mark.parametrize("filters", [{}, {"external_ids": ["alice"]}], ids=["all", "one owner"])
def test_a_walk_through_10_000_accounts_while_others_come_and_go(
    client: Client, running: Running, filters: dict[str, Any]
) -> None:
    ids = _ids("sa", 10_000)
    with _cursor(running) as cursor:
        _insert_accounts(cursor, client.project_id, ids)

    def insert(cursor: Any, more: list[str]) -> None:
        _insert_accounts(cursor, client.project_id, more)

    writers = [Writer(running, insert, "social_account") for _ in range(2)]
    seen = _walked(client, ACCOUNTS, writers, page_size=137, **filters)
    _check(seen, ids[1::2] if filters else ids)


@pytest.mark.parametrize("scope", [None, "alice"], ids=["unscoped", "scoped"])
@pytest.mark.parametrize("method", [POSTS, TARGETS])
def test_a_walk_through_posts_or_targets_while_others_come_and_go(
    client: Client, running: Running, method: str, scope: str | None
) -> None:
    for owner in ("alice", "bob"):
        client.connect(unique("profile"), owner)
    ids = _ids("sp", 1500)
    with _cursor(running) as cursor:
        _insert_posts(cursor, client.project_id, ids)

    def insert(cursor: Any, more: list[str]) -> None:
        _insert_posts(cursor, client.project_id, more)

    writers = [Writer(running, insert, "social_post") for _ in range(2)]
    caller = client.as_owner(scope) if scope else client
    seen = _walked(caller, method, writers, page_size=37)
    # Each post has one target.
    _check([row.partition("/")[0] for row in seen], ids[1::2] if scope else ids)
