"""Behaviour as rows of YAML: tests/cases/accounts.yaml, posts.yaml, apps.yaml and admin.yaml.

Against this process's server, or any other: TARGET=host:port TARGET_KEY=hp_… pytest tests/rpc/test_cases.py,
with TARGET_ADMIN_KEY for the rows of AdminService. Rows make what they need under ids of their own, and leave
it there.
"""

import os
import string
import uuid
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message

from tests.kit.support import MESSAGES, Client, failure

Row = dict[str, Any]
FOLDER = Path(__file__).parents[1] / "cases"
ROWS: list[Row] = [
    row
    for name in ("accounts", "posts", "apps", "admin")
    for row in yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
]
SAID = {"name", "given", "as", "call", "request", "want"}
WANTED = {"code", "reason", "fields", "response"}


class Words(string.Template):
    """`$alices.social_account.id` and `$alice`."""

    idpattern = r"[a-z_]+(?:\.[a-z_]+)*"


class Values:
    """What the words of one row stand for: a value of an answer that was kept, else a text of its own."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}
        self._own: dict[str, str] = defaultdict(lambda: uuid.uuid4().hex)

    def __getitem__(self, word: str) -> str:
        name, *path = word.split(".")
        if not path:
            return f"{name}-{self._own[name]}"
        value = self.kept[name]
        for step in path:
            value = value[step]
        return str(value)

    def fill(self, said: Any) -> Any:
        """The same with every word replaced."""
        if isinstance(said, dict):
            return {key: self.fill(value) for key, value in said.items()}
        if isinstance(said, list):
            return [self.fill(value) for value in said]
        return Words(said).substitute(self) if isinstance(said, str) else said


@pytest.fixture
def project(request: pytest.FixtureRequest) -> Iterator[Client]:
    """A client of the server at TARGET, or of this process's."""
    target = os.environ.get("TARGET")
    if not target:
        yield request.getfixturevalue("client")
        return
    with grpc.insecure_channel(target) as channel:
        yield Client(channel, os.environ["TARGET_KEY"], admin_key=os.environ.get("TARGET_ADMIN_KEY"))


def _caller(project: Client, who: Any, values: Values) -> Client:
    match who:
        case None | "project":
            return project
        case "key of a project":
            return project.with_key(project.key)
        case "nobody":
            return project.with_key(None)
        case {"owner": str(owner)}:
            return project.as_owner(values.fill(owner).encode())
    raise AssertionError(f"as: {who}")


def _request(row: Row, values: Values) -> Message:
    return ParseDict(values.fill(row.get("request", {})), MESSAGES[row["call"]].input_type._concrete_class())


def _as_dict(message: Message) -> dict[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def _prepare(project: Client, row: Row, values: Values) -> None:
    for step in row.get("given", ()):
        answer = _caller(project, step.get("as"), values)(step["call"], _request(step, values))
        if "save" in step:
            values.kept[step["save"]] = _as_dict(answer)


def _missing(wanted: Any, got: Any, path: str = "") -> Iterator[str]:
    """Where the answer lacks what is wanted; it may say more, but not in a list."""
    if isinstance(wanted, dict) and isinstance(got, dict):
        for name, value in wanted.items():
            yield from _missing(value, got.get(name), f"{path}.{name}")
    elif isinstance(wanted, list) and isinstance(got, list) and len(wanted) == len(got):
        for index, value in enumerate(wanted):
            yield from _missing(value, got[index], f"{path}[{index}]")
    elif wanted != got:
        yield f"{path}: {got!r} instead of {wanted!r}"


def _run(project: Client, row: Row) -> None:
    values = Values()
    _prepare(project, row, values)
    want, caller = values.fill(row["want"]), _caller(project, row.get("as"), values)
    try:
        answer = caller(row["call"], _request(row, values))
    except grpc.RpcError as error:
        failed = failure(error)
        assert (failed.code, f"ERROR_REASON_{failed.reason}") == (want["code"], want.get("reason"))
        assert list(failed.fields) == want.get("fields", [])
        return
    assert want["code"] == "OK", f"succeeded: {answer}"
    # A misspelt field would be missing from every answer.
    ParseDict(want.get("response", {}), type(answer)())
    assert list(_missing(want.get("response", {}), _as_dict(answer))) == []


@pytest.mark.parametrize("row", ROWS, ids=[row["name"] for row in ROWS])
def test_case(project: Client, row: Row) -> None:
    assert set(row) <= SAID
    assert set(row["want"]) <= WANTED
    if row["call"].startswith("AdminService/") and project.admin_key is None:
        pytest.skip("TARGET_ADMIN_KEY is not set")
    _run(project, row)


def test_the_rows_have_names_of_their_own_and_use_every_method() -> None:
    names = [(row["call"].split("/")[0], row["name"]) for row in ROWS]
    assert len(set(names)) == len(names)
    called = {step["call"] for row in ROWS for step in (row, *row.get("given", ()))}
    assert called == set(MESSAGES)


@pytest.mark.parametrize(
    "wrong",
    [
        {"request": {"external_idz": ["a"]}},
        {"request": {"states": ["CONECTED"]}},
        {"want": {"code": "OK", "response": {"social_acounts": []}}},
    ],
    ids=["field of the request", "enum value", "field of the answer"],
)
def test_a_misspelt_row_fails(project: Client, wrong: Row) -> None:
    row = {
        "name": "wrong",
        "call": "SocialAccountService/ListSocialAccounts",
        "want": {"code": "OK"},
        **wrong,
    }
    with pytest.raises(ParseError):
        _run(project, row)


@pytest.mark.parametrize(
    "want",
    [
        {"code": "OK"},
        {"code": "NOT_FOUND", "reason": "ERROR_REASON_FIELD_INVALID", "fields": ["page_size"]},
        {"code": "INVALID_ARGUMENT", "reason": "ERROR_REASON_INTERNAL", "fields": ["page_size"]},
        {"code": "INVALID_ARGUMENT", "reason": "ERROR_REASON_FIELD_INVALID"},
    ],
)
def test_a_row_that_wants_another_outcome_fails(project: Client, want: Row) -> None:
    row = {"call": "SocialAccountService/ListSocialAccounts", "request": {"page_size": -1}, "want": want}
    with pytest.raises(AssertionError):
        _run(project, row)


def test_a_row_that_wants_another_answer_fails(project: Client) -> None:
    row = {"call": "SocialAccountService/ListSocialAccounts", "as": {"owner": "$alice"}}
    for response in ({"social_accounts": [{}]}, {"next_page_token": "more"}):
        with pytest.raises(AssertionError):
            _run(project, {**row, "want": {"code": "OK", "response": response}})
    with pytest.raises(AssertionError):
        _run(project, {**row, "want": {"code": "NOT_FOUND"}})
