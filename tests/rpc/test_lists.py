"""Lists with any filters: what they return, compared with what plain Python would, and what they read."""

import itertools
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import psycopg2
import pytest
from psycopg2.extras import execute_values

from server.accounts import lists as account_lists
from server.base.identity import new_id, utc_now
from server.base.sizes import PAGE_BYTES
from server.posts import lists as post_lists
from server.posts import target_lists
from server.storage import listing
from server.storage.database import database
from server.storage.listing import Listed
from server.storage.statements import Statement
from tests.kit.support import Client

OWNERS = ["alice", "bob", "carol", None]
NAMES = ["ann", "ben", "cid"]
STATES, PLATFORMS = [1, 2, 3], [1, 2, 3]
POST_STATES = [1, 2, 5]
TARGET_STATES = [1, 3, 4]
TARGETS = "SocialPostService/ListSocialPostTargets"
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
Sql = Callable[..., list[tuple[Any, ...]]]


class Account(NamedTuple):
    id: str
    external_ids: str | None
    usernames: str
    platforms: int
    states: int


class Post(NamedTuple):
    id: str
    external_ids: str | None
    states: int
    scheduled: datetime | None
    accounts: tuple[Account, ...]
    # Of its targets, in the order of their accounts.
    target_states: tuple[int, ...]


@pytest.fixture
def stored(client: Client, sql: Sql) -> tuple[list[Account], list[Post]]:
    """Accounts and posts with every mixture of what lists filter by, newest first."""
    chosen, now = random.Random(5), utc_now()
    kinds = itertools.product(OWNERS, NAMES, PLATFORMS, STATES)
    made = [
        Account(new_id("sa", now - timedelta(seconds=number)), *kind)
        for number, kind in enumerate(chosen.sample(list(kinds), 60))
    ]
    for account in made:
        sql(
            "INSERT INTO social_account (id, project_id, platform_user_id, external_id, username, platform,"
            " state, display_name, profile_photo_url, scopes, metadata, version, create_time, update_time,"
            " connect_time) VALUES (%s, %s, %s, %s, %s, %s, %s, '', '', '{}', '{}', 1, now(), now(), now())",
            *(account.id, client.project_id, *account[:1], *account[1:]),
        )
    written = [
        Post(
            new_id("sp", now - timedelta(seconds=number)),
            chosen.choice(OWNERS),
            chosen.choice(POST_STATES),
            chosen.choice([None, NOON, NOON + timedelta(hours=1), NOON + timedelta(hours=2)]),
            tuple(chosen.sample(made, chosen.choice([1, 1, 2, 3]))),
            tuple(chosen.choices(TARGET_STATES, k=3)),
        )
        for number in range(60)
    ]
    for post in written:
        sql(
            "INSERT INTO social_post (id, project_id, external_id, state, scheduled_time, caption, media,"
            " platform_options, version, create_time, update_time)"
            " VALUES (%s, %s, %s, %s, %s, 'x', '[]', '{}', 1, now(), now())",
            *(post.id, client.project_id, *post[1:4]),
        )
        for position, account in enumerate(post.accounts):
            sql(
                "INSERT INTO social_post_target (project_id, social_post_id, social_account_id, position,"
                " state) VALUES (%s, %s, %s, %s, %s)",
                *(client.project_id, post.id, account.id, position, post.target_states[position]),
            )
    return made, written


def walk(client: Client, method: str, filters: Mapping[str, Any], page_size: int) -> list[str]:
    """The ids of all pages; all but the last are full."""
    found: list[str] = []
    token = ""
    while len(found) < 1000:
        answer = client(method, page_size=page_size, page_token=token, **filters)
        [rows] = [value for field, value in answer.ListFields() if field.is_repeated] or [()]
        found += [row_id(row) for row in rows]
        token = answer.next_page_token
        if not token:
            return found
        assert len(rows) == page_size
    raise AssertionError("pages without end")


def row_id(row: Any) -> str:
    """Its id; a target's are those of its post and its account."""
    return row.id if hasattr(row, "id") else f"{row.social_post_id}/{row.social_account_id}"


def some(chosen: random.Random, values: Sequence[Any]) -> list[Any]:
    """No filter, one value, or several, now and then one of them twice."""
    count = chosen.choice([0, 0, 1, 1, 2, len(values)])
    return chosen.choices(values, k=count) if chosen.random() < 0.2 else chosen.sample(values, count)


def allowed(value: Any, wanted: Sequence[Any]) -> bool:
    return not wanted or value in wanted


@pytest.mark.parametrize("owner", [None, "alice"])
def test_any_filters_of_accounts(
    client: Client, stored: tuple[list[Account], list[Post]], owner: str | None
) -> None:
    made, chosen = stored[0], random.Random(6)
    caller = client.as_owner(owner) if owner else client
    for _ in range(120):
        filters = {
            "external_ids": [owner] if owner and chosen.random() < 0.5 else [],
            "usernames": some(chosen, NAMES),
            "platforms": some(chosen, PLATFORMS),
            "states": some(chosen, STATES),
        }
        if owner is None:
            filters["external_ids"] = some(chosen, [*OWNERS[:3], "nobody"])
        wanted = [
            account.id
            for account in made
            if all(allowed(getattr(account, name), values) for name, values in filters.items())
            and owner in (None, account.external_ids)
        ]
        found = walk(caller, "SocialAccountService/ListSocialAccounts", filters, chosen.choice([1, 3, 100]))
        assert found == wanted, filters
        chosen_ids = chosen.sample(wanted, min(5, len(wanted)))
        if chosen_ids:
            filters = {**filters, "social_account_ids": chosen_ids}
            found = walk(caller, "SocialAccountService/ListSocialAccounts", filters, 2)
            assert found == sorted(chosen_ids, reverse=True), filters


@pytest.mark.parametrize("owner", [None, "alice"])
def test_any_filters_of_posts(
    client: Client, stored: tuple[list[Account], list[Post]], owner: str | None
) -> None:
    (made, written), chosen = stored, random.Random(7)
    caller = client.as_owner(owner) if owner else client
    named = [account for account in made if owner in (None, account.external_ids)]
    for _ in range(150):
        ids = [account.id for account in some(chosen, named)][:9]
        after = chosen.choice([None, None, NOON, NOON + timedelta(hours=1)])
        before = chosen.choice([None, None, NOON + timedelta(hours=1), NOON + timedelta(hours=3)])
        filters = {
            "external_ids": some(chosen, OWNERS[:3]),
            "states": some(chosen, POST_STATES),
            "platforms": some(chosen, PLATFORMS),
            "social_account_ids": ids,
        }
        window = {"scheduled_after": after, "scheduled_before": before}
        wanted = [
            post.id
            for post in written
            if allowed(post.external_ids, filters["external_ids"])
            and allowed(post.states, filters["states"])
            and any(allowed(account.platforms, filters["platforms"]) for account in post.accounts)
            and any(allowed(account.id, ids) for account in post.accounts)
            and (after is None or (post.scheduled is not None and post.scheduled >= after))
            and (before is None or (post.scheduled is not None and post.scheduled < before))
            and (owner is None or all(account.external_ids == owner for account in post.accounts))
        ]
        asked = {**filters, **{name: time for name, time in window.items() if time is not None}}
        assert walk(caller, "SocialPostService/ListSocialPosts", asked, chosen.choice([1, 3, 100])) == wanted


@pytest.mark.parametrize("owner", [None, "alice"])
def test_any_filters_of_targets(
    client: Client, stored: tuple[list[Account], list[Post]], owner: str | None
) -> None:
    (made, written), chosen = stored, random.Random(8)
    caller = client.as_owner(owner) if owner else client
    named = [account for account in made if owner in (None, account.external_ids)]
    sizes = set()
    for _ in range(150):
        ids = [account.id for account in some(chosen, named)][:9]
        after = chosen.choice([None, None, NOON, NOON + timedelta(hours=1)])
        before = chosen.choice([None, None, NOON + timedelta(hours=1), NOON + timedelta(hours=3)])
        filters = {
            "external_ids": some(chosen, OWNERS[:3]),
            "states": some(chosen, TARGET_STATES),
            "platforms": some(chosen, PLATFORMS),
            "social_account_ids": ids,
        }
        window = {"scheduled_after": after, "scheduled_before": before}
        wanted = sorted(
            (
                f"{post.id}/{account.id}"
                for post in written
                for account, state in zip(post.accounts, post.target_states, strict=False)
                if allowed(post.external_ids, filters["external_ids"])
                and allowed(state, filters["states"])
                and allowed(account.platforms, filters["platforms"])
                and allowed(account.id, ids)
                and (after is None or (post.scheduled is not None and post.scheduled >= after))
                and (before is None or (post.scheduled is not None and post.scheduled < before))
                and (owner is None or all(account.external_ids == owner for account in post.accounts))
            ),
            reverse=True,
        )
        asked = {**filters, **{name: time for name, time in window.items() if time is not None}}
        assert walk(caller, TARGETS, asked, chosen.choice([1, 3, 100])) == wanted, asked
        sizes.add(len(wanted))
    assert len(sizes) > (10 if owner is None else 2)


@pytest.mark.parametrize("page_size", [1, 100])
def test_due_posts(client: Client, stored: tuple[list[Account], list[Post]], page_size: int) -> None:
    """Scheduled posts up to a time are found in a way of their own."""
    before = NOON + timedelta(hours=2)
    wanted = [
        post.id
        for post in stored[1]
        if post.states == 2 and post.scheduled is not None and post.scheduled < before
    ]
    assert len(wanted) > 2
    filters = {"states": [2], "scheduled_before": before}
    assert walk(client, "SocialPostService/ListSocialPosts", filters, page_size) == wanted


# What lists read.

ROWS, PER_OWNER, DUE, PAGE, FEW = 20_000, 5, 20, 50, 10


@pytest.fixture(scope="module")
def many(new_database: Callable[[], str]) -> Iterator[psycopg2.extensions.connection]:
    """A project "p" with 20,000 accounts, five for each owner, and as many posts, 20 of them due; beside it
    a project "q" with the ten oldest accounts and posts, of which the planner's statistics know nothing."""
    now = utc_now()
    with closing(psycopg2.connect(new_database())) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute("INSERT INTO project VALUES ('p', 'p', '{}', now())")
        ids = [new_id("sa", now + timedelta(milliseconds=number)) for number in range(ROWS)]
        execute_values(
            cursor,
            "INSERT INTO social_account (id, project_id, platform_user_id, external_id, username, platform,"
            " state, display_name, profile_photo_url, scopes, metadata, version, create_time, update_time,"
            " connect_time) VALUES %s",
            [
                (id_, id_, f"u{number % (ROWS // PER_OWNER)}", number % 9 + 1)
                for number, id_ in enumerate(ids)
            ],
            "(%s, 'p', %s, %s, 'name', %s, 1, '', '', '{}', '{}', 1, now(), now(), now())",
            page_size=5000,
        )
        execute_values(
            cursor,
            "INSERT INTO social_post (id, project_id, external_id, state, scheduled_time, caption, media,"
            " platform_options, version, create_time, update_time) VALUES %s",
            [
                (
                    id_.replace("sa_", "sp_"),
                    f"c{number % 4000}",
                    2 if number % 40 == 1 else 5,
                    scheduled(number),
                )
                for number, id_ in enumerate(ids)
            ],
            "(%s, 'p', %s, %s, %s, 'x', '[]', '{}', 1, now(), now())",
            page_size=5000,
        )
        cursor.execute(
            "INSERT INTO social_post_target (project_id, social_post_id, social_account_id, position, state)"
            " SELECT project_id, replace(id, 'sa_', 'sp_'), id, 0, 1 FROM social_account"
        )
        # What is published long ago is most of it; a few wait, and a few have failed.
        cursor.execute(
            "UPDATE social_post_target SET state = CASE right(md5(social_post_id), 1)"
            " WHEN '0' THEN 1 WHEN '1' THEN 4 ELSE 3 END"
        )
        cursor.execute("UPDATE social_account SET state = 2 WHERE right(md5(id), 1) = '0'")
        cursor.execute("VACUUM ANALYZE social_account, social_post, social_post_target")
        cursor.execute(
            "INSERT INTO project VALUES ('q', 'q', '{}', now());"
            " INSERT INTO social_account SELECT overlay(id placing '000' from 4), 'q', platform,"
            " platform_user_id, external_id, username, display_name, profile_photo_url, state, scopes,"
            " access_token_expire_time, metadata, version, create_time, update_time, connect_time"
            f" FROM social_account ORDER BY id LIMIT {FEW};"
            " INSERT INTO social_post SELECT overlay(id placing '000' from 4), 'q', external_id, caption,"
            " media, scheduled_time, state, platform_options, version, create_time, update_time"
            f" FROM social_post ORDER BY id LIMIT {FEW}"
        )
        yield connection


def scheduled(number: int) -> datetime:
    """A past time for posts that are not scheduled and for 20 that are; a coming one for the others."""
    past = number % (ROWS // DUE) == 1 or number % 40 != 1
    return NOON + timedelta(minutes=-number - 1 if past else number)


def of_accounts(**filters: Any) -> tuple[Listed[Any], dict[str, Any]]:
    shape, values = listing.shape(filters, None)
    return account_lists.list_statement(shape), values


def of_posts(*, due: bool = False, **filters: Any) -> tuple[Listed[Any], dict[str, Any]]:
    shape, values = listing.shape(filters, None, {"social_account_ids"})
    return post_lists.list_statement(shape, due=due), values


def of_targets(**filters: Any) -> tuple[Listed[Any], dict[str, Any]]:
    shape, values = listing.shape(filters, None, target_lists.MERGED)
    return target_lists.list_statement(shape), {**values, "after_post": "", "after_account": ""}


@pytest.mark.parametrize(
    ("query", "most"),
    [
        (of_accounts(), PAGE + 1),
        (of_accounts(external_ids=["u7"]), PER_OWNER),
        # The ids of all they have, and then the page.
        (of_accounts(external_ids=[f"u{number}" for number in range(100)]), 100 * PER_OWNER + PAGE + 1),
        (of_accounts(states=[2]), PAGE + 1),
        (of_accounts(states=[1, 2]), 3 * (PAGE + 1)),
        (of_accounts(platforms=[3]), PAGE + 1),
        (of_accounts(usernames=["name"]), PAGE + 1),
        # For each post its target and the target's account.
        (of_posts(), 3 * (PAGE + 1)),
        (of_posts(external_ids=["c7"]), 3 * 5),
        (of_posts(states=[2]), 3 * (PAGE + 1)),
        (of_posts(states=[2], scheduled_before=NOON, due=True), 4 * DUE),
        # The keys, and for each the target, its post and its account.
        (of_targets(), 4 * (PAGE + 1)),
        (of_targets(external_ids=["c7"]), 5 * 5),
        (of_targets(external_ids=["c7", "c8"]), 2 * 5 * 5),
        (of_targets(states=[4]), 4 * (PAGE + 1)),
        (of_targets(states=[1, 3, 4]), 3 * (PAGE + 1) + 3 * (PAGE + 1)),
    ],
    ids=[
        *("accounts", "one owner", "100 owners", "a state", "two states", "a platform", "a name"),
        *("posts", "a campaign", "scheduled posts", "due posts"),
        *("targets", "targets of a campaign", "of two", "targets that failed", "in three states"),
    ],
)
@pytest.mark.parametrize("kind", ["small", "measured"])
def test_a_list_reads_no_more_than_it_returns(
    many: psycopg2.extensions.connection, query: tuple[Listed[Any], dict[str, Any]], most: int, kind: str
) -> None:
    listed, values = query
    statement: Statement[Any] = getattr(listed, kind)
    cursor = many.cursor()
    cursor.execute("DEALLOCATE ALL")
    cursor.execute(statement.prepare)
    # A plan that the large project has led to must do for the small one, too: that may be read as a whole
    # while the statistics don't know it, but nothing of the other.
    for project, vain in (("p", 0), ("q", FEW)):
        arguments = statement.arguments({**values, "project": project, "limit": PAGE + 1, "room": PAGE_BYTES})
        # PostgreSQL settles for one plan, or not, when it has planned five times.
        for _ in range(7):
            cursor.execute(statement.execute, arguments)
        assert cursor.rowcount or project == "q"
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.execute}", arguments)
        [[[tree]]] = cursor.fetchall()
        scans = [node for node in nodes(tree["Plan"]) if "Relation Name" in node]
        assert sum(node["Actual Rows"] * node["Actual Loops"] for node in scans) <= most, json.dumps(tree)
        assert all(node.get("Rows Removed by Filter", 0) <= vain for node in scans), json.dumps(tree)


def test_no_list_waits_for_a_compiler(many: psycopg2.extensions.connection, client: Client) -> None:
    """PostgreSQL's own default compiles what it guesses to be costly: more, the more rows there are."""
    cursor = many.cursor()
    cursor.execute("SHOW jit")
    assert cursor.fetchall() == [("on",)]
    assert database.fetch("SHOW jit") == [("off",)]


def nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A plan's node and all below it."""
    yield node
    for child in node.get("Plans", ()):
        yield from nodes(child)
