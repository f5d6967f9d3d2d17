"""Videos by Bluesky's video service, which makes them playable before the post is there.

It is asked as Bluesky's own client does: with a token by which it may hand the video to the account's server,
under the account's name. A server that it can't reach, or an account that it does not serve, has its videos
uploaded like images; then they are playable a while after the post.
Facts: https://docs.bsky.app/docs/tutorials/video, and the lexicons app.bsky.video.
"""

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx2

from server.platforms.http import Http
from server.publish import bluesky_errors, calls
from server.publish.bluesky_calls import Pds
from server.publish.media import MediaFile, failed
from server.publish.publisher import NotYet, PublishFailed, Sending

SERVICE = "https://video.bsky.app"
# As long as a token may last that is for one call alone.
TOKEN_TIME = timedelta(minutes=30)
POLL_SECONDS = 5.0
# It takes seconds to minutes; a job that takes longer has been forgotten.
LONGEST_JOB = timedelta(minutes=20)
# The service has seen the video, and it is at fault.
FAULTS_OF_THE_VIDEO = {"validation_failure", "encoding_failure", "pds_upload_unsupported_blob_size"}
UNPLAYABLE = "Bluesky can't take this video: check its format, length and size, then RetrySocialPost."


class NotServed(Exception):
    """The service does not take this video from this account; the account's server may."""


class VideoService:
    """The service at an address; tests have their own."""

    def __init__(self, http: Http, url: str = SERVICE) -> None:
        self._http = http
        self._url = url

    def submit(self, pds: Pds, file: MediaFile, sending: Sending) -> str:
        """Gives it a video, and returns the job. Raises NotServed."""
        # It is on the internet and calls by https: a server for development is none that it could reach.
        if urlsplit(pds.url).scheme != urlsplit(self._url).scheme:
            raise NotServed("a server that it can't reach")
        token = self._token(pds, sending)
        name = f"{sending.key}.mp4"
        headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": file.content_type,
            "Content-Length": str(file.size),
        }

        async def uploading(client: httpx2.AsyncClient) -> httpx2.Response:
            return await client.post(
                f"{self._url}/xrpc/app.bsky.video.uploadVideo",
                params={"did": pds.did, "name": name},
                headers=headers,
                content=file.parts(),
            )

        try:
            response = calls.ask(self._http, uploading, sending.until, publishes=False)
        except PublishFailed as error:
            raise NotServed(error.code) from None
        # One that it has seen before is refused with the job of then.
        job = _status(response).get("jobId")
        if not isinstance(job, str) or not (response.is_success or response.status_code == 409):
            raise NotServed(f"HTTP {response.status_code}")
        return job

    def result(self, pds: Pds, job: str, submitted: datetime, sending: Sending) -> dict[str, Any]:
        """The video's blob, once the job is done. Raises NotYet, NotServed, and PublishFailed if the video
        is at fault."""
        late = sending.now - submitted > LONGEST_JOB
        response = pds.answer(f"{self._url}/xrpc/app.bsky.video.getJobStatus", {"jobId": job})
        status = _status(response)
        blob, state = status.get("blob"), status.get("state")
        if isinstance(blob, dict):
            return blob
        if state == "JOB_STATE_FAILED":
            code = calls.code(status.get("failureCode") or status.get("error"), "JOB_STATE_FAILED")
            if code in FAULTS_OF_THE_VIDEO:
                raise failed(code, UNPLAYABLE)
            raise NotServed(code)
        if late or (400 <= response.status_code < 500 and response.status_code != 429):
            raise NotServed(f"HTTP {response.status_code}")
        raise NotYet(POLL_SECONDS)

    def _token(self, pds: Pds, sending: Sending) -> str:
        """One by which the service may upload a blob to the account's server, and nothing else."""
        parameters: dict[str, str | int] = {
            "aud": server_did(pds),
            "lxm": "com.atproto.repo.uploadBlob",
            "exp": int((sending.now + TOKEN_TIME).timestamp()),
        }
        try:
            token = pds.ask("server.getServiceAuth", parameters).get("token")
        except PublishFailed as error:
            if error.retryable or error.category == bluesky_errors.AUTH:
                raise
            raise NotServed(error.code) from None
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise NotServed("an answer without token")
        return token


def server_did(pds: Pds) -> str:
    """What the account's server calls itself."""
    said = bluesky_errors.check(pds.look_up("server.describeServer", {})).get("did")
    return said if isinstance(said, str) else f"did:web:{urlsplit(pds.url).hostname}"


def _status(response: httpx2.Response) -> dict[str, Any]:
    """A job's status, which the service wraps, or does not."""
    try:
        body = response.json()
    except (ValueError, RecursionError):
        return {}
    status = body.get("jobStatus", body) if isinstance(body, dict) else {}
    return status if isinstance(status, dict) else {}
