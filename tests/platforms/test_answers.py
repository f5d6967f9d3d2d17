"""How answers are read: paths, scopes, names, and what a failure is."""

from datetime import UTC, datetime
from typing import Any

import pytest

from server.platforms import (
    PlatformRefused,
    PlatformUnreachable,
    Tokens,
    TokensRefused,
    answers,
    facts,
    failures,
    paths,
)
from server.platforms.facts import Facts, ProfileFields

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LINKS = {"links": [{"rel": "prev", "href": "/1"}, "no link", {"rel": "next", "href": "/3"}]}
PATHS: list[tuple[Any, str, Any]] = [
    ({"a": {"b": 1}}, "a.b", 1),
    ({"a": [{"b": 1}, {"b": 2}]}, "a.1.b", 2),
    ({"a": [1]}, "a.1", None),
    ({"a": [1]}, "a.b", None),
    ({"a": 0}, "a", 0),
    ({"a": None}, "a", None),
    ([1], "a", None),
    ("text", "0", None),
    ({"a": 1}, "", {"a": 1}),
    (LINKS, "links.rel=next.href", "/3"),
    (LINKS, "links.rel=last.href", None),
    ({"links": {"rel=next": 1}}, "links.rel=next", 1),
    ({"data": [{"id": 1}]}, "id|data.0.id", 1),
    ({"id": 2, "data": [{"id": 1}]}, "id|data.0.id", 2),
    ({}, "id|data.0.id", None),
]


@pytest.mark.parametrize(("value", "path", "found"), PATHS)
def test_paths(value: Any, path: str, found: Any) -> None:
    assert paths.at(value, path) == found


def row(**more: Any) -> Facts:
    """A row that says nothing else."""
    said = {"documentation": ["-"], "platform": "x", "app_of": "x", "authorize_url": "-", "token": "-"}
    return Facts(**said, default_scopes=(), token_endpoint_auth_method="none", **more)


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [
        ("a b", ("a", "b")),
        ("a,b", ("a", "b")),
        ("a, b", ("a", "b")),
        (["a", "b"], ("a", "b")),
        ("", ("asked", "for")),
        (None, ("asked", "for")),
        ([], ("asked", "for")),
    ],
)
def test_scopes(scope: Any, scopes: tuple[str, ...]) -> None:
    answer = {"access_token": "t", "scope": scope}
    assert answers.login_tokens(answer, row(), NOW, asked="asked for").scopes == scopes


@pytest.mark.parametrize(
    ("item", "name"),
    [({"first": "Jo", "last": "Doe"}, "Jo Doe"), ({"last": "Doe"}, "Doe"), ({"first": "", "last": None}, "")],
)
def test_a_name_of_two_parts(item: dict[str, Any], name: str) -> None:
    fields = ProfileFields(platform_user_id="id", display_name="first last")
    login = Tokens("t", None, None, ())
    assert answers.profile({"id": "1", **item}, fields, login, NOW).display_name == name


META = {
    "error_code": "error.code",
    "dead_tokens": (190,),
    "passing_errors": (2,),
    "passing": {"error.is_transient": True},
}


@pytest.mark.parametrize(
    ("said", "error", "becomes"),
    [
        (META, {"code": 190}, TokensRefused),
        (META, {"code": 190, "is_transient": False}, TokensRefused),
        (META, {"code": 190, "is_transient": True}, PlatformUnreachable),
        (META, {"code": 2}, PlatformUnreachable),
        (META, {"code": 100, "is_transient": True}, PlatformUnreachable),
        (META, {"code": 100}, PlatformRefused),
        (META, {"code": "190"}, PlatformRefused),
        (META, {"code": [190]}, PlatformRefused),
        (META, "invalid_grant", PlatformRefused),
        ({}, "invalid_grant", TokensRefused),
        ({}, "server_error", PlatformUnreachable),
        ({}, {"code": 190}, PlatformRefused),
    ],
)
def test_what_a_failure_is(said: dict[str, Any], error: Any, becomes: type[Exception]) -> None:
    assert type(failures.failure({"error": error}, row(**said), "otherwise")) is becomes


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ('revokes = "both"', "revokes"),
        ('passing = { "error.code" = [1] }', "passing"),
        ('token = "https://p.example/{versoin}/token"', "versoin"),
        ("version = 25", "version"),
    ],
)
def test_a_row_that_says_it_wrongly(said: str, named: str) -> None:
    parts = (
        'documentation = ["-"]',
        'authorize_url = "-"',
        'token_endpoint_auth_method = "none"',
        "default_scopes = []",
        *([] if said.startswith("token =") else ['token = "-"']),
        said,
    )
    with pytest.raises(ValueError, match=named):
        facts.parse("\n".join(("[p]", *parts)))
