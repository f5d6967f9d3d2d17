"""The sandbox as apps publish on it: media are uploaded, then posts name them. All as JSON, but a medium."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from server.base.identity import Clock
from server.sandbox import grants, posts
from server.sandbox.answers import NO_STORE, InvalidToken, Refused
from server.sandbox.requests import bearer_token
from server.web.bodies import Bodies
from server.web.threads import Threads

MAX_MEDIA_BYTES = 10 * 1024 * 1024
# Limits of a post.
TEXT, ALT_TEXT, MEDIA = 5_000, 2_000, 10

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
        self._bodies = Bodies(MAX_MEDIA_BYTES)

    async def upload(self, request: Request) -> Response:
        """POST /sandbox/media: the body is an image or a video of at most 10 MiB."""
        try:
            async with self._bodies.of(request) as body:
                return await self._threads.call(self._upload, request, body)
        except HTTPException:
            most = f"A medium has at most {MAX_MEDIA_BYTES} bytes."
            return Refused(413, "media_too_large", most).answer()
        except ClientDisconnect:
            # Nobody is there to read this.
            return Response(status_code=400)

    def post(self, request: Request) -> Response:
        """POST /sandbox/posts."""
        try:
            handle = self._author(request)
            post = posts.create(handle, _new_post(request.state.body), self._clock())
        except Refused as error:
            return error.answer()
        return JSONResponse(posts.view(post, self._public_url), 201, NO_STORE)

    def _upload(self, request: Request, body: bytes) -> Response:
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        try:
            handle = self._author(request)
            if not content_type.startswith(("image/", "video/")) or not body:
                raise Refused(415, "media_type", "A medium is an image or a video, and not empty.")
        except Refused as error:
            return error.answer()
        media_id = posts.upload(handle, content_type, body, self._clock())
        return JSONResponse({"id": media_id}, 201, NO_STORE)

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


def _new_post(body: bytes | None) -> posts.NewPost:
    """What an app sends. Raises Refused."""
    try:
        post = _Post.model_validate_json(body or b"")
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
