"""generated/openapi.json: valid, about every method, and true of what is sent and answered."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from server.rpc.registry import RPCS
from server.web.http_rules import RULES
from tests.conftest import Running
from tests.kit.rest import RULES as SPELLED
from tests.kit.rest import transcoded
from tests.kit.support import MESSAGES, Client
from tests.kit.valid_requests import valid_request
from tests.kit.web import get

METHODS = sorted(MESSAGES)


@pytest.fixture(scope="module")
def document(running: Running) -> Any:
    """As the web process serves it."""
    return get(running.settings.web_address, "/openapi.json").json()


def operation(document: Any, method: str) -> Any:
    return next(
        operation
        for path in document["paths"].values()
        for operation in path.values()
        if operation["operationId"] == method.split("/")[1]
    )


def wrong(document: Any, schema: Any, value: Any) -> list[str]:
    """What the schema says against the value."""
    whole = {**schema, "components": document["components"]}
    return [error.message for error in Draft202012Validator(whole).iter_errors(value)]


def test_the_document_is_openapi(document: Any) -> None:
    validate(document)
    assert document["openapi"] == "3.1.0"


def test_every_rule_is_an_operation_of_its_own(document: Any) -> None:
    found = {
        (verb.upper(), path, operation["operationId"])
        for path, verbs in document["paths"].items()
        for verb, operation in verbs.items()
    }
    assert found == {(rule.verb, rule.path.replace(".", "_"), rule.rpc.descriptor.name) for rule in RULES}
    assert len(found) == len(RPCS)


def test_everything_is_explained(document: Any) -> None:
    assert list(_unexplained(document["components"]["schemas"], "schemas")) == []
    for path in document["paths"].values():
        for one in path.values():
            assert one["summary"]
            assert list(_unexplained(one, one["operationId"])) == []


def _unexplained(schema: Any, path: str) -> Iterator[str]:
    if isinstance(schema, dict):
        for name, inner in schema.items():
            if name == "properties" and "Problem" not in path:
                yield from (f"{path}.{key}" for key, value in inner.items() if not value.get("description"))
            yield from _unexplained(inner, f"{path}.{name}")
    elif isinstance(schema, list):
        for inner in schema:
            yield from _unexplained(inner, path)


@pytest.mark.parametrize("method", METHODS)
def test_what_is_sent_and_answered_is_as_described(
    document: Any, client: Client, running: Running, method: str
) -> None:
    request = valid_request(client, method)
    described = operation(document, method)
    descriptor = MESSAGES[method]
    rule = SPELLED[f"/{descriptor.containing_service.full_name}/{descriptor.name}"]
    verb, path, query, body = transcoded(rule, request)
    assert {name for name, _ in query} <= {one["name"] for one in described["parameters"]}
    if body is not None:
        schema = described["requestBody"]["content"]["application/json"]["schema"]
        assert wrong(document, schema, body) == []
        assert wrong(document, schema, {**body, "unknown": 1})
    url = f"http://{running.settings.web_address}{path}"
    headers = {"Authorization": f"Bearer {client.key_for(method)}"}
    answer = httpx2.request(verb, url, params=query, json=body, headers=headers, trust_env=False)
    [(kind, content)] = _content(document, described, answer.status_code).items()
    assert answer.headers["content-type"] == kind
    assert wrong(document, content["schema"], answer.json()) == []


def _content(document: Any, described: Any, status: int) -> dict[str, Any]:
    response = described["responses"][str(status)]
    if "$ref" in response:
        response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
    content: dict[str, Any] = response["content"]
    return content


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("ImportSocialAccount", {"platform": "PLATFORM_NONE", "platform_user_id": "1", "access_token": "t"}),
        ("ImportSocialAccount", {"platform": "PLATFORM_X", "platform_user_id": "", "access_token": "t"}),
        ("ImportSocialAccount", {"platform": "PLATFORM_X", "platform_user_id": "1"}),
        ("ImportSocialAccount", {"platform": "PLATFORM_X", "platform_user_id": "1", "access_token": "\x07"}),
        ("CreateSocialPost", {"social_account_ids": ["sa_1"]}),
        ("CreateSocialPost", {"media": [{"url": "ftp://a.example/"}]}),
        ("CreateSocialPost", {"caption": "x" * 65_537}),
        ("TransferSocialAccount", {"from_external_id": "a"}),
    ],
)
def test_the_checks_bounds_are_described(document: Any, method: str, body: Any) -> None:
    described = operation(document, f"/{method}")
    schema = described["requestBody"]["content"]["application/json"]["schema"]
    assert wrong(document, schema, json.loads(json.dumps(body)))
