"""Where a post stands follows from where its targets do."""

from collections.abc import Collection

from generated.hitchpost.v1 import social_post_service_pb2 as pb

DRAFT, SCHEDULED = pb.SOCIAL_POST_STATE_DRAFT, pb.SOCIAL_POST_STATE_SCHEDULED
PENDING = pb.SOCIAL_POST_TARGET_STATE_PENDING
SENDING = pb.SOCIAL_POST_TARGET_STATE_SENDING
PUBLISHED = pb.SOCIAL_POST_TARGET_STATE_PUBLISHED
FAILED = pb.SOCIAL_POST_TARGET_STATE_FAILED
UNCONFIRMED = pb.SOCIAL_POST_TARGET_STATE_UNCONFIRMED
CANCELLED = pb.SOCIAL_POST_TARGET_STATE_CANCELLED
# Of posts that can be changed, and published.
EDITABLE = (DRAFT, SCHEDULED)


def post_state(*, scheduled: bool, targets: Collection[int]) -> int:
    """The state of a post whose targets are in these states; `scheduled`: whether it has a time."""
    found = set(targets)
    if not scheduled:
        return DRAFT
    if found <= {PENDING}:
        return SCHEDULED
    if found & {PENDING, SENDING}:
        return pb.SOCIAL_POST_STATE_PUBLISHING
    if UNCONFIRMED in found:
        return pb.SOCIAL_POST_STATE_UNCONFIRMED
    if found == {PUBLISHED}:
        return pb.SOCIAL_POST_STATE_PUBLISHED
    if PUBLISHED in found:
        return pb.SOCIAL_POST_STATE_PARTIALLY_PUBLISHED
    return pb.SOCIAL_POST_STATE_FAILED if FAILED in found else pb.SOCIAL_POST_STATE_CANCELLED
