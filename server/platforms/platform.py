"""What a platform can be asked, whatever stands behind it: a row of facts, or a class of its own."""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from server.platforms.answers import Profile, Tokens

# For all that one call asks a platform.
TIMEOUT = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class ClientApp:
    """An OAuth client as its platform knows it. A public one has no secret, "".

    `settings` is what else the platform wants to know of it; see Facts.app_settings.
    """

    client_id: str
    client_secret: str = field(default="", repr=False)
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a login is begun with. No permissions: what the platform needs for publishing.

    `options` are the typed options of CreateAuthUrl.
    """

    redirect_uri: str
    state: str = field(repr=False)
    code_verifier: str = field(repr=False)
    permissions: Sequence[str]
    options: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Authorization:
    """Where to send the browser, and what the platform needs when it comes back: to be kept as a secret."""

    url: str
    flow: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Returned:
    """What the browser came back with, a code and the `iss` beside it, and what was kept of its login."""

    code: str = field(repr=False)
    issuer: str
    redirect_uri: str
    code_verifier: str = field(repr=False)
    flow: Mapping[str, str] = field(repr=False)


class Platform(ABC):
    """One way to connect profiles of a platform. Safe to use from many threads.

    Calls over HTTP raise PlatformRefused or PlatformUnreachable, whose texts hold no secret. They end at
    `until` (time.monotonic()), which `deadline` gives: one time for all that a caller waits for.
    """

    # As in platforms.toml: the row's name, the platform's, and that of the one whose app connects it.
    name: str
    platform: str
    app_of: str
    # The options that choose it; none for the platform's first.
    chosen_by: Mapping[str, str]
    # A client that needs nobody's app.
    own_app: ClientApp | None = None
    # How old an access token has to be before it is refreshed.
    refresh_after = timedelta(0)
    # What somebody's app has beside its id and secret: name, and whether it has to be there.
    app_settings: Mapping[str, bool] = {}
    # Whether Hitchpost itself registers an app, at each of the platform's many servers.
    registers_itself = False

    def __init__(self, timeout: timedelta = TIMEOUT) -> None:
        self._timeout = timeout

    def deadline(self, callers: float = math.inf) -> float:
        """Until when the platform may take: as long as it is given, but not past the caller's deadline."""
        return min(callers, time.monotonic() + self._timeout.total_seconds())

    def instance(self, options: Mapping[str, str]) -> str:  # noqa: ARG002 (it is the only one)
        """The server that these options name, by its one name; "" where the platform is one server."""
        return ""

    def register(
        self,
        known: ClientApp | None,
        asked: Asked,  # noqa: ARG002
        until: float,  # noqa: ARG002
    ) -> ClientApp | None:
        """The app to begin with: the one that is known, unless the platform lets an app register itself."""
        return known

    @abstractmethod
    def begin(self, app: ClientApp, asked: Asked, until: float) -> Authorization:
        """Begins a login."""

    @abstractmethod
    def exchange(self, app: ClientApp, returned: Returned, now: datetime, until: float) -> Tokens:
        """The login's tokens for the code. Raises CodeSpent, too."""

    @abstractmethod
    def profiles(self, app: ClientApp, tokens: Tokens, now: datetime, until: float) -> list[Profile]:
        """The profiles that the login shares, each with tokens of its own or the login's; may be empty."""

    @abstractmethod
    def can_refresh(self, tokens: Tokens) -> bool:
        """Whether there is a way to have new tokens for these."""

    @abstractmethod
    def refresh(self, app: ClientApp, tokens: Tokens, now: datetime, until: float) -> Tokens:
        """New tokens for old; with the old refresh token where no other comes. Raises TokensRefused, too."""

    @abstractmethod
    def revoke(self, app: ClientApp, tokens: Tokens, until: float) -> None:
        """Ends the tokens at the platform, where it can. Raises TokensRefused for those that are dead."""
