"""The web process: the pages that browsers see, and the methods over HTTP."""

from collections.abc import Callable
from functools import partial
from threading import Event
from typing import TYPE_CHECKING

from starlette.applications import Starlette

from server.app import App
from server.config import SANDBOX_THREADS, Settings
from server.run import watching, web_server
from server.run.methods import Calls
from server.sandbox import routes as sandbox
from server.storage.database import database
from server.storage.liveness import Liveness
from server.web import app as web_app
from server.web import client_metadata, cors, http_headers
from server.web.bodies import Bodies
from server.web.http_rules import RULES
from server.web.on_demand import OnDemand
from server.web.rest import Rest
from server.web.threads import Threads

if TYPE_CHECKING:
    from server.mcp.http import McpOverHttp


def web_application(app: App, alive: Callable[[], bool], calls: Calls) -> Starlette:
    """The web process's application; `alive` says whether the database answers."""
    settings = app.settings
    sandbox_routes = (
        sandbox.routes(settings.public_url, settings.callback_url, app.clock, Threads(SANDBOX_THREADS))
        if settings.sandbox
        else []
    )
    bodies = Bodies(settings.max_message_bytes)
    rest = Rest(RULES, calls.methods, calls.lanes, bodies)
    mcp = OnDemand(partial(mcp_over_http, settings, calls, bodies))
    wires = {
        "/v1/{path:path}": cors.allowing(settings.cors_origins, rest),
        "/mcp": cors.allowing(settings.cors_origins, mcp),
    }
    return web_app.create(
        app.attempts,
        alive,
        wires,
        [
            *sandbox_routes,
            client_metadata.route(app.bluesky.us, settings.callback_url),
            *watching.routes(settings),
        ],
        public_url=settings.public_url,
        threads=settings.threads,
        running=mcp.running,
    )


def mcp_over_http(settings: Settings, calls: Calls, bodies: Bodies) -> "McpOverHttp":
    """Serves tools at /mcp."""
    # Not imported before: few ask for it, and it takes a second and 16 MB.
    from server.mcp.http import McpOverHttp, security
    from server.mcp.server import Tools

    tools = Tools(calls.methods, calls.lanes, calls.admit, partial(http_headers.call, wire="mcp"))
    allowed = security(settings.public_url, settings.web_address, settings.mcp_hosts, settings.cors_origins)
    return McpOverHttp(tools.server(), calls.admit, allowed, bodies)


def serve_web(app: App, ready: Event, stop: Event) -> None:
    """Serves the pages until `stop` is set, then lets requests in flight finish."""
    settings, liveness, calls = app.settings, Liveness(database), Calls(app)
    watch = watching.Watch(watching.lanes(calls.lanes), watching.database("web", database, liveness.serving))
    liveness.start()
    calls.start()
    watch.start()
    pages = web_application(app, liveness.serving, calls)
    shared = settings.web_workers > 1
    with web_server.serving(pages, settings.web_address, settings.drain_timeout, stop, shared=shared):
        ready.set()
        stop.wait()
    watch.stop()
    calls.stop()
    liveness.stop()
