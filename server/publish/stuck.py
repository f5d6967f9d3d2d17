"""What of posts an operator should know: what has been SENDING for long, and what nobody knows of."""

from typing import NamedTuple

from server.posts.states import SENDING, UNCONFIRMED
from server.storage.statements import Statement

SENDING_MINUTES = 10


class Stuck(NamedTuple):
    """How many targets have been SENDING for longer than SENDING_MINUTES, and how many are UNCONFIRMED."""

    sending: int
    unconfirmed: int


def _count(state: int, more: str = "") -> str:
    return f"""(SELECT count(*) FROM social_post_target target
       WHERE target.project_id = project.id AND target.state = {state}{more})"""


_LONG = f" AND target.send_time < now() - interval '{SENDING_MINUTES} minutes'"
_STUCK = Statement(
    "publish_stuck.backlog",
    f"""
    SELECT COALESCE(sum({_count(SENDING, _LONG)}), 0)::bigint,
      COALESCE(sum({_count(UNCONFIRMED)}), 0)::bigint
    FROM project
    """,
    Stuck._make,
)


def look() -> Stuck:
    """Those of all projects."""
    return _STUCK.all()[0]
