"""Headers: owners, request ids, etags, and pages of other origins."""

import base64

import httpx2
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from server.web import cors
from tests.kit.support import Client, unique
from tests.kit.web import serving
from tests.web.rest.asking import Ask, fields, new_account, reason


def test_the_owner_scope(ask: Ask, client: Client) -> None:
    account = client.connect(external_id="älice/team 1")
    path = f"/v1/social-accounts/{account.id}"
    raw = "älice/team 1".encode()
    for headers in (
        {b"X-External-Id": raw},
        {"X-External-Id-Bin": base64.b64encode(raw).decode()},
        {"X-External-Id-Bin": base64.b64encode(raw).decode().rstrip("=")},
    ):
        assert ask("GET", path, headers=headers).status_code == 200
    assert reason(ask("GET", path, headers={"X-External-Id": "bob"})) == (403, "OWNER_MISMATCH")
    for wrong in ({"X-External-Id": ""}, {b"X-External-Id": b"\xff"}, {"X-External-Id-Bin": "?"}):
        assert reason(ask("GET", path, headers=wrong)) == (400, "FIELD_INVALID")


def test_an_idempotency_key_is_the_request_id(ask: Ask) -> None:
    request = new_account()
    headers = {"Idempotency-Key": unique("key")}
    first = ask("POST", "/v1/social-accounts", json=request, headers=headers)
    assert ask("POST", "/v1/social-accounts", json=request, headers=headers).content == first.content
    other = ask("POST", "/v1/social-accounts", json=new_account(), headers=headers)
    assert reason(other) == (400, "REQUEST_ID_REUSED")
    both = ask("POST", "/v1/social-accounts", json={**request, "request_id": "another"}, headers=headers)
    assert fields(both) == ["request_id"]


def test_if_match_is_the_etag(ask: Ask, client: Client) -> None:
    post = client.draft(client.connect().id)
    path = f"/v1/social-posts/{post.id}"
    read = ask("GET", path)
    assert read.headers["etag"] == f'"{post.etag}"'
    changed = ask("PATCH", path, json={"caption": "1"}, headers={"If-Match": read.headers["etag"]})
    assert (changed.status_code, changed.headers["etag"] != read.headers["etag"]) == (200, True)
    late = ask("PATCH", path, json={"caption": "2"}, headers={"If-Match": read.headers["etag"]})
    assert reason(late) == (412, "ETAG_MISMATCH")
    in_body = ask("PATCH", path, json={"caption": "2", "etag": post.etag})
    assert reason(in_body) == (409, "ETAG_MISMATCH")
    assert reason(ask("DELETE", path, headers={"If-Match": read.headers["etag"]})) == (412, "ETAG_MISMATCH")
    assert ask("PATCH", path, json={"caption": "3"}, headers={"If-Match": "*"}).status_code == 200
    for wrong in ('W/"1"', "1", '"1", "2"', ""):
        assert fields(ask("DELETE", path, headers={"If-Match": wrong})) == ["If-Match"]
    assert fields(ask("GET", path, headers={"If-Match": "*"})) == ["If-Match"]
    assert fields(ask("POST", "/v1/social-posts", json={}, headers={"If-Match": '"1"'})) == ["If-Match"]
    assert ask("DELETE", path).json() == {}


def test_what_is_decided_of_a_post_has_its_etag_and_happens_once(ask: Ask, client: Client) -> None:
    times = {"scheduled_time": "2040-07-01T09:00:00Z", "follow_ups": [{"caption": "more", "delay": "90s"}]}
    post = {"caption": "hello", "social_account_ids": [client.connect().id], **times}
    made = ask("POST", "/v1/social-posts", json=post)
    assert made.json()["follow_ups"][0]["delay"] == "90s"
    path, etag = f"/v1/social-posts/{made.json()['id']}", made.headers["etag"]
    for action in ("publish", "cancel", "retry"):
        assert reason(ask("POST", f"{path}/{action}", json={}, headers={"If-Match": '"99"'})) == (
            412,
            "ETAG_MISMATCH",
        )
    headers = {"If-Match": etag, "Idempotency-Key": unique("key")}
    published = ask("POST", f"{path}/publish", json={}, headers=headers)
    assert (published.status_code, published.json()["state"]) == (200, "SOCIAL_POST_STATE_SCHEDULED")
    assert published.headers["etag"] not in ("", etag)
    again = ask("POST", f"{path}/publish", json={}, headers=headers)
    assert (again.content, again.headers["etag"]) == (published.content, published.headers["etag"])
    cancelled = ask("POST", f"{path}/cancel", json={"request_id": unique("key")}).json()
    assert cancelled["state"] == "SOCIAL_POST_STATE_CANCELLED"
    [target] = ask("GET", "/v1/social-post-targets?state=SOCIAL_POST_TARGET_STATE_CANCELLED").json()[
        "social_post_targets"
    ]
    assert target == cancelled["targets"][0]
    assert reason(ask("POST", f"{path}/retry", json={})) == (400, "SOCIAL_POST_NOT_RETRYABLE")
    resolve = f"{path}/targets/{target['social_account_id']}/resolve"
    found = {"resolution": "SOCIAL_POST_TARGET_RESOLUTION_PUBLISHED"}
    assert reason(ask("POST", resolve, json=found)) == (400, "SOCIAL_POST_TARGET_NOT_UNCONFIRMED")
    other = {**found, "social_account_id": client.connect().id}
    assert fields(ask("POST", resolve, json=other)) == ["social_account_id"]


def test_a_request_id_of_the_callers_own_comes_back(ask: Ask) -> None:
    for path in ("/v1/social-posts", "/v1/social-posts/sp_none"):
        assert ask("GET", path, headers={"X-Request-Id": "mine"}).headers["x-request-id"] == "mine"
        assert len(ask("GET", path).headers["x-request-id"]) == 32


@pytest.mark.parametrize("origin", ["https://app.example.com", "https://evil.example.com"])
def test_pages_of_other_origins_may_call_where_a_setting_says_so(origin: str) -> None:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("called", headers={"ETag": '"1"'})(scope, receive, send)

    preflight = {"Origin": origin, "Access-Control-Request-Method": "PATCH"}
    preflight["Access-Control-Request-Headers"] = "authorization, if-match"
    with serving(cors.allowing(["https://app.example.com"], answer)) as url:
        asked = httpx2.options(url, headers=preflight, trust_env=False)
        called = httpx2.get(url, headers={"Origin": origin}, trust_env=False)
    allowed = origin if origin == "https://app.example.com" else None
    assert asked.headers.get("access-control-allow-origin") == allowed
    assert called.headers.get("access-control-allow-origin") == allowed
    assert "access-control-allow-credentials" not in called.headers
    assert "ETag" in called.headers["access-control-expose-headers"]


def test_by_default_no_page_of_another_origin_may_call(ask: Ask) -> None:
    answer = ask("GET", "/v1/social-posts", headers={"Origin": "https://app.example.com"})
    assert "access-control-allow-origin" not in answer.headers
