"""What a caller says of a post, and what is stored of it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from generated.hitchpost.v1 import social_post_service_pb2 as pb


class Content(NamedTuple):
    """What a caller says of a post.

    `overrides` has caption and media by account id, None where they are the post's. A follow-up is a dict of
    caption, media, delay (seconds) and place (FollowUpPlace).
    """

    external_id: str | None
    caption: str
    social_account_ids: Sequence[str]
    media: list[dict[str, str]]
    scheduled_time: datetime | None
    overrides: Mapping[str, tuple[str | None, list[dict[str, str]] | None]]
    platform_options: dict[str, Any]
    follow_ups: list[dict[str, Any]]

    @property
    def state(self) -> int:
        """Of a post that nobody has begun to send."""
        return pb.SOCIAL_POST_STATE_SCHEDULED if self.scheduled_time else pb.SOCIAL_POST_STATE_DRAFT

    def targets(self) -> list[dict[str, Any]]:
        """The columns of its targets, for the record sets of statements.py."""
        targets = []
        for position, account_id in enumerate(self.social_account_ids):
            caption, media = self.overrides.get(account_id, (None, None))
            targets.append(
                {
                    "social_account_id": account_id,
                    "position": position,
                    "state": pb.SOCIAL_POST_TARGET_STATE_PENDING,
                    "caption": caption,
                    "media": media or None,
                }
            )
        return targets


class TargetRow(NamedTuple):
    """A post as it concerns one account; caption and media are None where they are the post's.

    `owner` is the account's, now. `error` and each of `follow_ups`, as many as the post has, are dicts by the
    contract's names, times ISO 8601."""

    social_account_id: str
    owner: str | None
    platform: int
    state: int
    caption: str | None
    media: list[dict[str, str]] | None
    attempt_count: int = 0
    due_time: str | None = None
    send_time: str | None = None
    publish_time: str | None = None
    platform_post_id: str | None = None
    platform_post_url: str | None = None
    error: dict[str, Any] | None = None
    follow_ups: Sequence[dict[str, Any]] = ()


class ListedTarget(NamedTuple):
    """A target by itself, without its content."""

    social_post_id: str
    target: TargetRow

    @property
    def id(self) -> str:
        """The ids of its post and its account: what lists go on from."""
        return f"{self.social_post_id}/{self.target.social_account_id}"


class PostRow(NamedTuple):
    """A post as it is stored; media are dicts of url and alt_text, times ISO 8601."""

    id: str
    external_id: str | None
    caption: str
    media: list[dict[str, str]]
    scheduled_time: str | None
    state: int
    platform_options: dict[str, Any]
    version: int
    create_time: str
    update_time: str
    follow_ups: list[dict[str, Any]]
    targets: list[TargetRow]

    @property
    def etag(self) -> str:
        """Changes with every change of the post."""
        return str(self.version)

    def content(self) -> Content:
        """What its caller said of it."""
        return Content(
            external_id=self.external_id,
            caption=self.caption,
            social_account_ids=[target.social_account_id for target in self.targets],
            media=self.media,
            scheduled_time=datetime.fromisoformat(self.scheduled_time) if self.scheduled_time else None,
            overrides={
                target.social_account_id: (target.caption, target.media)
                for target in self.targets
                if target.caption is not None or target.media
            },
            platform_options=self.platform_options,
            follow_ups=self.follow_ups,
        )


# SQL: of a `target` what TargetRow has beside its account, state and content. What of its post's follow-ups
# nobody has begun is shown as well, and so counts for the size of a page (base/sizes.py).
OUTCOME = f"""target.attempt_count, target.due_time, target.send_time, target.publish_time,
          target.platform_post_id, target.platform_post_url, target.error,
          CASE WHEN post.follow_ups = '[]' THEN post.follow_ups ELSE target.follow_ups || COALESCE((
            SELECT jsonb_agg(jsonb_build_object('state', {pb.SOCIAL_POST_TARGET_STATE_PENDING}))
            FROM generate_series(
              jsonb_array_length(target.follow_ups) + 1, jsonb_array_length(post.follow_ups))
          ), '[]') END"""
# SQL: a `post` with its targets as one JSON array, so that a page of posts is one statement. psycopg2 takes
# longer for the name and the value of one column than orjson takes for a row.
STORED = f"""json_build_array(
      post.id, post.external_id, post.caption, post.media, post.scheduled_time, post.state,
      post.platform_options, post.version, post.create_time, post.update_time, post.follow_ups,
      COALESCE((
        SELECT jsonb_agg(jsonb_build_array(
          account.id, account.external_id, account.platform, target.state, target.caption, target.media,
          {OUTCOME}
        ) ORDER BY target.position)
        FROM social_post_target target
        JOIN social_account account ON account.project_id = $project AND account.id = target.social_account_id
        WHERE target.project_id = $project AND target.social_post_id = post.id
      ), '[]'::jsonb)
    )"""


def post_row(stored: list[Any]) -> PostRow:
    """A post out of STORED."""
    *post, targets = stored
    return PostRow._make((*post, [TargetRow._make(target) for target in targets]))
