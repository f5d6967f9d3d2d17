"""Where a post stands follows from where its targets do."""

from collections.abc import Collection

from generated.hitchpost.v1 import social_post_service_pb2 as pb
from server.storage.statements import Command

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


_PENDING, _SENDING = pb.SOCIAL_POST_TARGET_STATE_PENDING, pb.SOCIAL_POST_TARGET_STATE_SENDING
# SQL: the state of a row `post` by its targets, as the statement sees them: those that it writes itself it
# sees as they were, so whoever has changed them runs RECOMPUTE after that.
STATE = f"""(
      SELECT CASE
        WHEN post.scheduled_time IS NULL THEN {pb.SOCIAL_POST_STATE_DRAFT}
        WHEN bool_and(target.state = {_PENDING}) THEN {pb.SOCIAL_POST_STATE_SCHEDULED}
        WHEN bool_or(target.state IN ({_PENDING}, {_SENDING})) THEN {pb.SOCIAL_POST_STATE_PUBLISHING}
        WHEN bool_or(target.state = {pb.SOCIAL_POST_TARGET_STATE_UNCONFIRMED})
          THEN {pb.SOCIAL_POST_STATE_UNCONFIRMED}
        WHEN bool_and(target.state = {pb.SOCIAL_POST_TARGET_STATE_PUBLISHED})
          THEN {pb.SOCIAL_POST_STATE_PUBLISHED}
        WHEN bool_or(target.state = {pb.SOCIAL_POST_TARGET_STATE_PUBLISHED})
          THEN {pb.SOCIAL_POST_STATE_PARTIALLY_PUBLISHED}
        WHEN bool_or(target.state = {pb.SOCIAL_POST_TARGET_STATE_FAILED}) THEN {pb.SOCIAL_POST_STATE_FAILED}
        ELSE {pb.SOCIAL_POST_STATE_CANCELLED}
      END
      FROM social_post_target target
      WHERE target.project_id = $project AND target.social_post_id = post.id
    )"""
# In the transaction that has changed targets, after it has locked the post before it did: of two that change
# different targets at once, neither would see what the other does, and the post be PUBLISHING for ever.
RECOMPUTE = Command(
    "posts.recompute",
    f"""
    UPDATE social_post post SET state = {STATE}, version = post.version + 1, update_time = now()
    WHERE post.project_id = $project AND post.id = $id
    """,
)
