"""What a server's refusals mean for a post: a stand-in answers as servers do that no test can bring to it."""

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from generated.hitchpost.v1 import social_post_service_pb2 as pb
from server.platforms import Tokens
from server.platforms.http import Http
from server.publish import bluesky_errors
from server.publish.bluesky import BlueskyPublisher
from server.publish.media import Media
from server.publish.publisher import NotPublished, PublishFailed, TokenExpired, Uncertain
from tests.kit.bluesky_posts import Target, text
from tests.kit.media import Site, png
from tests.kit.support import free_port, secret
from tests.kit.web import serving

HTTP = Http(allow_private=True)
DID = "did:plc:" + "a" * 24
POST = text("x")


class StandInPds:
    """Answers each method as it is told, and everything else with 500."""

    def __init__(self) -> None:
        self.url = ""
        self.answers: dict[str, tuple[int, Any, Mapping[str, str]]] = {}
        self.asked: list[str] = []
        self.files = Site()

    def say(self, method: str, status: int, body: Any = None, **headers: str) -> None:
        """From now on this is the answer."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers[f"com.atproto.{method}"] = (status, body, named)

    async def answer(self, request: Request) -> Response:
        """What it was told to say."""
        method = request.url.path.rpartition("/")[2]
        if not request.url.path.startswith("/xrpc/"):
            return await self.files.answer(request)
        self.asked.append(method)
        await request.body()
        status, body, headers = self.answers.get(method, (500, None, {}))
        content = httpx2.Response(status, json=body).content if body is not None else b"<p>no JSON"
        return Response(content, status, headers)


@pytest.fixture(scope="module")
def running_stand_in() -> Iterator[StandInPds]:
    stand_in = StandInPds()
    methods = ["GET", "POST"]
    with serving(Starlette(routes=[Route("/{path:path}", stand_in.answer, methods=methods)])) as url:
        stand_in.url = stand_in.files.url = url
        yield stand_in


@pytest.fixture
def stand_in_pds(running_stand_in: StandInPds) -> StandInPds:
    running_stand_in.answers.clear()
    running_stand_in.asked.clear()
    return running_stand_in


@pytest.fixture
def target(stand_in_pds: StandInPds) -> Target:
    context = {"did": DID, "handle": "alice.test", "pds": stand_in_pds.url}
    tokens = Tokens(secret(), secret(), None, (), context)
    return Target(BlueskyPublisher(HTTP, Media(HTTP)), tokens)


REFUSED = [
    (400, "InvalidToken", "AUTH"),
    (401, "AuthenticationRequired", "AUTH"),
    (401, "AuthMissing", "AUTH"),
    (401, "AccountTakedown", "AUTH"),
    (400, "AccountDeactivated", "AUTH"),
    (403, "AccountNotFound", "AUTH"),
    (401, "SomethingNew", "AUTH"),
    (403, "ScopeMissingError", "PERMISSION"),
    (403, "Forbidden", "PERMISSION"),
    (400, "InvalidRequest", "CONTENT"),
    (400, "SomethingNew", "CONTENT"),
    (400, "BlobNotFound", "MEDIA"),
    (400, "BlobTooLarge", "MEDIA"),
    (400, "InvalidMimeType", "MEDIA"),
    (413, "PayloadTooLarge", "MEDIA"),
    (400, "InvalidSwap", "DUPLICATE"),
    (404, "XRPCNotSupported", "PLATFORM"),
    (501, "MethodNotImplemented", "PLATFORM"),
]


@pytest.mark.parametrize(("status", "code", "category"), REFUSED)
def test_what_is_refused_fails(
    status: int, code: str, category: str, stand_in_pds: StandInPds, target: Target
) -> None:
    stand_in_pds.say("repo.putRecord", status, {"error": code, "message": f"about {secret()}"})
    with pytest.raises(PublishFailed) as refused:
        target.send(POST)
    error = refused.value
    name = pb.PublishErrorCategory.Name(error.category)  # type: ignore[arg-type]
    assert (name.removeprefix("PUBLISH_ERROR_CATEGORY_"), error.code) == (category, code)
    assert (error.retryable, error.scope) == (False, "")
    # What the server says beside its code may hold anything; ours says what to do.
    assert "about" not in f"{error}{error.message}"
    assert any(word in error.message for word in ("connect", "change", "settle", "Retry", "server"))


@pytest.mark.parametrize(
    ("status", "code"), [(400, "ExpiredToken"), (401, "ExpiredToken"), (401, "invalid_token")]
)
def test_a_token_that_has_expired(status: int, code: str, stand_in_pds: StandInPds, target: Target) -> None:
    stand_in_pds.say("repo.putRecord", status, {"error": code, "message": "no more"})
    with pytest.raises(TokenExpired):
        target.send(POST)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_after_a_fault_of_the_servers_nobody_knows(
    status: int, stand_in_pds: StandInPds, target: Target
) -> None:
    stand_in_pds.say("repo.putRecord", status, {"error": "InternalServerError"})
    with pytest.raises(Uncertain):
        target.send(POST)
    # Before anything is published the same is only a delay.
    stand_in_pds.say("identity.resolveHandle", status)
    with pytest.raises(PublishFailed) as failed:
        target.send(text("@bob.test"), 1)
    assert (failed.value.category, failed.value.retryable) == (pb.PUBLISH_ERROR_CATEGORY_PLATFORM, True)


@pytest.mark.parametrize("body", [None, [], {}, {"uri": "at://x"}, {"uri": 1, "cid": "c"}])
def test_a_success_that_says_nothing_is_none(body: Any, stand_in_pds: StandInPds, target: Target) -> None:
    stand_in_pds.say("repo.putRecord", 200, body)
    with pytest.raises(Uncertain):
        target.send(POST)


def test_where_nobody_listens_nothing_was_sent(target: Target) -> None:
    target.tokens.context["pds"] = f"http://127.0.0.1:{free_port()}"  # type: ignore[index]
    with pytest.raises(PublishFailed) as failed:
        target.send(POST)
    assert (failed.value.category, failed.value.retryable) == (pb.PUBLISH_ERROR_CATEGORY_NETWORK, True)


LIMITS = [
    # By the hour and by the day an account is counted, and only for what it writes.
    ("5000;w=3600", "account"),
    ("35000;w=86400", "account"),
    ("3000;w=300", "server"),
    ("nonsense", "account"),
]


@pytest.mark.parametrize(("policy", "scope"), LIMITS)
def test_limits_of_calls(policy: str, scope: str, stand_in_pds: StandInPds, target: Target) -> None:
    headers = {
        "RateLimit_Reset": str(int(time.time()) + 90),
        "RateLimit_Policy": policy,
        "RateLimit_Remaining": "0",
    }
    stand_in_pds.say("repo.putRecord", 429, {"error": "RateLimitExceeded"}, Retry_After="7", **headers)
    with pytest.raises(PublishFailed) as limited:
        target.send(POST)
    error = limited.value
    assert (error.category, error.code) == (pb.PUBLISH_ERROR_CATEGORY_RATE_LIMIT, "RateLimitExceeded")
    assert (error.retryable, error.scope) == (True, scope)
    assert error.retry_after is not None
    # Both are whole seconds.
    assert 7 < error.retry_after <= 91
    # A success that is the last one says the same.
    assert target.pauses == {}
    stand_in_pds.say("repo.putRecord", 200, {"uri": "at://a/b/c", "cid": "d"}, **headers)
    target.send(POST)
    assert list(target.pauses) == [scope]
    assert 7 < target.pauses[scope] <= 91


def test_when_a_limit_ends_is_said_in_the_servers_time() -> None:
    there = datetime.now(UTC) + timedelta(hours=5)
    headers = {
        "Date": format_datetime(there, usegmt=True),
        "RateLimit-Reset": str(int(there.timestamp()) + 90),
        "RateLimit-Remaining": "0",
    }
    response = httpx2.Response(200, headers=headers)
    assert bluesky_errors.pause(response, writes=True) == ("account", 90)
    # Whatever a server says, nobody waits for more than a day.
    response.headers["RateLimit-Reset"] = "9" * 30
    assert bluesky_errors.pause(response, writes=True) == ("account", 86_400)


def test_a_limit_that_says_less(stand_in_pds: StandInPds, target: Target) -> None:
    stand_in_pds.say("repo.putRecord", 429, None, Retry_After="7")
    with pytest.raises(PublishFailed) as limited:
        target.send(POST)
    assert (limited.value.retry_after, limited.value.scope) == (7, "account")


@pytest.mark.parametrize(("remaining", "paused"), [("1", True), ("2", False), ("x", False)])
def test_a_post_costs_two_points(
    remaining: str, paused: bool, stand_in_pds: StandInPds, target: Target
) -> None:
    headers = {"RateLimit_Remaining": remaining, "RateLimit_Reset": str(int(time.time()) + 3)}
    said = {"uri": "at://a/b/c", "cid": "d"}
    stand_in_pds.say("repo.putRecord", 200, said, RateLimit_Policy="5000;w=3600", **headers)
    target.send(POST)
    assert bool(target.pauses) == paused


def test_uploads_are_counted_by_address(stand_in_pds: StandInPds, target: Target) -> None:
    stand_in_pds.say("repo.uploadBlob", 429, {}, RateLimit_Policy="1000;w=86400")
    with pytest.raises(PublishFailed) as limited:
        target.send(text("", (stand_in_pds.files.put("/i", png()), "")))
    assert limited.value.scope == "server"


@pytest.mark.parametrize("status", [400, 413])
def test_a_medium_that_is_refused(status: int, stand_in_pds: StandInPds, target: Target) -> None:
    stand_in_pds.say("repo.uploadBlob", status, {"error": "InvalidRequest"})
    with pytest.raises(PublishFailed) as refused:
        target.send(text("", (stand_in_pds.files.put("/i", png()), "")))
    assert refused.value.category == pb.PUBLISH_ERROR_CATEGORY_MEDIA


def test_settling_asks_until_it_is_told(stand_in_pds: StandInPds, target: Target) -> None:
    target.prepare(POST)
    stand_in_pds.say("repo.getRecord", 400, {"error": "RecordNotFound"})
    with pytest.raises(NotPublished):
        target.settle(POST)
    stand_in_pds.say("repo.getRecord", 503)
    with pytest.raises(PublishFailed) as failed:
        target.settle(POST)
    assert failed.value.retryable
    stand_in_pds.say("repo.getRecord", 400, {"error": "RepoDeactivated"})
    with pytest.raises(Uncertain, match="RepoDeactivated"):
        target.settle(POST)
    assert "com.atproto.repo.putRecord" not in stand_in_pds.asked


def test_an_unknown_handle_is_text_and_a_limit_is_none(stand_in_pds: StandInPds, target: Target) -> None:
    stand_in_pds.say("identity.resolveHandle", 400, {"error": "InvalidRequest"})
    target.prepare(text("@bob.test"))
    assert target.done[0] == {"mentions": {"dids": {}}}
    stand_in_pds.say("identity.resolveHandle", 429)
    with pytest.raises(PublishFailed) as limited:
        target.prepare(text("@bob.test"), 1)
    assert limited.value.category == pb.PUBLISH_ERROR_CATEGORY_RATE_LIMIT
