"""Publishing on the sandbox (docs/sandbox.md).

Like many platforms it can't be asked about a post: when an answer got lost, somebody has to look.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import httpx2

from server.platforms.http import Http
from server.publish import categories
from server.publish.calls import ask, check_status, json_of, retry_after
from server.publish.media import Media, MediaFile
from server.publish.publisher import (
    Publisher,
    PublishFailed,
    Sending,
    Step,
    TokenExpired,
    Uncertain,
    Values,
)

PUBLISH = Step("publish", publishes=True)
EXPIRED = "invalid_token"


class Meaning(NamedTuple):
    """What an error of the sandbox's means for a post, and what to do."""

    category: int
    message: str
    retryable: bool = False
    scope: str = ""


_RECONNECT = "Reconnect the account, then call RetrySocialPost."
_REFUSED = "The sandbox refuses the text; change the post, then call RetrySocialPost."
_MEDIA = "The sandbox refuses a medium; change the post's media, then call RetrySocialPost."
_LATER = "The sandbox fails; it is tried again."
# By the sandbox's own code. After each of these nothing was published: it says so.
MEANINGS: Mapping[str, Meaning] = {
    "login_required": Meaning(categories.AUTH, _RECONNECT),
    "forbidden": Meaning(categories.PERMISSION, "The account may not post; see to that at the sandbox."),
    "insufficient_scope": Meaning(categories.PERMISSION, f"The account's tokens may not post. {_RECONNECT}"),
    "invalid_request": Meaning(categories.CONTENT, _REFUSED),
    "text_required": Meaning(categories.CONTENT, _REFUSED),
    "text_too_long": Meaning(categories.CONTENT, _REFUSED),
    "text_refused": Meaning(categories.CONTENT, _REFUSED),
    "reply_to_unknown": Meaning(categories.CONTENT, "The post to reply to is not there any more."),
    "duplicate": Meaning(
        categories.DUPLICATE, "The sandbox has this post already; look there, or change it."
    ),
    "media_type": Meaning(categories.MEDIA, _MEDIA),
    "media_too_large": Meaning(categories.MEDIA, _MEDIA),
    "media_refused": Meaning(categories.MEDIA, _MEDIA),
    "media_unknown": Meaning(categories.MEDIA, _MEDIA),
    "too_many_media": Meaning(categories.MEDIA, _MEDIA),
    "rate_limited": Meaning(
        categories.RATE_LIMIT,
        "The sandbox takes no more posts of this account for now; it is tried again later.",
        retryable=True,
        scope="account",
    ),
    "failed": Meaning(categories.PLATFORM, _LATER, retryable=True),
    "away": Meaning(categories.PLATFORM, _LATER, retryable=True),
}


class SandboxPublisher(Publisher):
    """Uploads media one by one, then publishes. `public_url` is where the sandbox is."""

    platform = "sandbox"

    def __init__(self, public_url: str, http: Http, media: Media) -> None:
        self._url = f"{public_url}/sandbox"
        self._http = http
        self._media = media

    def steps(self, sending: Sending) -> Sequence[Step]:
        """See Publisher."""
        return [*(Step(_upload(number)) for number in range(len(sending.part.media))), PUBLISH]

    def run(self, step: Step, sending: Sending) -> Values:
        """See Publisher."""
        if step.publishes:
            return self._publish(sending)
        item = sending.part.media[int(step.name.removeprefix(_upload("")))]
        with self._media.taken(item, self.platform, sending.sender.limits, sending.until) as file:
            return {"id": self._answer("media", sending, _body(file))["id"]}

    def _publish(self, sending: Sending) -> Values:
        part = sending.part
        post = {
            "text": part.text,
            "media": [
                {"id": sending.done[_upload(number)]["id"], "alt_text": item.alt_text}
                for number, item in enumerate(part.media)
            ],
            "visibility": _visibility(sending.options),
        }
        if part.replies_to is not None:
            post["reply_to"] = sending.published[part.replies_to]["id"]
        answer = self._answer("posts", sending, {"json": post}, publishes=True)
        return {"id": answer["id"], "url": answer["url"]}

    def _answer(
        self, path: str, sending: Sending, body: Mapping[str, Any], *, publishes: bool = False
    ) -> Mapping[str, Any]:
        """What the sandbox answers when it has done what was asked for."""
        headers = {"Authorization": f"Bearer {sending.sender.tokens.access_token}", **body.get("headers", {})}
        arguments = {**body, "headers": headers}

        async def asking(client: httpx2.AsyncClient) -> httpx2.Response:
            return await client.post(f"{self._url}/{path}", **arguments)

        response = ask(self._http, asking, sending.until, publishes=publishes)
        said = json_of(response)
        answer = said if isinstance(said, dict) else {}
        _check_error(response, answer)
        check_status(response, publishes=publishes)
        wanted = ("id", "url") if publishes else ("id",)
        if not response.is_success or not all(isinstance(answer.get(name), str) for name in wanted):
            if publishes:
                raise Uncertain(f"HTTP {response.status_code}")
            raise _unknown(response)
        return answer


def _upload(number: object) -> str:
    """The name of the step that uploads the medium with this index."""
    return f"media-{number}"


def _body(file: MediaFile) -> Mapping[str, Any]:
    headers = {"Content-Type": file.content_type, "Content-Length": str(file.size)}
    return {"content": file.parts(), "headers": headers}


def _visibility(options: Values) -> str:
    """The option in the sandbox's own words."""
    name = str(options.get("visibility", ""))
    return "unlisted" if name.endswith("UNLISTED") else "public"


def _check_error(response: httpx2.Response, answer: Mapping[str, Any]) -> None:
    """Raises for an error that the sandbox names."""
    error = answer.get("error")
    if response.is_success or not isinstance(error, str):
        return
    if error == EXPIRED:
        raise TokenExpired
    if meaning := MEANINGS.get(error):
        raise PublishFailed(
            meaning.category,
            error,
            meaning.message,
            retryable=meaning.retryable,
            retry_after=retry_after(response),
            scope=meaning.scope,
        )


def _unknown(response: httpx2.Response) -> PublishFailed:
    return PublishFailed(categories.PLATFORM, f"HTTP {response.status_code}", _LATER, retryable=True)
