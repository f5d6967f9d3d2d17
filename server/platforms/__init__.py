"""The client side of the platforms: OAuth 2.0 over HTTP. Knows neither the database nor gRPC."""

from server.platforms.answers import Profile, Tokens
from server.platforms.failures import (
    ClientRefused,
    CodeSpent,
    PlatformRefused,
    PlatformUnreachable,
    TokensRefused,
)
from server.platforms.platform import Asked, Authorization, ClientApp, Platform, Returned
from server.platforms.table import Platforms, load

__all__ = [
    "Asked",
    "Authorization",
    "ClientApp",
    "ClientRefused",
    "CodeSpent",
    "Platform",
    "PlatformRefused",
    "PlatformUnreachable",
    "Platforms",
    "Profile",
    "Returned",
    "Tokens",
    "TokensRefused",
    "load",
]
