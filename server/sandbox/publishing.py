"""The sandbox as apps publish on it: media are uploaded, then posts name them. All as JSON, but a medium."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from server.base.identity import Clock
from server.sandbox import grants, posts
from server.sandbox.answers import NO_STORE, InvalidToken, Refused, failure
from server.sandbox.requests import bearer_token
from server.web.bodies import Bodies
from server.web.threads import Threads

MAX_MEDIA_BYTES = 10_000_000
# Of a post: what SocialPost allows, so that whatever somebody wants to try can be tried.
TEXT, ALT_TEXT, MEDIA = 65_536, 2_000, 35
# That as JSON, in which a character may take six bytes.
MAX_POST_BYTES = 2 * 1024 * 1024

Action = Callable[[Request, bytes], dict[str, Any]]
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]


class _Medium(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: Text
    alt_text: Annotated[Text, Field(max_length=ALT_TEXT)] = ""


class _Post(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: Text = ""
    media: list[_Medium] = []
    visibility: Literal["public", "unlisted"] = "public"
    reply_to: Text | None = None


class Publishing:
    """The endpoints. `public_url` has no final slash."""

    def __init__(self, public_url: str, clock: Clock, threads: Threads) -> None:
        self._public_url = public_url
        self._clock = clock
        self._threads = threads
        self._media, self._posts = Bodies(MAX_MEDIA_BYTES), Bodies(MAX_POST_BYTES)

    async def upload(self, request: Request) -> Response:
        """POST /sandbox/media: the body is an image or a video."""
        return await self._do(self._upload, request, self._media, "media_too_large")

    async def post(self, request: Request) -> Response:
        """POST /sandbox/posts."""
        return await self._do(self._post, request, self._posts, "text_too_long")

    async def _do(self, action: Action, request: Request, bodies: Bodies, too_large: str) -> Response:
        try:
            async with bodies.of(request) as body:
                done = await self._threads.call(action, request, body)
        except HTTPException:
            return failure(413, too_large, f"There may be at most {bodies.max_body} bytes.")
        except ClientDisconnect:
            # Nobody is there to read this.
            return Response(status_code=400)
        except Refused as error:
            return error.answer()
        return JSONResponse(done, 201, NO_STORE)

    def _post(self, request: Request, body: bytes) -> dict[str, Any]:
        post = posts.create(self._author(request), _new_post(body), self._clock())
        return posts.view(post, self._public_url)

    def _upload(self, request: Request, body: bytes) -> dict[str, Any]:
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        handle = self._author(request)
        if not content_type.startswith(("image/", "video/")) or not body:
            raise Refused(415, "media_type", "A medium is an image or a video, and not empty.")
        return {"id": posts.upload(handle, content_type, body, self._clock())}

    def _author(self, request: Request) -> str:
        """Who posts with this token."""
        grant = grants.find("access", bearer_token(request), self._clock())
        if grant is None:
            raise InvalidToken
        if "posts.write" not in grant.detail["scopes"]:
            raise Refused(403, "insufficient_scope", "The token lacks the scope posts.write.")
        if grant.detail["login"]:
            raise Refused(
                403, "forbidden", "This token is a login's. Each of its accounts has one of its own."
            )
        return grant.handle


def _new_post(body: bytes) -> posts.NewPost:
    """What an app sends. Raises Refused."""
    try:
        post = _Post.model_validate_json(body)
    except ValidationError as error:
        where = ".".join(map(str, error.errors(include_url=False, include_input=False)[0]["loc"]))
        raise Refused(400, "invalid_request", f"This is not a post: {where or 'no JSON'}") from None
    if len(post.text) > TEXT:
        raise Refused(422, "text_too_long", f"A post has at most {TEXT} characters.")
    if len(post.media) > MEDIA:
        raise Refused(422, "too_many_media", f"A post has at most {MEDIA} media.")
    if not post.text and not post.media:
        raise Refused(422, "text_required", "A post has a text or media.")
    media = [(medium.id, medium.alt_text) for medium in post.media]
    return posts.NewPost(post.text, media, post.visibility, post.reply_to)
