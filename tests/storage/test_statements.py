"""Every statement is one that PostgreSQL understands, and has a name that an operator does."""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing

import psycopg2
import pytest

from server.storage import statements
from server.storage.statements import Prepared
from tests.kit.statements import SINGLE, lists


def refused(url: str, every: Iterable[Prepared]) -> dict[str, str]:
    """What PostgreSQL says of those that it can't prepare, by name."""
    errors = {}
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        for statement in every:
            try:
                cursor.execute(statement.prepare)
            except psycopg2.Error as error:
                errors[statement.name] = str(error)
    return errors


def test_every_statement_can_be_prepared(new_database: Callable[[], str]) -> None:
    every = [*SINGLE, *lists()]
    assert len(every) > 1000
    assert refused(new_database(), every) == {}


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT id FROM social_post WHERE project = $project", "column"),
        ("SELECT id FROM social_posts", "relation"),
        ("SELECT id FROM social_post ORDER BY", "syntax"),
        ("SELECT id FROM social_post WHERE state = $state::text", "operator"),
        ("SELECT id FROM social_post WHERE $owner IS NULL", "data type of parameter"),
    ],
)
def test_a_broken_statement_is_noticed(
    new_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch, sql: str, said: str
) -> None:
    monkeypatch.setattr(statements, "EVERY", [])
    broken = Prepared("posts.broken", sql)
    errors = refused(new_database(), [broken, *SINGLE[:1]])
    assert list(errors) == [broken.name]
    assert said in errors[broken.name]


def test_names_say_whose_statement_it_is_and_what_it_does() -> None:
    """Such as posts.create_1f0c9a24, and no other statement has the name; lists have one a plan."""
    times = Counter(named(one) for one in SINGLE)
    assert [name for name, count in times.items() if count > 1] == []
    plans = {named(one).removesuffix("_measured") for one in lists()}
    assert plans == {
        *("accounts.list_newest", "accounts.list_merged"),
        *("posts.list_newest", "posts.list_merged", "posts.list_of_accounts", "posts.list_due"),
        *("posts.list_targets_newest", "posts.list_targets_by_accounts"),
        *("posts.list_targets_by_tags", "posts.list_targets_by_states"),
    }
    assert not plans & times.keys()


def named(statement: Prepared) -> str:
    """The name without the mark of its SQL."""
    match = re.fullmatch(r"([a-z][a-z_]*\.[a-z][a-z_]*)_[0-9a-f]{8}", statement.name)
    assert match, statement.name
    assert len(statement.name) < 64, statement.name
    return match[1]
