"""Errors as programs read them over HTTP: problem+json with all that google.rpc.Status has."""

import json

import httpx2
import pytest
from google.rpc import error_details_pb2

from server.base.errors import HitchpostError, InvalidArgument, Kind, RateLimited
from server.rpc.status import to_status
from server.web.problems import HTTP_STATUS, TOO_MANY, problem
from tests.conftest import Running
from tests.kit.errors import CLASSES, SENT, example
from tests.kit.web import get


@pytest.mark.parametrize("reason", SENT)
def test_a_problem_says_what_the_status_says(reason: str) -> None:
    error: HitchpostError = example(CLASSES[reason])
    response, status = problem(error), to_status(error)
    said = json.loads(response.body)
    info = error_details_pb2.ErrorInfo()
    status.details[0].Unpack(info)
    assert (said["reason"], said["metadata"]) == (info.reason, dict(info.metadata))
    assert (Kind[said["code"]], said["detail"]) == (status.code, status.message)
    wanted = TOO_MANY if isinstance(error, RateLimited) else HTTP_STATUS[error.kind]
    assert said["status"] == response.status_code == wanted
    assert response.headers["content-type"] == "application/problem+json"
    assert ("retry-after" in response.headers) == (error.retry_after is not None)
    expected = [{"field": "media[0].url", "description": "must be a URL"}]
    assert said.get("fields") == (expected if isinstance(error, InvalidArgument) else None)


def test_every_kind_has_a_status() -> None:
    assert set(HTTP_STATUS) == set(Kind)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/json", "application/problem+json"),
        ("application/problem+json, */*", "application/problem+json"),
        ("text/html,application/xhtml+xml,application/json;q=0.9", "text/html; charset=utf-8"),
        ("*/*", "text/html; charset=utf-8"),
    ],
)
def test_a_program_gets_a_problem_and_a_person_a_page(running: Running, accept: str, kind: str) -> None:
    answer = get(running.settings.web_address, "/callback/sandbox?state=unknown&code=c", accept=accept)
    assert (answer.status_code, answer.headers["content-type"]) == (404, kind)
    if "json" in kind:
        assert answer.json()["reason"] == "ERROR_REASON_AUTH_STATE_UNKNOWN"
    missing = get(running.settings.web_address, "/no-such-page", accept=accept)
    assert (missing.status_code, missing.headers["content-type"]) == (404, kind)


def test_a_method_that_a_path_does_not_have(running: Running) -> None:
    url = f"http://{running.settings.web_address}/healthz"
    answer = httpx2.post(url, trust_env=False, verify=False, timeout=20)
    assert answer.json() == {"type": "about:blank", "title": "Method Not Allowed", "status": 405}
    assert answer.headers["content-type"] == "application/problem+json"
    assert "GET" in answer.headers["allow"]
