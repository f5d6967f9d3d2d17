"""How a Mastodon server describes itself, and whether it keeps idempotency keys."""

import re
from typing import Any

from server.platforms.paths import at
from server.publish.calls import json_of
from server.publish.mastodon_server import Server, unreadable
from server.publish.publisher import PublishFailed

# Mastodon itself and what is made of it. Others with this API put their name in parentheses, or begin at 0,
# and not all of them keep the key.
KEEPS_KEYS = re.compile(r"[1-9][0-9]*\.[0-9]+\.[0-9]+[^ ()]*")


def described(server: Server) -> Any:
    """How the server describes itself. Raises PublishFailed."""
    try:
        answer = json_of(server.get("/api/v2/instance", "instance"))
    except PublishFailed as failure:
        if failure.code not in ("HTTP 404", "HTTP 401", "HTTP 403"):
            raise
        answer = json_of(server.get("/api/v1/instance", "instance"))
    if not isinstance(answer, dict):
        raise unreadable("UNREADABLE")
    return answer


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
