"""The sandbox as its client sees it, with the app that is everybody's."""

from datetime import datetime, timedelta
from typing import Any

from server.platforms import Asked, Profile, Returned, Tokens, load
from server.platforms.platform import TIMEOUT


class Sandbox:
    """The sandbox of a server at `url`."""

    def __init__(self, url: str, timeout: timedelta = TIMEOUT) -> None:
        self.platforms = load(url, timeout)
        way = self.platforms.choose("sandbox", {})
        assert way is not None
        assert way.own_app is not None
        self.way, self.app = way, way.own_app
        self.deadline = way.deadline

    def authorization_url(self, **asked: Any) -> str:
        """Where to send the browser; `asked` is what platform.Asked has."""
        return self.way.begin(self.app, Asked(**asked), self.deadline()).url

    def exchange(self, *, now: datetime, until: float, **returned: Any) -> Tokens:
        """See Platform; the rest is what platform.Returned has."""
        return self.way.exchange(self.app, Returned(issuer="", flow={}, **returned), now, until)

    def profiles(self, tokens: Tokens, now: datetime, until: float) -> list[Profile]:
        """See Platform."""
        return self.way.profiles(self.app, tokens, now, until)

    def revoke(self, tokens: Tokens, until: float) -> None:
        """See Platform."""
        self.way.revoke(self.app, tokens, until)
