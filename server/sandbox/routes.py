"""Everything below /sandbox."""

from urllib.parse import urlsplit

from starlette.routing import Route

from server.base.identity import Clock
from server.sandbox.api import SandboxApi
from server.sandbox.behaviours import LOGIN, MEDIA, POSTS
from server.sandbox.misbehaving import Misbehaving
from server.sandbox.misbehaviour import Misbehaviour
from server.sandbox.publishing import Publishing
from server.sandbox.site import Sandbox
from server.sandbox.timeline import Timeline
from server.web.threads import Endpoint, Threads


def routes(public_url: str, callback_url: str, clock: Clock, threads: Threads) -> list[Route]:
    """The pages and the API. Neither URL has a final slash.

    Its threads are its own: callbacks, which wait for this platform, may have taken all of theirs.
    """
    sandbox = Sandbox(public_url, callback_url, clock)

    def page(path: str, endpoint: Endpoint, *methods: str) -> Route:
        return Route(f"/sandbox{path}", threads.run(sandbox.guarded(endpoint)), methods=methods or ["GET"])

    timeline = Timeline(public_url)
    behaviour = Misbehaviour(
        clock, urlsplit(public_url).path + "/sandbox", secure=public_url.startswith("https:")
    )
    return [
        page("", sandbox.index),
        page("/authorize", sandbox.authorize),
        page("/sign-in", sandbox.sign_in, "POST"),
        page("/sign-out", sandbox.sign_out, "POST"),
        page("/consent", sandbox.consent, "POST"),
        page("/avatars/{handle}.svg", sandbox.avatar),
        page("/timeline", timeline.timeline),
        page("/posts/{id}", timeline.post),
        page("/media/{id}", timeline.media),
        page("/pictures/{name}", timeline.picture),
        page("/behaviour", behaviour.look),
        page("/behaviour", behaviour.tell, "POST"),
        page("/behaviour", behaviour.reset, "DELETE"),
        *_machines(public_url, clock, threads),
    ]


def _machines(public_url: str, clock: Clock, threads: Threads) -> list[Route]:
    """What apps call, which goes as it was told."""
    api, publishing = SandboxApi(public_url, clock), Publishing(public_url, clock, threads)
    misbehaving = Misbehaving(threads, clock)

    def machine(name: str, call: str, endpoint: Endpoint, method: str = "POST") -> Route:
        return Route(f"/sandbox/{name}", misbehaving.run(call, threads.run(endpoint)), methods=[method])

    return [
        machine("token", LOGIN, api.token),
        machine("revoke", LOGIN, api.revoke),
        machine("profiles", LOGIN, api.profiles, "GET"),
        Route("/sandbox/posts", misbehaving.run(POSTS, publishing.post), methods=["POST"]),
        Route("/sandbox/media", misbehaving.run(MEDIA, publishing.upload), methods=["POST"]),
    ]
