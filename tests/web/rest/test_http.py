"""The methods over HTTP: the story, paths, verbs, types of content. What methods do is tested over both
wires: see make test-rest."""

import json

import pytest

from server.rpc.registry import RPCS
from server.web.http_rules import RULES
from tests.conftest import Running
from tests.kit.support import Client, import_request, unique
from tests.web.rest.asking import Ask, new_account, reason


def test_the_story_that_the_product_was_told_in(ask: Ask) -> None:
    begun = ask(
        "POST",
        "/v1/social-accounts/auth-url",
        json={"platform": "PLATFORM_SANDBOX", "external_id": "alice"},
    )
    assert begun.status_code == 200
    assert begun.json().keys() == {"url", "state", "expire_time"}

    request = new_account(external_id="alice")
    imported = ask("POST", "/v1/social-accounts", json=request)
    account = imported.json()
    assert (imported.status_code, account["external_id"]) == (200, "alice")
    assert account["state"] == "SOCIAL_ACCOUNT_STATE_CONNECTED"

    mine = ask("GET", "/v1/social-accounts?external_id=alice").json()
    assert mine == {"social_accounts": [account], "next_page_token": ""}
    assert ask("GET", "/v1/social-accounts?external_id=bob").json()["social_accounts"] == []

    post = {"caption": "Hello", "social_account_ids": [account["id"]], "external_id": "spring-campaign"}
    created = ask("POST", "/v1/social-posts", json=post)
    assert (created.status_code, created.json()["caption"]) == (200, "Hello")
    tagged = ask("GET", "/v1/social-posts?external_id=spring-campaign").json()
    assert tagged == {"social_posts": [created.json()], "next_page_token": ""}

    hijack = ask("POST", "/v1/social-accounts", json={**request, "external_id": "bob"})
    assert reason(hijack) == (409, "OWNED_BY_ANOTHER")
    assert hijack.json()["code"] == "ALREADY_EXISTS"
    assert reason(ask("GET", "/v1/social-accounts", key=None)) == (401, "API_KEY_MISSING")


def test_every_method_has_one_rule() -> None:
    assert sorted(rule.rpc.path for rule in RULES) == sorted(RPCS)
    assert len({(rule.verb, rule.path) for rule in RULES}) == len(RULES)


def test_reads_are_get_and_writes_are_not() -> None:
    reads = {rule.rpc.descriptor.name: rule.verb for rule in RULES if not rule.rpc.writes}
    # What it is asked about has no room in a query.
    assert reads.pop("ValidateSocialPost") == "POST"
    assert set(reads.values()) == {"GET"}
    assert {rule.verb == "GET" for rule in RULES if rule.rpc.writes} == {False}


# Paths and verbs.


@pytest.mark.parametrize(
    "path", ["/v1/nothing", "/v1/social-posts/", "/v1/social-posts/a/b", "/v1/%ff", "/v1//"]
)
def test_a_path_that_there_is_not(ask: Ask, path: str) -> None:
    answer = ask("GET", path)
    assert answer.json() == {"type": "about:blank", "title": "Not Found", "status": 404}
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("verb", "path", "allowed"),
    [
        ("PUT", "/v1/social-posts", "GET, HEAD, POST"),
        ("GET", "/v1/social-accounts/auth-url", "POST"),
        ("POST", "/v1/social-posts/sp_x", "DELETE, GET, HEAD, PATCH"),
        ("OPTIONS", "/v1/social-posts", "GET, HEAD, POST"),
    ],
)
def test_a_verb_that_a_path_has_not(ask: Ask, verb: str, path: str, allowed: str) -> None:
    answer = ask(verb, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


def test_head_is_get_without_the_body(ask: Ask, client: Client) -> None:
    account = client.connect()
    answer = ask("HEAD", f"/v1/social-accounts/{account.id}")
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (200, b"", f'"{account.etag}"')


def test_a_value_in_a_path_may_have_any_character(ask: Ask) -> None:
    for encoded in ("a%2Fb", "%C3%A4", "a%20b", "%25", "a+b"):
        assert reason(ask("GET", f"/v1/social-accounts/{encoded}"))[0] in (400, 404)
        assert "reason" in ask("GET", f"/v1/social-accounts/{encoded}").json()


# Types of content, and sizes.


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("*/*", 200),
        ("application/*", 200),
        ("text/html, application/json;q=0.1", 200),
        ("APPLICATION/JSON", 200),
        ("text/html", 406),
        ("application/json;q=0", 406),
        ("application/json; q=0.0, text/*", 406),
        ("text/event-stream", 406),
    ],
)
def test_what_an_answer_may_be(ask: Ask, accept: str, status: int) -> None:
    assert ask("GET", "/v1/social-posts", headers={"Accept": accept}).status_code == status


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("application/json; charset=latin-1", 415),
        ("application/x-www-form-urlencoded", 415),
        ("text/plain", 415),
        ("", 415),
    ],
)
def test_what_a_body_may_be(ask: Ask, content_type: str, status: int) -> None:
    body = json.dumps(new_account())
    answer = ask("POST", "/v1/social-accounts", content=body, headers={"Content-Type": content_type})
    assert answer.status_code == status


def test_an_encoded_body_is_not_read(ask: Ask) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert ask("POST", "/v1/social-accounts", content=b"\x1f\x8b", headers=headers).status_code == 415


def test_a_body_that_is_too_large(ask: Ask, running: Running) -> None:
    body = b'{"username": "' + b"x" * running.settings.max_message_bytes + b'"}'
    answer = ask("POST", "/v1/social-accounts", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


def test_whoever_has_no_key_sends_no_body(ask: Ask) -> None:
    headers = {"Content-Type": "application/json"}
    assert reason(ask("POST", "/v1/social-accounts", key=None, content=b"{", headers=headers))[0] == 401


def test_an_import_is_what_it_is_by_grpc(ask: Ask, client: Client) -> None:
    request = import_request(unique("profile"), "alice")
    account = client("SocialAccountService/ImportSocialAccount", request).social_account
    found = ask("GET", f"/v1/social-accounts/{account.id}").json()
    assert found["create_time"] == account.create_time.ToJsonString()
    assert found["platform_user_id"] == request.platform_user_id
