"""The client side of the platforms: OAuth 2.0 over HTTP. Knows neither the database nor gRPC."""

from server.platforms.oauth2 import (
    OAuth2Platform,
    PlatformRefused,
    PlatformUnreachable,
    Profile,
    Tokens,
    load,
)

__all__ = ["OAuth2Platform", "PlatformRefused", "PlatformUnreachable", "Profile", "Tokens", "load"]
