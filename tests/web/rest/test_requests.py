"""Bodies and queries: what is read of them, and that nothing is passed over."""

import pytest

from tests.kit.support import Client
from tests.web.rest.asking import Ask, fields, new_account


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"[]", "body"),
        (b"{", "body"),
        (b"\xff", "body"),
        (b'{"platform": NaN}', "body"),
        (b'{"username": "a", "username": "b"}', "body"),
        (b"[" * 100_000, "body"),
        (b'{"metadata":' * 500 + b"1" + b"}" * 500, "metadata"),
        (b'{"usernam": "a"}', "usernam"),
        (b'{"username": 5}', "username"),
        (b'{"username": "\\ud800"}', "body"),
        (b'{"platform": "\\uDfff"}', "body"),
        (b'{"\\ud800": "a"}', "body"),
        (b'{"platform": 1e999}', "body"),
        (b'{"scopes": "a"}', "scopes"),
        (b'{"scopes": [null]}', "scopes[0]"),
        (b'{"platform": "PLATFORM_NONE"}', "platform"),
        (b'{"access_token_expire_time": "tomorrow"}', "access_token_expire_time"),
        (b'{"metadata": {"a": {}}}', "metadata"),
        (b"9" * 5_000, "body"),
    ],
)
def test_a_body_that_is_no_request(ask: Ask, body: bytes, field: str) -> None:
    answer = ask("POST", "/v1/social-accounts", content=body, headers={"Content-Type": "application/json"})
    assert fields(answer) == [field]


def test_a_token_in_the_wrong_place_is_not_repeated(ask: Ask) -> None:
    for wrong in ({"access_token": ["secret-0-kept"]}, {"access_token_expire_time": "secret-0-kept"}):
        answer = ask("POST", "/v1/social-accounts", json=new_account(**wrong))
        assert fields(answer) == list(wrong)
        assert "secret-0-kept" not in answer.text


def test_a_field_deep_inside_is_named(ask: Ask) -> None:
    post = {"media": [{"url": "https://a.example/", "alt": "x"}], "social_account_ids": ["sa_x"]}
    assert fields(ask("POST", "/v1/social-posts", json=post)) == ["social_post.media[0].alt"]
    post = {"account_overrides": [{"caption": 5}]}
    assert fields(ask("POST", "/v1/social-posts", json=post)) == ["social_post.account_overrides.caption"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("external_idz=a", "external_idz"),
        ("page_size=a", "page_size"),
        ("page_size=1&page_size=1", "page_size"),
        ("page_size=-1", "page_size"),
        ("state=CONNECTED", "states[0]"),
        ("state=3", "states[0]"),
        ("page_token=%ff", "query"),
        ("scheduled_after=now", "scheduled_after"),
        ("&".join(["state=1"] * 5_001), "query"),
    ],
)
def test_a_query_that_is_no_request(ask: Ask, query: str, field: str) -> None:
    assert fields(ask("GET", f"/v1/social-posts?{query}")) == [field]


def test_filters_by_repetition_and_by_either_spelling(ask: Ask, client: Client) -> None:
    for owner in ("alice", "bob", "carol"):
        client.connect(external_id=owner)
    answer = ask("GET", "/v1/social-accounts?external_id=alice&external_ids=bob&platform=PLATFORM_SANDBOX")
    assert [account["external_id"] for account in answer.json()["social_accounts"]] == ["bob", "alice"]


def test_a_body_where_there_is_none(ask: Ask) -> None:
    assert fields(ask("GET", "/v1/social-posts", json={"page_size": 1})) == ["body"]
    assert fields(ask("POST", "/v1/social-accounts/auth-url?platform=PLATFORM_X", json={})) == ["platform"]


def test_an_update_by_mask(ask: Ask, client: Client) -> None:
    post = client.draft(client.connect().id, external_id="tag", scheduled_time=None)
    for mask in ("caption,external_id", "caption,externalId"):
        path = f"/v1/social-posts/{post.id}?update_mask={mask}"
        answer = ask("PATCH", path, json={"caption": mask})
        assert answer.json()["caption"] == mask, answer.text
        assert "external_id" not in answer.json()
    assert fields(ask("PATCH", f"/v1/social-posts/{post.id}?update_mask=id", json={})) == ["update_mask"]


def test_the_path_and_the_body_may_not_disagree(ask: Ask, client: Client) -> None:
    post, other = (client.draft(client.connect().id) for _ in range(2))
    path = f"/v1/social-posts/{post.id}"
    assert ask("PATCH", path, json={"id": post.id, "caption": "new"}).status_code == 200
    assert fields(ask("PATCH", path, json={"id": other.id, "caption": "new"})) == ["social_post.id"]
    account = client.connect(external_id="alice")
    path = f"/v1/social-accounts/{account.id}/disconnect"
    for there in ({}, {"social_account_id": account.id}):
        smuggled = {**there, "socialAccountId": other.id}
        assert fields(ask("POST", path, json=smuggled)) == ["social_account_id"]
