"""The form of API keys: a prefix, 256 random bits, and a checksum, so that a text that can't be one is told
from one that is unknown without asking the database."""

import re
import secrets
import zlib

PREFIX = "hp_"
# Keys without a checksum were made by earlier versions.
_FORM = re.compile(r"(hp_[A-Za-z0-9_-]{43})([0-9a-f]{8})?")


def generate() -> str:
    """A new key, such as `hp_` and 43 characters of URL-safe base64, and 8 hexadecimal digits."""
    key = PREFIX + secrets.token_urlsafe(32)
    return key + _checksum(key)


def is_well_formed(text: str) -> bool:
    """Whether the text could be a key."""
    found = _FORM.fullmatch(text)
    return found is not None and found[2] in (None, _checksum(found[1]))


def _checksum(key: str) -> str:
    return f"{zlib.crc32(key.encode()):08x}"
