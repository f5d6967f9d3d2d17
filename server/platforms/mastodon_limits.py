"""The limits that a Mastodon server says it has, by the names of limits.py."""

import re
from typing import Any

from server.platforms.paths import at

# Our names, and where the server says it: since 4.0, since 3.4.2, and as others do.
PATHS = {
    "most_characters": "configuration.statuses.max_characters|max_toot_chars",
    "url_counts_as": "configuration.statuses.characters_reserved_per_url",
    "most_media": "configuration.statuses.max_media_attachments",
    "most_images": "configuration.statuses.max_media_attachments",
    "image_bytes": "configuration.media_attachments.image_size_limit",
    "video_bytes": "configuration.media_attachments.video_size_limit",
    "image_pixels": "configuration.media_attachments.image_matrix_limit",
    "image_alt_text_characters": "configuration.media_attachments.description_limit",
    "video_alt_text_characters": "configuration.media_attachments.description_limit",
    "poll_options": "configuration.polls.max_options",
    "poll_option_characters": "configuration.polls.max_characters_per_option",
    "poll_least_seconds": "configuration.polls.min_expiration",
    "poll_most_seconds": "configuration.polls.max_expiration",
}
TYPES = "configuration.media_attachments.supported_mime_types"
TYPE = re.compile(r"(?:image|video)/[a-z0-9.+-]{1,64}")
MOST_TYPES = 100


def limits(answer: Any) -> dict[str, Any]:
    """What is a limit in an answer to /api/v2/instance, or /api/v1/instance."""
    found = {name: value for name, path in PATHS.items() if _is_limit(value := at(answer, path))}
    types = at(answer, TYPES)
    known = types[:MOST_TYPES] if isinstance(types, list) else []
    # Some only say that they take files.
    if named := [one for one in known if isinstance(one, str) and TYPE.fullmatch(one)]:
        found["image_types"] = [one for one in named if one.startswith("image/")]
        found["video_types"] = [one for one in named if one.startswith("video/")]
    return found


def _is_limit(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53
