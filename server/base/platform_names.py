"""Platforms by their names in small letters, as tables, addresses and messages have them."""

from generated.hitchpost.v1 import platform_pb2

_PREFIX = "PLATFORM_"
ALL = tuple(name.removeprefix(_PREFIX).lower() for name in platform_pb2.Platform.keys()[1:])


def platform_name(number: int) -> str:
    """`sandbox` for PLATFORM_SANDBOX."""
    return platform_pb2.Platform.Name(number).removeprefix(_PREFIX).lower()


def platform_number(name: str) -> int:
    """PLATFORM_SANDBOX for `sandbox`. Raises ValueError for a name of none."""
    return platform_pb2.Platform.Value(_PREFIX + name.upper())
