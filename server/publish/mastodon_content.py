"""A post as a Mastodon server is told it."""

from typing import Any

from google.protobuf.json_format import ParseDict

from generated.hitchpost.v1 import social_post_service_pb2 as pb
from server.publish.publisher import Sending

VISIBILITY = "MASTODON_VISIBILITY_"


def status_of(sending: Sending) -> dict[str, Any]:
    """The status as its server is told it. A thread is seen by whom its first post is seen."""
    part, options = sending.part, ParseDict(dict(sending.options), pb.MastodonPostOptions())
    visibility = pb.MastodonVisibility.Name(options.visibility).removeprefix(VISIBILITY).lower()
    content: dict[str, Any] = {
        "status": part.text,
        "media_ids": [sending.done[f"media/{n}"]["media_id"] for n in range(len(part.media))],
        "visibility": visibility if options.visibility else "",
        "spoiler_text": options.spoiler_text,
        "language": options.language,
    }
    content = {name: value for name, value in content.items() if value}
    if options.HasField("sensitive"):
        content["sensitive"] = options.sensitive
    if options.HasField("poll") and sending.index == 0:
        content["poll"] = {
            "options": list(options.poll.options),
            "expires_in": options.poll.duration.seconds,
            "multiple": options.poll.multiple,
            "hide_totals": options.poll.hide_totals,
        }
    if part.replies_to is not None:
        content["in_reply_to_id"] = sending.published[part.replies_to]["id"]
    return content
