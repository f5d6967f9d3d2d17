"""Profiles as a platform gives them, made to fit into an account."""

import dataclasses

from server.base import errors
from server.base.identity import Clock
from server.base.sizes import ADDRESS, SCOPES, TEXT
from server.platforms import (
    Asked,
    Authorization,
    ClientApp,
    CodeSpent,
    Platform,
    PlatformRefused,
    PlatformUnreachable,
    Profile,
    Returned,
    Tokens,
)
from server.platforms.bluesky import UnknownHandle


def begin(way: Platform, app: ClientApp, asked: Asked, until: float) -> Authorization:
    """Where to send the browser, and what is needed when it is back.

    Raises HandleUnknown, PlatformUnavailable; and InvalidArgument when the platform refuses what was asked.
    """
    try:
        return way.begin(app, asked, until)
    except UnknownHandle as unknown:
        raise errors.HandleUnknown(platform=way.platform) from unknown
    except PlatformRefused as refused:
        raise errors.invalid("platform_options", f"{way.platform} refuses to begin with these") from refused
    except PlatformUnreachable as unreachable:
        raise errors.PlatformUnavailable(platform=way.platform) from unreachable


def behind(way: Platform, app: ClientApp, returned: Returned, clock: Clock, until: float) -> list[Profile]:
    """Exchanges the code, and asks for the profiles that the person shares.

    Raises AuthCodeRefused, AuthNoProfile, PlatformUnavailable while the code may still be good, and
    AuthInterrupted when the platform has taken it and then fails.
    """
    try:
        tokens = way.exchange(app, returned, clock(), until)
    except PlatformRefused as refused:
        raise errors.AuthCodeRefused(platform=way.platform) from refused
    except PlatformUnreachable as unreachable:
        raise errors.PlatformUnavailable(platform=way.platform) from unreachable
    except CodeSpent as failed:
        raise errors.AuthInterrupted(platform=way.platform) from failed
    try:
        found = [fitted(profile) for profile in way.profiles(app, tokens, clock(), until)]
    except (PlatformRefused, PlatformUnreachable) as failed:
        raise errors.AuthInterrupted(platform=way.platform) from failed
    if not found:
        raise errors.AuthNoProfile(platform=way.platform)
    return found


def fitted(profile: Profile) -> Profile:
    """A profile as an account can hold it: with no more in it than an import may have.

    Names are for people, and cut; an address would no longer work, and is left out. Raises
    PlatformUnreachable for a longer id: cut it could be another profile's.
    """
    if len(profile.platform_user_id) > TEXT:
        raise PlatformUnreachable("a profile's id is too long")
    return dataclasses.replace(
        profile,
        username=profile.username[:TEXT],
        display_name=profile.display_name[:TEXT],
        profile_photo_url=profile.profile_photo_url if len(profile.profile_photo_url) <= ADDRESS else "",
        tokens=fitted_tokens(profile.tokens),
    )


def fitted_tokens(tokens: Tokens) -> Tokens:
    """The same of tokens, of which an account shows the scopes."""
    scopes = [scope for scope in tokens.scopes if len(scope) <= TEXT]
    return dataclasses.replace(tokens, scopes=tuple(scopes[:SCOPES]))
