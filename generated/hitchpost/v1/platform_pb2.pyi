from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor

class Platform(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PLATFORM_UNSPECIFIED: _ClassVar[Platform]
    PLATFORM_SANDBOX: _ClassVar[Platform]
    PLATFORM_FACEBOOK: _ClassVar[Platform]
    PLATFORM_INSTAGRAM: _ClassVar[Platform]
    PLATFORM_THREADS: _ClassVar[Platform]
    PLATFORM_X: _ClassVar[Platform]
    PLATFORM_TIKTOK: _ClassVar[Platform]
    PLATFORM_TIKTOK_BUSINESS: _ClassVar[Platform]
    PLATFORM_YOUTUBE: _ClassVar[Platform]
    PLATFORM_PINTEREST: _ClassVar[Platform]
    PLATFORM_LINKEDIN: _ClassVar[Platform]
    PLATFORM_BLUESKY: _ClassVar[Platform]
    PLATFORM_MASTODON: _ClassVar[Platform]
PLATFORM_UNSPECIFIED: Platform
PLATFORM_SANDBOX: Platform
PLATFORM_FACEBOOK: Platform
PLATFORM_INSTAGRAM: Platform
PLATFORM_THREADS: Platform
PLATFORM_X: Platform
PLATFORM_TIKTOK: Platform
PLATFORM_TIKTOK_BUSINESS: Platform
PLATFORM_YOUTUBE: Platform
PLATFORM_PINTEREST: Platform
PLATFORM_LINKEDIN: Platform
PLATFORM_BLUESKY: Platform
PLATFORM_MASTODON: Platform
