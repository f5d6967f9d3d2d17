"""What was published on the sandbox, for everybody to look at: pages, and the same as JSON."""

from datetime import datetime
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from server.sandbox import posts
from server.sandbox.answers import NO_STORE, failure
from server.sandbox.api import display_name
from server.sandbox.posts import Post
from server.web.pages import Pages

pages = Pages("server.sandbox", "server.web")
# Free to be posted: addresses of media for who has none at hand.
PICTURES = {"sunrise.png": (Path(__file__).parent / "static" / "sunrise.png").read_bytes()}
# For what was uploaded: whatever it is, it runs nothing, and is what its type says.
FILE_HEADERS = {
    "Cache-Control": "public, max-age=86400",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "X-Content-Type-Options": "nosniff",
}


class Timeline:
    """The endpoints. `public_url` has no final slash."""

    def __init__(self, public_url: str) -> None:
        self._public_url = public_url

    def timeline(self, request: Request) -> Response:
        """GET /sandbox/timeline: the public posts, newest first, each with what follows on it."""
        found, before = posts.page(request.query_params.get("before", posts.NEWEST))
        following = posts.replies(found)
        threads = [
            (post, [one for one in following[post.id] if one.visibility == "public"]) for post in found
        ]
        if not _is_browser(request):
            shown = [self._view(post, replies) for post, replies in threads]
            return JSONResponse({"posts": shown, "before": before}, headers=NO_STORE)
        return pages.render(
            "sandbox_timeline.html",
            root="",
            title="Timeline",
            threads=[_thread(post, replies) for post, replies in threads],
            before=before,
        )

    def post(self, request: Request) -> Response:
        """GET /sandbox/posts/{id}: one post, public or not, with what follows on it."""
        post = posts.find(request.path_params["id"])
        if post is None:
            return _nothing(request, "This post is not here, or not any more.")
        replies = posts.replies([post])[post.id]
        if not _is_browser(request):
            return JSONResponse(self._view(post, replies), headers=NO_STORE)
        return pages.render(
            "sandbox_timeline.html",
            root="../",
            title=f"{display_name(post.handle)} on the sandbox",
            threads=[_thread(post, replies)],
            before=None,
        )

    def media(self, request: Request) -> Response:
        """GET /sandbox/media/{id}: what was uploaded."""
        found = posts.media(request.path_params["id"])
        if found is None:
            return _nothing(request, "This medium is not here, or not any more.")
        return Response(found.content, headers={**FILE_HEADERS, "Content-Type": found.content_type})

    def picture(self, request: Request) -> Response:
        """GET /sandbox/pictures/{name}: something to post."""
        content = PICTURES.get(request.path_params["name"])
        if content is None:
            return _nothing(request, "There is no such picture.")
        return Response(content, headers={**FILE_HEADERS, "Content-Type": "image/png"})

    def _view(self, post: Post, replies: list[Post]) -> dict[str, Any]:
        shown = [posts.view(reply, self._public_url) for reply in replies]
        return posts.view(post, self._public_url) | {"replies": shown}


def _is_browser(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


def _nothing(request: Request, message: str) -> Response:
    if _is_browser(request):
        return pages.render("message.html", 404, title="Not here", message=message)
    return failure(404, "not_found", message)


def _thread(post: Post, replies: list[Post]) -> dict[str, Any]:
    return {"post": _shown(post), "replies": [_shown(reply) for reply in replies]}


def _shown(post: Post) -> dict[str, Any]:
    """A post as the page shows it."""
    return post._asdict() | {"name": display_name(post.handle), "time": _time(post.create_time)}


def _time(time: datetime) -> str:
    return f"{time.day} {time:%b %Y, %H:%M} UTC"
