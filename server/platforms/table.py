"""Every way to connect profiles that this server knows, and how one is chosen."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path

from server.platforms import facts
from server.platforms.facts import Facts
from server.platforms.http import Http
from server.platforms.mastodon import MastodonPlatform
from server.platforms.oauth2 import OAuth2Platform
from server.platforms.platform import TIMEOUT, Platform


class Platforms:
    """The ways by the names of their rows; the first of a platform is the one without further options."""

    def __init__(self, ways: Iterable[Platform]) -> None:
        self._ways = {way.name: way for way in ways}
        self._first = {way.platform: way for way in reversed([*self]) if not way.chosen_by}
        self._others = [way for way in self if way.chosen_by]

    def __iter__(self) -> Iterator[Platform]:
        return iter(self._ways.values())

    def choose(self, platform: str, options: Mapping[str, str]) -> Platform | None:
        """The way that these options ask for; None when there is none to that platform."""
        for way in self._others:
            if way.platform == platform and way.chosen_by.items() <= options.items():
                return way
        return self._first.get(platform)

    def named(self, name: str | None, platform: str) -> Platform | None:
        """The way by which tokens were had; without a name, the platform's first."""
        return self._first.get(platform) if name is None else self._ways.get(name)

    def app_settings(self, platform: str) -> Mapping[str, bool]:
        """What an app of this platform has beside its id and secret: name, and whether it has to be there.

        Raises ValueError, which says what to do instead, when nobody can set an app for it.
        """
        ways = [way for way in self if way.app_of == platform]
        others = sorted({way.app_of for way in self if way.platform == platform} - {platform})
        if not ways and others:
            raise ValueError(f"is connected with the app of {others[0]}: set that one")
        if not ways:
            raise ValueError("can't be connected by this server: it has no row for it (docs/platforms.md)")
        if any(way.registers_itself for way in ways):
            raise ValueError("needs no app: Hitchpost registers one by itself at each of its servers")
        if all(way.own_app for way in ways):
            raise ValueError("needs no app: CreateAuthUrl works without one")
        names = {name for way in ways for name in way.app_settings}
        return {name: any(way.app_settings.get(name) for way in ways) for name in sorted(names)}


def load(
    public_url: str,
    timeout: timedelta = TIMEOUT,
    *,
    allow_private: bool = False,
    more: Path | None = None,
    without: Iterable[str] = (),
) -> Platforms:
    """The rows of platforms.toml, and of the file that has `more`, but not those of platforms `without`.

    `public_url`, where the sandbox is, has no final slash. Others must have public addresses, unless
    `allow_private`. Raises ValueError for a wrong row, and OSError.
    """
    http = Http(allow_private=allow_private, trusted=[public_url])
    rows = facts.read(public_url, more)

    def way(name: str, row: Facts) -> Platform:
        called = http.named(row.platform)
        if row.registration is not None:
            return MastodonPlatform(name, row, called, timeout, allow_private=allow_private)
        return OAuth2Platform(name, row, called, timeout)

    return Platforms(way(name, row) for name, row in rows.items() if row.platform not in without)
