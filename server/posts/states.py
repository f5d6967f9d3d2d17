"""Where a post stands follows from where its targets stand: here, and nowhere else."""

from generated.hitchpost.v1 import social_post_service_pb2 as pb
from server.storage.statements import Command

PENDING = pb.SOCIAL_POST_TARGET_STATE_PENDING
SENDING = pb.SOCIAL_POST_TARGET_STATE_SENDING
PUBLISHED = pb.SOCIAL_POST_TARGET_STATE_PUBLISHED
FAILED = pb.SOCIAL_POST_TARGET_STATE_FAILED
UNCONFIRMED = pb.SOCIAL_POST_TARGET_STATE_UNCONFIRMED
CANCELLED = pb.SOCIAL_POST_TARGET_STATE_CANCELLED


def short_name(state: int) -> str:
    """`FAILED` for SOCIAL_POST_TARGET_STATE_FAILED."""
    return pb.SocialPostTargetState.Name(state).removeprefix("SOCIAL_POST_TARGET_STATE_")


# The kind of due work that sending a target is.
SENDING_WORK = "posts"
# Posts in these can be changed, and published.
EDITABLE = (pb.SOCIAL_POST_STATE_DRAFT, pb.SOCIAL_POST_STATE_SCHEDULED)
# SQL: the state of a row `post` by its targets, as the statement sees them: those that it writes itself it
# sees as they were, so whoever has changed them runs RECOMPUTE after that.
STATE = f"""(
      SELECT CASE
        WHEN post.scheduled_time IS NULL THEN {pb.SOCIAL_POST_STATE_DRAFT}
        WHEN bool_and(target.state = {PENDING}) THEN {pb.SOCIAL_POST_STATE_SCHEDULED}
        WHEN bool_or(target.state IN ({PENDING}, {SENDING})) THEN {pb.SOCIAL_POST_STATE_PUBLISHING}
        WHEN bool_or(target.state = {UNCONFIRMED})
          THEN {pb.SOCIAL_POST_STATE_UNCONFIRMED}
        WHEN bool_and(target.state = {PUBLISHED})
          THEN {pb.SOCIAL_POST_STATE_PUBLISHED}
        WHEN bool_or(target.state = {PUBLISHED})
          THEN {pb.SOCIAL_POST_STATE_PARTIALLY_PUBLISHED}
        WHEN bool_or(target.state = {FAILED}) THEN {pb.SOCIAL_POST_STATE_FAILED}
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
