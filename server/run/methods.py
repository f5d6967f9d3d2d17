"""The methods that a process serves, with all that happens around a call, and the lanes that serve them."""

from collections.abc import Mapping
from functools import partial

from server.app import App
from server.base import logs
from server.config import Settings
from server.rpc.admin import AdminServicer
from server.rpc.call import Method, StreamingMethod
from server.rpc.key_ring import KeyRing
from server.rpc.lanes import Lane
from server.rpc.layers import admit, compose
from server.rpc.platform_apps import PlatformAppServicer
from server.rpc.rate_limits import RateLimits
from server.rpc.registry import RPCS
from server.rpc.social_accounts import SocialAccountServicer
from server.rpc.social_posts import SocialPostServicer

# So many times its threads may wait for a platform: it takes ten seconds to say that one does not answer.
PLATFORM_WAITING = 8


def composed(app: App, keys: KeyRing) -> Mapping[str, Method | StreamingMethod]:
    """Every method, by its path."""
    servicers = (
        SocialAccountServicer(app.accounts, app.attempts, app.confirmations, app.app_passwords, app.clock),
        SocialPostServicer(app.posts, app.dispatch, app.rehearsal, app.clock),
        PlatformAppServicer(app.platform_apps),
        AdminServicer(app.clock, allow_http=app.settings.dev_mode),
    )
    by_type = {type(servicer): servicer for servicer in servicers}
    limits = _limits(app.settings)
    return {path: compose(keys, rpc, by_type[rpc.servicer], limits) for path, rpc in RPCS.items()}


def _limits(settings: Settings) -> RateLimits | None:
    if settings.rate_limit is None:
        return None
    return RateLimits(settings.rate_limit, settings.rate_limit_burst)


def lanes(settings: Settings) -> Mapping[str, Lane]:
    """The lanes that methods name."""
    waiting, platform_threads = settings.max_waiting_calls, settings.platform_threads
    return {
        "read": Lane("read", settings.threads, waiting),
        "write": Lane("write", settings.threads, waiting),
        "platform": Lane("platform", platform_threads, PLATFORM_WAITING * platform_threads),
        "stream": Lane("stream", settings.threads, waiting),
    }


class Calls:
    """What serves the calls of a process that is no gRPC worker: the keys it has seen, methods, lanes."""

    def __init__(self, app: App) -> None:
        self._keys = KeyRing()
        # Of a call that is for no method.
        self.admit = partial(admit, self._keys, None, None)
        self.methods = composed(app, self._keys)
        self.lanes = lanes(app.settings)

    def start(self) -> None:
        """Serves calls from now on."""
        self._keys.start()
        for lane in self.lanes.values():
            lane.start()

    def stop(self) -> None:
        """Once there are no calls left."""
        for lane in self.lanes.values():
            lane.stop()
        self._keys.stop()
        logs.calls.flush()
