"""What a Mastodon server says of itself: its limits of a post, and whether it keeps idempotency keys."""

import re
from typing import Any

from server.platforms.paths import at
from server.publish.mastodon_server import Server, body, unreadable
from server.publish.publisher import PublishFailed, Values

# Names of platforms/limits.py, and where the server says it: since 4.0, since 3.4.2, and as others do.
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
# Mastodon itself and what is made of it. Others with this API put their name in parentheses, or begin at 0,
# and not all of them keep the key.
KEEPS_KEYS = re.compile(r"[1-9][0-9]*\.[0-9]+\.[0-9]+[^ ()]*")


def described(server: Server) -> Any:
    """How the server describes itself. Raises PublishFailed."""
    try:
        answer = body(server.get("/api/v2/instance", "instance"))
    except PublishFailed as failure:
        if failure.code not in ("HTTP 404", "HTTP 401", "HTTP 403"):
            raise
        answer = body(server.get("/api/v1/instance", "instance"))
    if not isinstance(answer, dict):
        raise unreadable("UNREADABLE")
    return answer


def limits(answer: Any) -> Values:
    """The limits that it names, by our names."""
    found = {name: value for name, path in PATHS.items() if _is_limit(value := at(answer, path))}
    types = at(answer, TYPES)
    if isinstance(types, list):
        named = [one for one in types[:100] if isinstance(one, str) and len(one) <= 100]
        found["image_types"] = [one for one in named if one.startswith("image/")]
        found["video_types"] = [one for one in named if one.startswith("video/")]
    return found


def _is_limit(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value < 2**53


def keeps_keys(server: Server) -> bool:
    """Whether a call with the same Idempotency-Key surely brings no second status.

    Raises PublishFailed when the server can't be asked for now."""
    try:
        version = at(described(server), "version")
    except PublishFailed as failure:
        if failure.retryable:
            raise
        return False
    return isinstance(version, str) and KEEPS_KEYS.fullmatch(version) is not None
