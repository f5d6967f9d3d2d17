"""Posts that name an owner's accounts, when these are forgotten. Decision 25 has the reasons."""

from datetime import datetime
from typing import Any, NamedTuple

from server.posts import owned
from server.posts.states import STATE
from server.storage.database import database
from server.storage.statements import Command, Statement

# Targets that one transaction erases, at most.
BATCH = 500

# OFFSET 0 keeps PostgreSQL from joining tables that it still believes to be small, by reading all of one.
_TARGETS = """
      SELECT target.social_post_id AS id
      FROM social_account account, LATERAL (
        SELECT target.social_post_id FROM social_post_target target
        WHERE target.project_id = $project AND target.social_account_id = account.id OFFSET 0
      ) target
      WHERE account.project_id = $project AND account.external_id = $owner"""
_TO_OTHERS = owned.to_others("post.id")


class Concerned(NamedTuple):
    """How many posts name accounts of the owner alone, how many name others' too, and how many name others'
    and are tagged with the text that is the owner's id."""

    erased: int
    changed: int
    tagged: int


_COUNT = Statement(
    "posts.count_owned",
    f"""
    SELECT
      count(*) FILTER (WHERE NOT to_others), count(*) FILTER (WHERE to_others),
      (SELECT count(*) FROM social_post post
       WHERE post.project_id = $project AND post.external_id = $owner AND {_TO_OTHERS})
    FROM (
      SELECT {_TO_OTHERS} AS to_others FROM (SELECT DISTINCT id FROM ({_TARGETS}) every) post
    ) named
    """,
    Concerned._make,
)
# Nobody changes their targets until the transaction ends; whoever wants to has not locked an account yet.
_LOCK = Statement(
    "posts.lock_owned",
    f"""
    SELECT post.id FROM social_post post
    WHERE post.project_id = $project AND post.id = ANY(ARRAY({_TARGETS} LIMIT {BATCH}))
    ORDER BY post.id FOR UPDATE
    """,
    lambda row: str(row[0]),
)
_ERASE_TARGETS = Command(
    "posts.erase_targets",
    """
    DELETE FROM social_post_target target
    WHERE target.project_id = $project AND target.social_post_id = ANY($ids) AND EXISTS (
      SELECT FROM social_account account
      WHERE account.project_id = $project AND account.id = target.social_account_id
        AND account.external_id = $owner OFFSET 0
    )
    """,
)
_ERASE = Command(
    "posts.erase",
    """
    DELETE FROM social_post post
    WHERE post.project_id = $project AND post.id = ANY($ids) AND NOT EXISTS (
      SELECT FROM social_post_target target
      WHERE target.project_id = $project AND target.social_post_id = post.id OFFSET 0
    )
    """,
)
_CHANGED = Command(
    "posts.changed",
    f"""
    UPDATE social_post post SET state = {STATE}, version = post.version + 1, update_time = $now
    WHERE post.project_id = $project AND post.id = ANY($ids)
    """,
)


def analyze() -> None:
    """Lets PostgreSQL know how large the tables are. Without that it may find an account's targets by an
    index that it has to read to its end for each."""
    database.fetch("ANALYZE social_account, social_post_target")


def count(project_id: str, owner: str) -> Concerned:
    """What erase_posts would do."""
    return _COUNT.all(project=project_id, owner=owner)[0]


def erase_posts(project_id: str, owner: str, now: datetime) -> int:
    """Takes the owner's accounts out of a batch of posts, and erases those that name no other.

    Returns how many posts that were.
    """
    this: dict[str, Any] = {"project": project_id}
    with database.transaction():
        ids = _LOCK.all(**this, owner=owner)
        if ids:
            _ERASE_TARGETS.run(**this, owner=owner, ids=ids)
            _ERASE.run(**this, ids=ids)
            _CHANGED.run(**this, ids=ids, now=now)
    return len(ids)
