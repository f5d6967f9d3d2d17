"""The part of a stand-in for a Mastodon server that publishing needs, in the shapes of its documentation.

Media take their time, statuses have idempotency keys, calls have limits, and a server says what its own are.
"""

import html
import re
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

URL = re.compile(r"https?://[^\s<>]+")
LINKS = re.compile(r"(?P<url>https?://[^\s<>]+)|#(?P<tag>\w+)|@(?P<name>\w+)(?:@(?P<host>[\w.-]+))?")
SCOPES = {"statuses": "write:statuses", "media": "write:media"}
KEPT = timedelta(hours=1)
CONFIGURATION = {
    "statuses": {"max_characters": 500, "max_media_attachments": 4, "characters_reserved_per_url": 23},
    "media_attachments": {
        "description_limit": 1500,
        "image_matrix_limit": 33177600,
        "image_size_limit": 16777216,
        "supported_mime_types": ["image/jpeg", "image/png", "video/mp4", "audio/ogg"],
        "video_frame_rate_limit": 120,
        "video_matrix_limit": 8294400,
        "video_size_limit": 103809024,
    },
    "polls": {
        "max_options": 4,
        "max_characters_per_option": 50,
        "min_expiration": 300,
        "max_expiration": 2629746,
    },
}


class Statuses:
    """What one server has of its only account's. `scopes` are those of every token."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.posted: list[dict[str, Any]] = []
        self.uploads: dict[str, dict[str, Any]] = {}
        self.keys: dict[str, tuple[str, datetime]] = {}
        self.scopes = {"read:accounts", "write:statuses", "write:media"}
        self.default_visibility = "public"
        self.version = "4.5.0"
        self.configuration: dict[str, Any] = CONFIGURATION
        # How often a medium is asked for before it is processed, and whether it can be.
        self.polls = 0
        self.processable = True
        # How many answers of statuses that were published get lost on the way.
        self.lose = 0
        # How many calls there are before the limit is reached; by the server's clock, which is so far ahead.
        self.calls_left: int | None = None
        self.ahead = timedelta()
        # Whether only its own members may read, and whether a repeated call fails (mastodon#40399).
        self.members_only = False
        self.fails_repeated = False
        self._ids = count(116_000_000_000_000_001)

    def now(self) -> datetime:
        """By the server's clock."""
        return datetime.now(UTC) + self.ahead

    async def answer(self, request: Request, *, known: bool) -> Response | None:
        """What it says, to a token that is known or to anybody; None for what is not here."""
        path, method = request.url.path, request.method
        if path in ("/api/v2/instance", "/api/v1/instance"):
            return JSONResponse({"version": self.version, "configuration": self.configuration})
        if path == "/api/v1/accounts/1/statuses":
            return self._list(request, known=known)
        scope = SCOPES.get(path.split("/")[3] if path.count("/") >= 3 else "")
        if scope is None:
            return None
        if not known:
            return error("The access token is invalid", 401)
        if not {"write", scope} & self.scopes:
            return error("This action is outside the authorized scopes", 403)
        if self.calls_left == 0:
            return self._limited(error("Too many requests", 429))
        match method, path:
            case "POST", "/api/v2/media":
                return self._limited(await self._upload(request))
            case "POST", "/api/v1/statuses":
                return self._limited(self._post(await request.json(), request.headers.get("idempotency-key")))
            case "GET", _ if path.startswith("/api/v1/media/"):
                return self._medium(path.rpartition("/")[2])
        return None

    def _limited(self, response: Response) -> Response:
        if self.calls_left is not None:
            self.calls_left = max(0, self.calls_left - 1)
            response.headers["X-RateLimit-Limit"] = "300"
            response.headers["X-RateLimit-Remaining"] = str(self.calls_left)
            reset = (self.now() + timedelta(seconds=90)).isoformat().replace("+00:00", "Z")
            response.headers["X-RateLimit-Reset"] = reset
        return response

    async def _upload(self, request: Request) -> Response:
        async with request.form() as form:
            file = form["file"]
            assert not isinstance(file, str)
            content = await file.read()
            kind = str(file.content_type)
            description = str(form.get("description", ""))
        if kind not in self.configuration["media_attachments"]["supported_mime_types"]:
            return error("Validation failed: File content type is invalid, File is invalid", 422)
        medium = {"id": str(next(self._ids)), "type": kind.partition("/")[0], "description": description}
        self.uploads[medium["id"]] = {**medium, "content": content, "kind": kind, "polls": self.polls}
        return JSONResponse({**medium, "url": None}, 202 if self.polls else 200)

    def _medium(self, media_id: str) -> Response:
        medium = self.uploads.get(media_id)
        if medium is None or "status_id" in medium:
            return error("Record not found", 404)
        if not self.processable:
            return error("Error processing thumbnail for uploaded media", 422)
        medium["polls"] -= 1
        shown = {name: medium[name] for name in ("id", "type", "description")}
        return JSONResponse({**shown, "url": None}, 206 if medium["polls"] > 0 else 200)

    def _post(self, said: Mapping[str, Any], key: str | None) -> Response:
        if key in self.keys and self.now() - self.keys[key][1] < KEPT:
            if self.fails_repeated:
                return error("This page is not correct", 500)
            [before] = [one for one in self.posted if one["id"] == self.keys[key][0]]
            return JSONResponse(before)
        if wrong := self._wrong(said):
            return wrong
        status = self.publish(**said)
        if key:
            self.keys[key] = status["id"], self.now()
        if self.lose:
            self.lose -= 1
            return StreamingResponse(_lost(), headers={"Content-Length": "1000"})
        return JSONResponse(status)

    def _wrong(self, said: Mapping[str, Any]) -> Response | None:
        text, media_ids = said.get("status", ""), said.get("media_ids", [])
        missing = [one for one in media_ids if "status_id" in self.uploads.get(one, {"status_id": ""})]
        replied = said.get("in_reply_to_id")
        if replied is not None and not any(one["id"] == replied for one in self.posted):
            return error("The post you are trying to reply to does not appear to exist.", 404)
        if missing:
            return error(f"Media {', '.join(missing)} not found or already attached to another post", 422)
        if any(self.uploads[one]["polls"] > 0 for one in media_ids):
            return error("Cannot attach files that have not finished processing. Try again in a moment!", 422)
        if not text and not media_ids:
            return error("Validation failed: Text can't be blank", 422)
        most = self.configuration["statuses"]["max_characters"]
        if len(URL.sub("x" * 23, text)) + len(said.get("spoiler_text", "")) > most:
            return error(f"Validation failed: Text character limit of {most} exceeded", 422)
        return None

    def publish(self, status: str = "", *, created: datetime | None = None, **said: Any) -> dict[str, Any]:
        """Publishes, as the account's own person could, too."""
        media = [self.uploads[one] for one in said.get("media_ids", [])]
        status_id = str(next(self._ids))
        for medium in media:
            medium["status_id"] = status_id
        published = {
            "id": status_id,
            "created_at": (created or self.now()).isoformat().replace("+00:00", "Z"),
            "in_reply_to_id": said.get("in_reply_to_id"),
            "sensitive": said.get("sensitive", bool(said.get("spoiler_text"))),
            "spoiler_text": said.get("spoiler_text", ""),
            "visibility": said.get("visibility", self.default_visibility),
            "language": said.get("language", "en"),
            "uri": f"{self.address}/users/alice/statuses/{status_id}",
            "url": f"{self.address}/@alice/{status_id}",
            "content": rendered(status, self.address),
            "media_attachments": [
                {name: medium[name] for name in ("id", "type", "description")} for medium in media
            ],
            "poll": said.get("poll"),
        }
        self.posted.append(published)
        return published

    def _list(self, request: Request, *, known: bool) -> Response:
        if known and not {"read", "read:statuses"} & self.scopes:
            return error("This action is outside the authorized scopes", 403)
        if not known and self.members_only:
            return error("This method requires an authenticated user", 401)
        asked = request.query_params
        before = int(asked.get("max_id", 2**63))
        seen = [
            one
            for one in reversed(self.posted)
            if int(one["id"]) < before and (known or one["visibility"] in ("public", "unlisted"))
        ]
        return JSONResponse(seen[: min(40, int(asked["limit"]))])


async def _lost() -> AsyncIterator[bytes]:
    """An answer that breaks off."""
    yield b"{"
    raise ConnectionResetError


def rendered(text: str, address: str) -> str:
    """A text as Mastodon gives it back."""

    def linked(found: re.Match[str]) -> str:
        if url := found["url"]:
            start = re.match(r"https?://(www\.)?", url)
            assert start is not None
            shown = [start[0], url[start.end() :][:30], url[start.end() :][30:]]
            begin, middle, end = map(html.escape, shown)
            return (
                f'<a href="{html.escape(url)}" target="_blank" rel="nofollow noopener">'
                f'<span class="invisible">{begin}</span><span class="ellipsis">{middle}</span>'
                f'<span class="invisible">{end}</span></a>'
            )
        if tag := found["tag"]:
            return f'<a href="{address}/tags/{tag}" class="mention hashtag" rel="tag">#<span>{tag}</span></a>'
        name, host = found["name"], found["host"] or "here.example"
        link = f'<a href="https://{host}/@{name}" class="u-url mention">@<span>{name}</span></a>'
        return f'<span class="h-card">{link}</span>'

    parts, last = [], 0
    for found in LINKS.finditer(text):
        parts += [html.escape(text[last : found.start()]), linked(found)]
        last = found.end()
    whole = "".join([*parts, html.escape(text[last:])])
    paragraphs = re.split(r"\n{2,}", whole)
    return "".join(f"<p>{paragraph.replace(chr(10), '<br />')}</p>" for paragraph in paragraphs if whole)


def error(text: str, status: int) -> Response:
    """An error as the API has them."""
    return JSONResponse({"error": text}, status)
