"""Accounts and posts for storms of publishing, planted by the thousand, and what has become of them."""

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from typing import NamedTuple

import psycopg2

from generated.hitchpost.v1 import platform_pb2
from generated.hitchpost.v1 import social_account_service_pb2 as accounts_pb
from generated.hitchpost.v1 import social_post_service_pb2 as pb
from server.base.vault import Vault
from tests.kit.servers import rows
from tests.storms.publish_platform import Accepted, in_order, times

PROJECT = "p"
STATES = {
    number: name.removeprefix("SOCIAL_POST_TARGET_STATE_")
    for name, number in pb.SocialPostTargetState.items()
}
PENDING, SENDING = pb.SOCIAL_POST_TARGET_STATE_PENDING, pb.SOCIAL_POST_TARGET_STATE_SENDING
# An account's access token is its id, so that the platform knows who posts; a post's text is its own id.
ACCOUNTS = f"""
    WITH planted AS (
      SELECT * FROM unnest(%s::text[], %s::bytea[]) AS of (id, token)
    ), accounts AS (
      INSERT INTO social_account (
        project_id, id, platform, platform_user_id, username, display_name, profile_photo_url, state, scopes,
        metadata, version, create_time, update_time, connect_time)
      SELECT '{PROJECT}', id, {platform_pb2.PLATFORM_SANDBOX}, id, id, '', '',
        {accounts_pb.SOCIAL_ACCOUNT_STATE_CONNECTED}, '{{}}', '{{}}', 1, now(), now(), now()
      FROM planted
    )
    INSERT INTO social_account_token (
      project_id, social_account_id, access_token, attempt, refresh_failures)
    SELECT '{PROJECT}', id, token, 0, 0 FROM planted"""
# Post `n` is of account `n % accounts`, and due `seconds` from now and `step` later than the one before.
POSTS = f"""
    WITH planted AS (
      SELECT n, '{{prefix}}' || lpad(n::text, 9, '0') AS id,
        now() + (%(first)s + %(step)s * (n - %(begin)s)) * interval '1 second' AS due
      FROM generate_series(%(begin)s, %(begin)s + %(posts)s - 1) n
    ), posts AS (
      INSERT INTO social_post (
        project_id, id, caption, media, scheduled_time, state, platform_options, version, create_time,
        update_time, follow_ups)
      SELECT '{PROJECT}', id, id, %(media)s, due, {pb.SOCIAL_POST_STATE_SCHEDULED}, '{{{{}}}}', 1, now(),
        now(), replace(%(follow_ups)s, '{{{{id}}}}', id)::jsonb
      FROM planted
    )
    INSERT INTO social_post_target (
      project_id, social_post_id, social_account_id, position, state, queue_time, due_time, attempt,
      attempt_count, steps, follow_ups)
    SELECT '{PROJECT}', id, (%(accounts)s::text[])[1 + n %% cardinality(%(accounts)s::text[])], 0, {PENDING},
      due, due, 0, 0, '{{{{}}}}', '[]'
    FROM planted"""
LEFT = (
    f"SELECT count(*) FROM social_post_target WHERE state IN ({PENDING}, {SENDING}) AND due_time IS NOT NULL"
)
ORDER = "ORDER BY social_account_id, queue_time, social_post_id"


class Ended(NamedTuple):
    """A target, as it is in the end."""

    post: str
    account: str
    state: str
    code: str | None


def plant_accounts(url: str, vault: Vault, number: int) -> list[str]:
    """A project with connected accounts of the sandbox, imported; their ids."""
    rows(url, "INSERT INTO project VALUES (%s, %s, '{}', now()) ON CONFLICT DO NOTHING", PROJECT, PROJECT)
    ids = [f"sa_{account:05}" for account in range(number)]
    rows(url, ACCOUNTS, ids, [vault.encrypt(id_) for id_ in ids])
    return ids


def plant_posts(
    url: str,
    accounts: Sequence[str],
    posts: int,
    *,
    begin: int = 1,
    first: float = 0.0,
    step: float = 0.0,
    prefix: str = "sp_",
    media: str = "[]",
    follow_ups: str = "[]",
) -> None:
    """Posts of these accounts in turn; the first is due in `first` seconds, each next one `step` later.

    `media` and `follow_ups` are JSON; in the second `{id}` stands for the post's."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        connection.cursor().execute(
            POSTS.format(prefix=prefix),
            {
                "accounts": list(accounts),
                "posts": posts,
                "begin": begin,
                "first": first,
                "step": step,
                "media": media,
                "follow_ups": follow_ups,
            },
        )


def left(url: str) -> int:
    """How many targets are not through."""
    return int(rows(url, LEFT)[0][0])


def ended(url: str) -> list[Ended]:
    """Every target, each account's in the order of its queue."""
    select = (
        f"SELECT social_post_id, social_account_id, state, error->>'code' FROM social_post_target {ORDER}"
    )
    return [Ended(post, account, STATES[state], code) for post, account, state, code in rows(url, select)]


class Verdict(NamedTuple):
    """What the platform has counted, held against what we say."""

    states: Counter[str]
    twice: list[str]
    lost: list[str]
    wrong: list[str]
    out_of_order: list[str]

    def is_right(self) -> bool:
        """Nothing was accepted twice or got lost, each is through and says what happened, in order."""
        return not (self.twice or self.lost or self.wrong or self.out_of_order)

    def __str__(self) -> str:
        states = ", ".join(f"{count:,} {state}" for state, count in sorted(self.states.items()))
        return (
            f"{states}; accepted twice: {len(self.twice)}, published but not there: {len(self.lost)}, there "
            f"but said otherwise: {len(self.wrong)}, accounts out of order: {len(self.out_of_order)}"
        )


def verdict(targets: Sequence[Ended], accepted: Sequence[Accepted]) -> Verdict:
    """`accepted` are posts alone, without follow-ups."""
    counted = times(list(accepted))
    queues: dict[str, list[str]] = {}
    for target in targets:
        queues.setdefault(target.account, []).append(target.post)
    posted = in_order(list(accepted))
    return Verdict(
        Counter(target.state for target in targets),
        [text for text, count in counted.items() if count > 1],
        [one.post for one in targets if one.state == "PUBLISHED" and not counted[one.post]],
        [one.post for one in targets if one.state in ("PENDING", "SENDING")]
        + [one.post for one in targets if one.state in ("FAILED", "CANCELLED") and counted[one.post]]
        + sorted(counted.keys() - {one.post for one in targets}),
        [
            account
            for account, texts in posted.items()
            if texts != [post for post in queues.get(account, []) if post in set(texts)]
        ],
    )
