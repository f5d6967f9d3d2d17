"""A post's state by its targets' states: the whole table."""

import itertools
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from generated.hitchpost.v1 import social_post_service_pb2 as pb
from server.posts.forget import erase_posts
from server.posts.states import RECOMPUTE
from tests.kit.support import Client

Sql = Callable[..., list[tuple[Any, ...]]]
PENDING, SENDING, PUBLISHED, FAILED, UNCONFIRMED, CANCELLED = range(1, 7)


def expected(states: Collection[int]) -> str:
    """The rule again, in other words than the statement's."""
    kinds = set(states)
    if kinds == {PENDING}:
        return "SCHEDULED"
    if kinds & {PENDING, SENDING}:
        return "PUBLISHING"
    if UNCONFIRMED in kinds:
        return "UNCONFIRMED"
    if PUBLISHED in kinds:
        return "PUBLISHED" if kinds == {PUBLISHED} else "PARTIALLY_PUBLISHED"
    return "FAILED" if FAILED in kinds else "CANCELLED"


def test_a_posts_state_follows_from_its_targets(client: Client, sql: Sql) -> None:
    accounts = sorted(client.connect().id for _ in range(3))
    post = client.draft(*accounts, scheduled_time=datetime.now(UTC) + timedelta(days=1))
    wrong, version = [], int(post.etag)
    for states in itertools.combinations_with_replacement(range(1, 7), 3):
        for account, state in zip(accounts, states, strict=True):
            sql("UPDATE social_post_target SET state = 1 WHERE state = 2 AND social_account_id = %s", account)
            sql("UPDATE social_post_target SET state = %s WHERE social_account_id = %s", state, account)
        RECOMPUTE.run(project=client.project_id, id=post.id)
        version += 1
        found = client("SocialPostService/GetSocialPost", social_post_id=post.id).social_post
        name = pb.SocialPostState.Name(found.state).removeprefix("SOCIAL_POST_STATE_")
        if (name, found.etag) != (expected(states), str(version)):
            wrong.append((states, name, found.etag))
    assert wrong == []


def test_without_a_time_it_is_a_draft(client: Client) -> None:
    post = client.draft(client.connect().id)
    RECOMPUTE.run(project=client.project_id, id=post.id)
    found = client("SocialPostService/GetSocialPost", social_post_id=post.id).social_post
    assert found.state == pb.SOCIAL_POST_STATE_DRAFT


def test_an_owner_who_is_forgotten_leaves_the_state_of_the_others(client: Client, sql: Sql) -> None:
    """Were theirs the only target that is still being sent, the post would be PUBLISHING for ever."""
    alices, bobs = client.connect(external_id="alice").id, client.connect(external_id="bob").id
    post = client.draft(alices, bobs, scheduled_time=datetime.now(UTC) + timedelta(days=1))
    for account, state in ((alices, SENDING), (bobs, PUBLISHED)):
        sql("UPDATE social_post_target SET state = %s WHERE social_account_id = %s", state, account)
    RECOMPUTE.run(project=client.project_id, id=post.id)
    erase_posts(client.project_id, "alice", datetime.now(UTC))
    found = client("SocialPostService/GetSocialPost", social_post_id=post.id).social_post
    assert found.state == pb.SOCIAL_POST_STATE_PUBLISHED
