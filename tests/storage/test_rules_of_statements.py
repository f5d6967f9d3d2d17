"""Every statement holds the rules of tests/kit/statement_rules.py, and those see what breaks them."""

import re
from typing import Any

import pytest

from server.storage import models
from server.storage.statements import Statement
from tests.kit.statement_rules import SPREAD, violations
from tests.kit.statements import SINGLE, lists

# Small and everywhere; found by a secret alone, before anybody knows whose it is; the sandbox's own.
SANDBOX = {"sandbox_grant", "sandbox_post", "sandbox_media", "sandbox_behaviour"}
ELSEWHERE = {"project", "api_key", "admin_key", "admin_event", "auth_session", *SANDBOX}
# What looks after the rows of all projects at once, and so can't name one: due work, and forgetting.
OF_ALL_PROJECTS = ("lease", "backlog", "forget")


def test_every_statement_holds_the_rules() -> None:
    wrong = {
        prepared.name: found
        for prepared in (*SINGLE, *lists())
        if not re.fullmatch(rf"\w+\.({'|'.join(OF_ALL_PROJECTS)})_[0-9a-f]{{8}}", prepared.name)
        and (found := violations(prepared))
    }
    assert wrong == {}


def test_every_table_is_spread_or_said_to_be_elsewhere() -> None:
    assert {model._meta.table_name for model in models.TABLES} == SPREAD | ELSEWHERE
    assert not SPREAD & ELSEWHERE


GOOD = """
    WITH made AS (INSERT INTO social_post (project_id, id) VALUES ($project, $id) RETURNING id)
    SELECT count(*) FROM made, social_post_target target
    JOIN social_account account ON account.project_id = $project AND account.id = target.social_account_id
    WHERE target.project_id = $project"""
# Each with a part of what is said of it.
BAD = [
    ("SELECT id FROM social_post WHERE id = $id", "social_post social_post is not held to $project"),
    ("SELECT id FROM social_post WHERE project_id = $project OR id = $id", "is not held"),
    ("SELECT id FROM social_post WHERE project_id = $id", "is not held"),
    ("SELECT 1 WHERE EXISTS (SELECT FROM social_post post WHERE post.id = $id)", "post is not held"),
    (
        "SELECT 1 FROM project, LATERAL (SELECT FROM social_post p WHERE p.project_id = project.id) x",
        "post p is",
    ),
    (GOOD.replace("WHERE target.project_id = $project", ""), "social_post_target target is not held"),
    (
        GOOD.replace("account.project_id = $project", "account.project_id = target.project_id"),
        "account is not",
    ),
    (GOOD.replace("account.project_id = $project", "project_id = $project"), "account is not held"),
    (GOOD.replace("(project_id, id) VALUES ($project, $id)", "(id) VALUES ($id)"), "without the project"),
    ("UPDATE social_post SET version = 1 WHERE id = $id", "is not held"),
    ("UPDATE social_post SET project_id = $to WHERE project_id = $project", "moves a row"),
    ("UPDATE social_post SET version = 1 WHERE project_id = $project RETURNING md5(id)", "RETURNING"),
    ("DELETE FROM social_post WHERE id = $id", "is not held"),
    ("DELETE FROM social_post p USING social_account a WHERE p.project_id = $project", "account a is not"),
    ("DELETE FROM social_post WHERE project_id = $project RETURNING now()", "RETURNING"),
    ("INSERT INTO social_post (id, project_id) SELECT $id, id FROM project", "another project"),
    ("INSERT INTO social_post (project_id) VALUES ($project) ON CONFLICT (id) DO NOTHING", "ON CONFLICT"),
]


@pytest.mark.parametrize(("sql", "said"), BAD)
def test_the_rules_see_what_breaks_them(sql: str, said: str) -> None:
    assert said in "; ".join(violations(Statement("test.rules", sql, tuple[Any, ...])))


def test_the_rules_let_pass_what_keeps_them() -> None:
    assert violations(Statement("test.rules", GOOD, tuple[Any, ...])) == []
