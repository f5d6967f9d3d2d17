"""Videos by the video service: a stand-in for it hands them to Bluesky's own server, as the real one does."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from generated.hitchpost.v1 import social_post_service_pb2 as pb
from server.platforms.http import Http
from server.publish.bluesky import BlueskyPublisher
from server.publish.bluesky_video import LONGEST_JOB, VideoService
from server.publish.media import Media
from server.publish.publisher import NotYet, PublishFailed, Step
from tests.kit.bluesky import BlueskyAccount, Pds
from tests.kit.bluesky_posts import Target, by_app_password, by_oauth, records, text
from tests.kit.media import Site, mp4, site
from tests.kit.web import serving

HTTP = Http(allow_private=True)
# What the service has made of the video.
MADE = mp4(160, 90)
FIRST, SECOND = Step("media/0"), Step("processed")


class StandInVideoService:
    """Takes a video, and hands what it makes of it to the server that the token is for."""

    def __init__(self, pds: Pds) -> None:
        self._pds = pds
        self.refusal: tuple[int, Any] | None = None
        self.status: Any = {"jobId": "job-1", "state": "JOB_STATE_ENCODING"}
        self.taken: list[tuple[str, str, int]] = []
        self.token = ""

    async def upload(self, request: Request) -> Response:
        """app.bsky.video.uploadVideo."""
        content = await request.body()
        self.taken.append((request.query_params["did"], request.headers["content-type"], len(content)))
        self.token = request.headers["authorization"]
        if self.refusal:
            return JSONResponse(self.refusal[1], self.refusal[0])
        return JSONResponse(
            {"jobId": "job-1", "did": request.query_params["did"], "state": "JOB_STATE_CREATED"}
        )

    async def job(self, request: Request) -> Response:
        """app.bsky.video.getJobStatus."""
        assert request.query_params["jobId"] == "job-1"
        return JSONResponse({"jobStatus": self.status})

    def finish(self) -> None:
        """With the token that it was given, as the service does."""
        headers = {"Authorization": self.token, "Content-Type": "video/mp4"}
        url = f"{self._pds.url}/xrpc/com.atproto.repo.uploadBlob"
        answer = httpx2.post(url, content=MADE, headers=headers, trust_env=False)
        assert answer.is_success, answer.text
        self.status = {"jobId": "job-1", "state": "JOB_STATE_COMPLETED", "blob": answer.json()["blob"]}


@pytest.fixture(scope="module")
def files() -> Iterator[Site]:
    with site() as served:
        yield served


@pytest.fixture
def person(pds: Pds) -> BlueskyAccount:
    return pds.new_account()


@pytest.fixture
def service(pds: Pds) -> StandInVideoService:
    return StandInVideoService(pds)


@pytest.fixture
def target(service: StandInVideoService, pds: Pds, person: BlueskyAccount) -> Iterator[Target]:
    routes = [
        Route("/xrpc/app.bsky.video.uploadVideo", service.upload, methods=["POST"]),
        Route("/xrpc/app.bsky.video.getJobStatus", service.job),
    ]
    with serving(Starlette(routes=routes)) as url:
        publisher = BlueskyPublisher(HTTP, Media(HTTP), VideoService(HTTP, url))
        yield Target(publisher, by_app_password(pds, person))


@pytest.mark.parametrize("oauth", [False, True], ids=["app_password", "oauth"])
def test_the_service_hands_the_video_to_the_server(
    oauth: bool, service: StandInVideoService, target: Target, pds: Pds, person: BlueskyAccount, files: Site
) -> None:
    if oauth:
        target.tokens = by_oauth(pds, person)
    video = mp4(320, 180)
    part = text("moving", (files.put("/v", video), "What moves"))
    with pytest.raises(NotYet):
        target.prepare(part)
    assert service.taken == [(person.did, "video/mp4", len(video))]
    service.finish()
    # What is known by now is not done again.
    said = target.send(part)
    assert len(service.taken) == 1
    [post] = records(pds, person)
    assert post["uri"] == said["uri"]
    embed = post["value"]["embed"]
    assert (embed["video"]["size"], embed["alt"]) == (len(MADE), "What moves")
    assert embed["aspectRatio"] == {"width": 320, "height": 180}


def test_a_video_that_was_seen_before_has_its_job(
    service: StandInVideoService, target: Target, files: Site
) -> None:
    service.refusal = (409, {"error": "already_exists", "jobId": "job-1", "state": "JOB_STATE_COMPLETED"})
    with pytest.raises(NotYet):
        target.prepare(text("", (files.put("/v", mp4()), "")))
    assert target.done[0]["media/0"]["job"] == "job-1"


@pytest.mark.parametrize(
    "refusal", [(400, {"error": "unconfirmed_email"}), (401, {}), (429, {}), (503, {}), (200, {"no": "job"})]
)
def test_a_video_that_the_service_refuses_goes_to_the_server(
    refusal: tuple[int, Any],
    service: StandInVideoService,
    target: Target,
    pds: Pds,
    person: BlueskyAccount,
    files: Site,
) -> None:
    service.refusal = refusal
    video = mp4(320, 180)
    target.send(text("", (files.put("/v", video), "")))
    [post] = records(pds, person)
    assert post["value"]["embed"]["video"]["size"] == len(video)


@pytest.mark.parametrize("why", [{"failureCode": "pds_upload_failure"}, {}])
def test_a_video_that_the_service_could_not_hand_over_goes_to_the_server(
    why: Any, service: StandInVideoService, target: Target, pds: Pds, person: BlueskyAccount, files: Site
) -> None:
    service.status = {"state": "JOB_STATE_FAILED", **why}
    video = mp4(320, 180)
    target.send(text("", (files.put("/v", video), "")))
    [post] = records(pds, person)
    assert post["value"]["embed"]["video"]["size"] == len(video)


@pytest.mark.parametrize("code", ["validation_failure", "encoding_failure"])
def test_a_video_that_can_not_be_played(
    code: str, service: StandInVideoService, target: Target, files: Site
) -> None:
    service.status = {"state": "JOB_STATE_FAILED", "failureCode": code}
    with pytest.raises(PublishFailed) as failed:
        target.send(text("", (files.put("/v", mp4()), "")))
    error = failed.value
    assert (error.category, error.code, error.retryable) == (pb.PUBLISH_ERROR_CATEGORY_MEDIA, code, False)


def test_a_job_that_never_ends_is_left(service: StandInVideoService, target: Target, files: Site) -> None:
    part = text("", (files.put("/v", mp4(320, 180)), ""))
    sending = target.sending(part)
    target.done[0][FIRST.name] = target.publisher.run(FIRST, sending)
    with pytest.raises(NotYet):
        target.publisher.run(SECOND, sending)
    sending.now += LONGEST_JOB + timedelta(seconds=1)
    assert target.publisher.run(SECOND, sending)["blob"]["size"] == len(mp4(320, 180))


def test_a_server_for_development_is_none_that_the_real_service_could_reach(
    pds: Pds, person: BlueskyAccount, files: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    request = httpx2.AsyncClient.request

    async def noted(client: httpx2.AsyncClient, method: str, url: str, **more: Any) -> httpx2.Response:
        asked.append(str(url))
        return await request(client, method, url, **more)

    monkeypatch.setattr(httpx2.AsyncClient, "request", noted)
    publisher = BlueskyPublisher(HTTP, Media(HTTP))
    Target(publisher, by_app_password(pds, person)).send(text("", (files.put("/v", mp4()), "")))
    assert any(url.startswith(pds.url) for url in asked)
    assert not [url for url in asked if "bsky.app" in url]
