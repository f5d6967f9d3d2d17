"""Posts: what is stored comes back, what an update names changes, and nothing else does."""

import itertools
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import psycopg2
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from generated.hitchpost.v1 import platform_pb2
from generated.hitchpost.v1.social_post_service_pb2 import SocialPostState
from server.base.identity import new_id, utc_now
from tests.conftest import Running
from tests.kit.servers import eventually
from tests.kit.support import Client, failure, import_request, unique

SqlRunner = Callable[..., list[tuple[Any, ...]]]
CREATE = "SocialPostService/CreateSocialPost"
GET = "SocialPostService/GetSocialPost"
LIST = "SocialPostService/ListSocialPosts"
UPDATE = "SocialPostService/UpdateSocialPost"
DELETE = "SocialPostService/DeleteSocialPost"
MEDIA = [
    {"url": "https://cdn.example/b.jpg", "alt_text": "second letter\nof the alphabet"},
    {"url": "https://cdn.example/a.jpg"},
    {"url": "https://cdn.example/b.jpg", "alt_text": "again"},
]
SPRING = datetime(2040, 3, 1, 9, 0, 0, 250_000, tzinfo=UTC)
SUMMER = datetime(2040, 7, 1, 9, tzinfo=UTC)
UNLISTED = {"sandbox": {"visibility": "SANDBOX_VISIBILITY_UNLISTED"}}
PUBLIC = {"sandbox": {"visibility": "SANDBOX_VISIBILITY_PUBLIC"}}


def _get(client: Client, post_id: str) -> Any:
    return client(GET, social_post_id=post_id).social_post


def _update(client: Client, post: dict[str, Any], *paths: str) -> Any:
    return client(UPDATE, social_post=post, update_mask=FieldMask(paths=paths)).social_post


# Creating.


def test_a_post_without_a_time_is_a_draft(client: Client) -> None:
    account = client.connect()
    post = client.draft(account.id)
    assert post.state == 1
    assert not post.HasField("scheduled_time")
    assert not post.HasField("external_id")
    assert not post.HasField("platform_options")
    assert post.id.startswith("sp_")
    assert post.create_time == post.update_time
    assert _get(client, post.id) == post


def test_a_post_with_a_time_is_scheduled_and_all_of_it_is_kept(client: Client) -> None:
    one, other = (
        client.connect(),
        client("SocialAccountService/ImportSocialAccount", _on_mastodon()).social_account,
    )
    override = {"social_account_id": one.id, "caption": "for one", "media": MEDIA[:1]}
    fields = {
        "external_id": "campaign",
        "caption": "two\nlines\tand a tab",
        "media": MEDIA,
        "scheduled_time": SPRING,
        "account_overrides": [override],
        "platform_options": UNLISTED,
    }
    post = client.draft(other.id, one.id, **fields)
    wanted = type(post)(social_account_ids=[other.id, one.id], **fields)
    kept = (
        "caption",
        "social_account_ids",
        "media",
        "scheduled_time",
        "account_overrides",
        "platform_options",
    )
    assert {name: getattr(post, name) for name in kept} == {name: getattr(wanted, name) for name in kept}
    assert post.state == 2
    assert [(target.social_account_id, target.platform, target.state) for target in post.targets] == [
        (other.id, platform_pb2.PLATFORM_MASTODON, 1),
        (one.id, 1, 1),
    ]
    assert _get(client, post.id) == post


def _on_mastodon() -> Any:
    return import_request(unique("profile"), platform="PLATFORM_MASTODON")


@pytest.mark.parametrize("ago", [timedelta(0), timedelta(microseconds=1), timedelta(days=9000)])
def test_a_time_that_is_not_in_the_future_is_refused(client: Client, ago: timedelta) -> None:
    account = client.connect().id
    draft = client.draft(account)
    for method, post in (
        (CREATE, {"caption": "hello", "social_account_ids": [account]}),
        (UPDATE, {"id": draft.id}),
    ):
        failed = client.fails(method, social_post={**post, "scheduled_time": utc_now() - ago})
        assert (failed.code, failed.fields) == ("INVALID_ARGUMENT", ("social_post.scheduled_time",)), method
    assert _get(client, draft.id) == draft


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"caption": ""}, "caption"),
        ({"social_account_ids": []}, "social_account_ids"),
        ({"social_account_ids": ["{one}", "{other}", "{one}"]}, "social_account_ids"),
        ({"account_overrides": [{"social_account_id": "{other}"}]}, "account_overrides"),
        ({"account_overrides": [{"social_account_id": "{one}"}] * 2}, "account_overrides"),
        ({"account_overrides": [{"social_account_id": "{one}", "caption": ""}]}, "account_overrides"),
        ({"media": [{"alt_text": "no address"}]}, "media[0].url"),
    ],
    ids=[
        "neither caption nor media",
        "no account",
        "an account twice",
        "override of an account that is not in the post",
        "two overrides of one account",
        "override that leaves neither caption nor media",
        "media without an address",
    ],
)
def test_a_post_that_makes_no_sense_is_refused(client: Client, changes: dict[str, Any], field: str) -> None:
    ids = {"one": client.connect().id, "other": client.connect().id}
    post = {"caption": "hello", "social_account_ids": [ids["one"]], **_filled(changes, ids)}
    draft = client.draft(ids["one"])
    paths = list(changes)
    for failed in (
        client.fails(CREATE, social_post=post),
        client.fails(UPDATE, social_post={**post, "id": draft.id}, update_mask=FieldMask(paths=paths)),
    ):
        assert (failed.code, failed.fields) == ("INVALID_ARGUMENT", (f"social_post.{field}",))
    assert client(LIST).social_posts == [draft]


def _filled(value: Any, ids: dict[str, str]) -> Any:
    """The same with "{one}" and "{other}" replaced by ids."""
    if isinstance(value, dict):
        return {name: _filled(inner, ids) for name, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, ids) for inner in value]
    return value.format(**ids)


def test_media_need_no_caption_and_an_override_may_take_it_away(client: Client) -> None:
    account = client.connect().id
    assert client.draft(account, caption="", media=MEDIA).caption == ""
    override = {"social_account_id": account, "caption": ""}
    post = client.draft(account, media=MEDIA, account_overrides=[override])
    assert post.account_overrides[0].HasField("caption")
    assert post.account_overrides[0].caption == ""


def test_accounts_that_are_not_the_projects_are_not_found(client: Client, stranger: Client) -> None:
    own = client.connect().id
    draft = client.draft(own)
    for missing in (new_id("sa", utc_now()), stranger.connect().id):
        post = {"caption": "hello", "social_account_ids": [own, missing]}
        for method, fields in ((CREATE, post), (UPDATE, {**post, "id": draft.id})):
            failed = client.fails(method, social_post=fields)
            assert failed.what == ("NOT_FOUND", "SOCIAL_ACCOUNT_NOT_FOUND")
            assert failed.metadata == {"id": missing}
    assert client(LIST).social_posts == [draft]


@pytest.mark.parametrize("owner", ["bob", None])
def test_a_confined_call_makes_no_post_for_accounts_of_others(client: Client, owner: str | None) -> None:
    ids = [client.connect(external_id="alice").id, client.connect(external_id=owner).id]
    post = {"caption": "hello", "social_account_ids": ids}
    failed = client.as_owner("alice").fails(CREATE, social_post=post)
    assert failed.what == ("PERMISSION_DENIED", "OWNER_MISMATCH")
    assert not client(LIST).social_posts


def test_an_account_that_is_deleted_meanwhile_is_not_found(
    client: Client, running: Running, sql: SqlRunner
) -> None:
    """The post waits for the deletion, and then has the answer that it would have had after it."""
    account = client.connect().id
    post = {"caption": "hello", "social_account_ids": [account]}
    waiting = "SELECT pid FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"
    with closing(psycopg2.connect(running.database_url)) as other, ThreadPoolExecutor(1) as pool:
        other.cursor().execute("DELETE FROM social_account WHERE id = %s", [account])
        creating = pool.submit(client.fails, CREATE, social_post=post)
        eventually("the creation waits", lambda: sql(waiting, other.info.backend_pid))
        other.commit()
        assert creating.result(60).what == ("NOT_FOUND", "SOCIAL_ACCOUNT_NOT_FOUND")


# Updating.


def _before(client: Client) -> dict[str, Any]:
    account = client.connect().id
    return {
        "external_id": "old",
        "caption": "old",
        "social_account_ids": [account],
        "media": MEDIA,
        "scheduled_time": SPRING,
        "account_overrides": [{"social_account_id": account, "caption": "old for it"}],
        "platform_options": UNLISTED,
    }


def _after(client: Client, before: dict[str, Any]) -> dict[str, Any]:
    account = before["social_account_ids"][0]
    return {
        "external_id": "new",
        "caption": "new",
        "social_account_ids": [client.connect().id, account],
        "media": MEDIA[::-1],
        "scheduled_time": SUMMER,
        "account_overrides": [{"social_account_id": account, "media": MEDIA[:1]}],
        "platform_options": PUBLIC,
    }


PATHS = (
    "external_id",
    "caption",
    "social_account_ids",
    "media",
    "scheduled_time",
    "account_overrides",
    "platform_options",
)


def _said(post: Any) -> dict[str, Any]:
    """What callers say of a post, and its state."""
    return {name: getattr(post, name) for name in (*PATHS, "state") if name == "state" or _is_set(post, name)}


def _is_set(post: Any, name: str) -> bool:
    return any(field.name == name for field, _ in post.ListFields())


def _expected(post: Any, changes: dict[str, Any]) -> dict[str, Any]:
    wanted = type(post)()
    wanted.CopyFrom(post)
    for name in changes:
        wanted.ClearField(name)
    wanted.MergeFrom(type(post)(**changes))
    return _said(wanted)


@pytest.mark.parametrize("path", PATHS)
def test_an_update_changes_what_its_mask_names_and_nothing_else(client: Client, path: str) -> None:
    before = _before(client)
    post, after = client.draft(**before), _after(client, before)
    updated = _update(client, {"id": post.id, **after}, path)
    assert _said(updated) == _expected(post, {path: after[path]})
    assert _said(updated) != _said(post)
    assert updated.etag != post.etag
    assert updated.create_time == post.create_time
    assert updated.update_time.ToDatetime() > post.update_time.ToDatetime()
    assert [target.social_account_id for target in updated.targets] == list(updated.social_account_ids)
    assert _get(client, post.id) == updated


def test_a_star_is_every_field(client: Client) -> None:
    before = _before(client)
    post, after = client.draft(**before), _after(client, before)
    assert _said(_update(client, {"id": post.id, **after}, "*")) == _expected(post, after)
    account = before["social_account_ids"][0]
    bare = _update(client, {"id": post.id, "caption": "bare", "social_account_ids": [account]}, "*")
    assert _said(bare) == {"caption": "bare", "social_account_ids": [account], "state": 1}


@pytest.mark.parametrize("path", PATHS)
def test_without_a_mask_what_is_set_changes(client: Client, path: str) -> None:
    before = _before(client)
    post, after = client.draft(**before), _after(client, before)
    updated = _update(client, {"id": post.id, path: after[path]})
    assert _said(updated) == _expected(post, {path: after[path]})


@pytest.mark.parametrize("path", ["external_id", "caption", "media", "account_overrides", "platform_options"])
def test_a_named_field_that_is_absent_is_cleared(client: Client, path: str) -> None:
    post = client.draft(**_before(client))
    updated = _update(client, {"id": post.id}, path)
    assert not _is_set(updated, path)
    assert _said(updated) == {name: value for name, value in _said(post).items() if name != path}


def test_a_scheduled_post_whose_time_is_cleared_is_a_draft_and_back(client: Client) -> None:
    post = client.draft(client.connect().id, scheduled_time=SPRING)
    draft = _update(client, {"id": post.id}, "scheduled_time")
    assert (draft.state, draft.HasField("scheduled_time")) == (1, False)
    again = _update(client, {"id": post.id, "scheduled_time": SUMMER})
    assert (again.state, again.scheduled_time.ToDatetime(tzinfo=UTC)) == (2, SUMMER)


def test_an_override_keeps_its_account_in_the_post(client: Client) -> None:
    before = _before(client)
    post = client.draft(**before)
    moved = {"id": post.id, "social_account_ids": [client.connect().id]}
    failed = client.fails(UPDATE, social_post=moved)
    assert (failed.code, failed.fields) == ("INVALID_ARGUMENT", ("social_post.account_overrides",))
    updated = _update(client, moved, "social_account_ids", "account_overrides")
    assert list(updated.social_account_ids) == moved["social_account_ids"]
    assert not updated.account_overrides


def test_a_post_whose_time_has_come_can_be_changed_without_a_new_time(
    client: Client, running: Running
) -> None:
    post = client.draft(client.connect().id, scheduled_time=utc_now() + timedelta(hours=1))
    with running.clock.ahead(hours=2):
        assert _update(client, {"id": post.id, "caption": "late"}).caption == "late"
        failed = client.fails(UPDATE, social_post={"id": post.id, "scheduled_time": post.scheduled_time})
    assert failed.fields == ("social_post.scheduled_time",)


# Etags and states.


def test_a_stale_etag_changes_nothing(client: Client) -> None:
    post = client.draft(client.connect().id)
    updated = _update(client, {"id": post.id, "caption": "first", "etag": post.etag})
    stale = {"id": post.id, "caption": "second", "etag": post.etag}
    assert client.fails(UPDATE, social_post=stale).what == ("ABORTED", "ETAG_MISMATCH")
    failed = client.fails(DELETE, social_post_id=post.id, etag=post.etag)
    assert failed.what == ("ABORTED", "ETAG_MISMATCH")
    assert _get(client, post.id) == updated
    client(DELETE, social_post_id=post.id, etag=updated.etag)
    gone = ("NOT_FOUND", "SOCIAL_POST_NOT_FOUND")
    assert client.fails(GET, social_post_id=post.id).what == gone
    assert client.fails(DELETE, social_post_id=post.id).what == gone


def test_of_updates_with_one_etag_one_wins(client: Client) -> None:
    post = client.draft(client.connect().id)
    outcomes = _at_once(
        8,
        lambda number: client(UPDATE, social_post={"id": post.id, "caption": f"{number}", "etag": post.etag}),
    )
    won = [outcome for outcome in outcomes if not isinstance(outcome, grpc.RpcError)]
    lost = {failure(outcome).what for outcome in outcomes if isinstance(outcome, grpc.RpcError)}
    assert (len(won), lost) == (1, {("ABORTED", "ETAG_MISMATCH")})
    assert _get(client, post.id) == won[0].social_post


def _at_once(count: int, call: Callable[[int], Any]) -> list[Any]:
    """The answers, or errors, of calls that begin at the same moment."""
    barrier = threading.Barrier(count)

    def one(number: int) -> Any:
        barrier.wait(60)
        try:
            return call(number)
        except grpc.RpcError as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


@pytest.mark.parametrize("state", ["PUBLISHING", "PUBLISHED", "PARTIALLY_PUBLISHED", "FAILED", "CANCELLED"])
def test_only_drafts_and_scheduled_posts_change(client: Client, sql: SqlRunner, state: str) -> None:
    post = client.draft(client.connect().id, scheduled_time=SPRING)
    number = SocialPostState.Value(f"SOCIAL_POST_STATE_{state}")
    sql("UPDATE social_post SET state = %s WHERE id = %s", number, post.id)
    sent = _get(client, post.id)
    assert sent.state == number
    for failed in (
        client.fails(UPDATE, social_post={"id": post.id, "caption": "too late"}),
        client.fails(DELETE, social_post_id=post.id),
    ):
        assert failed.what == ("FAILED_PRECONDITION", "SOCIAL_POST_NOT_EDITABLE")
        assert failed.metadata == {"state": state}
    assert _get(client, post.id) == sent


# Listing.

FILTERS: dict[str, Sequence[Any]] = {
    "external_ids": (None, ["spring"], ["spring", "summer", "winter"]),
    "platforms": (None, [1], [12], [1, 12], [5]),
    "states": (None, [1], [2, 6]),
    "social_account_ids": (None, ["sandbox"], ["mastodon", "other"]),
    "scheduled_after": (None, SPRING, SPRING + timedelta(microseconds=1)),
    "scheduled_before": (None, SUMMER, SUMMER + timedelta(microseconds=1)),
}


def _matches(post: Any, filters: dict[str, Any]) -> bool:
    """What the contract says of each filter, over again."""
    time = post.scheduled_time.ToDatetime(tzinfo=UTC) if post.HasField("scheduled_time") else None
    platforms = {target.platform for target in post.targets}
    checks = {
        "external_ids": lambda tags: post.HasField("external_id") and post.external_id in tags,
        "platforms": lambda wanted: platforms & set(wanted),
        "states": lambda states: post.state in states,
        "social_account_ids": lambda ids: set(post.social_account_ids) & set(ids),
        "scheduled_after": lambda limit: time is not None and time >= limit,
        "scheduled_before": lambda limit: time is not None and time < limit,
    }
    return all(checks[name](value) for name, value in filters.items())


def test_every_filter_alone_and_with_every_other(client: Client, stranger: Client, sql: SqlRunner) -> None:
    ids = {"sandbox": client.connect().id, "other": client.connect().id}
    ids["mastodon"] = client("SocialAccountService/ImportSocialAccount", _on_mastodon()).social_account.id
    stranger.draft(stranger.connect().id, external_id="spring", scheduled_time=SPRING)
    for tag, time, accounts in itertools.product(
        (None, "spring", "summer"), (None, SPRING, SUMMER), (["sandbox"], ["mastodon"], ["other", "mastodon"])
    ):
        client.draft(*(ids[name] for name in accounts), external_id=tag, scheduled_time=time)
    failed = client.draft(ids["mastodon"], external_id="spring", scheduled_time=SUMMER)
    sql("UPDATE social_post SET state = 6 WHERE id = %s", failed.id)
    everything = client(LIST).social_posts
    assert len(everything) == 28
    sizes = set()
    for values in itertools.product(*FILTERS.values()):
        chosen = {name: value for name, value in zip(FILTERS, values, strict=True) if value is not None}
        if "social_account_ids" in chosen:
            chosen["social_account_ids"] = [ids[name] for name in chosen["social_account_ids"]]
        found = [post.id for post in client(LIST, **chosen).social_posts]
        assert found == [post.id for post in everything if _matches(post, chosen)], chosen
        sizes.add(len(found))
    assert len(sizes) > 10


def test_windows_that_meet_share_no_post_and_miss_none(client: Client) -> None:
    account, second, smallest = client.connect().id, timedelta(seconds=1), timedelta(microseconds=1)
    times = [SUMMER + second * number + smallest * more for number in range(4) for more in (-1, 0, 1)]
    posts = [client.draft(account, scheduled_time=time).id for time in times]
    client.draft(account)
    edges = [SUMMER - second, *(SUMMER + second * number for number in range(5))]
    windows = [
        [post.id for post in client(LIST, scheduled_after=start, scheduled_before=end).social_posts]
        for start, end in itertools.pairwise(edges)
    ]
    assert sorted(itertools.chain(*windows)) == sorted(posts)
    assert [len(window) for window in windows] == [1, 3, 3, 3, 2]


def test_lists_are_newest_first(client: Client) -> None:
    account = client.connect().id
    ids = [client.draft(account).id for _ in range(5)]
    posts = client(LIST).social_posts
    # Ids sort by milliseconds; within one they are random.
    created = [post.create_time.ToMilliseconds() for post in posts]
    assert created == sorted(created, reverse=True)
    assert {post.id for post in posts} == set(ids)


# request_id.


def _request(client: Client, **fields: Any) -> dict[str, Any]:
    post = {"caption": "hello", "social_account_ids": [client.connect(external_id="alice").id], **fields}
    return {"social_post": post, "request_id": unique("request")}


def test_a_repeated_request_gets_the_first_answer_whatever_happened_since(
    client: Client, running: Running
) -> None:
    request = _request(client, scheduled_time=utc_now() + timedelta(hours=1))
    first = client(CREATE, **request)
    with running.clock.ahead(hours=2):
        assert client(CREATE, **request) == first
    _update(client, {"id": first.social_post.id, "caption": "changed"})
    assert client(CREATE, **request) == first
    client(DELETE, social_post_id=first.social_post.id)
    assert client(CREATE, **request) == first
    assert not client(LIST).social_posts


def test_without_a_request_id_each_request_is_a_new_one(client: Client) -> None:
    post = _request(client)["social_post"]
    first, second = (client(CREATE, social_post=post).social_post for _ in range(2))
    assert first.id != second.id


def test_a_request_id_is_for_one_request(client: Client) -> None:
    request = _request(client)
    first = client(CREATE, **request).social_post
    reused = ("FAILED_PRECONDITION", "REQUEST_ID_REUSED")
    other = {**request, "social_post": {**request["social_post"], "caption": "other"}}
    assert client.fails(CREATE, **other).what == reused
    assert client.as_owner("alice").fails(CREATE, **request).what == reused
    imported = import_request(unique("profile"), request_id=request["request_id"])
    assert client.fails("SocialAccountService/ImportSocialAccount", imported).what == reused
    assert client(LIST).social_posts == [first]
    assert len(client("SocialAccountService/ListSocialAccounts").social_accounts) == 1


def test_another_owner_does_not_get_the_answer(client: Client) -> None:
    """The request is refused; the answer it would repeat is of another owner's post."""
    request = _request(client)
    client.as_owner("alice")(CREATE, **request)
    for caller in (client.as_owner("bob"), client):
        assert caller.fails(CREATE, **request).reason == "REQUEST_ID_REUSED"


def test_a_request_that_failed_leaves_its_id_free(client: Client) -> None:
    request = _request(client)
    post = request["social_post"]
    unknown = {**request, "social_post": {**post, "social_account_ids": [new_id("sa", utc_now())]}}
    past = {**request, "social_post": {**post, "scheduled_time": utc_now() - timedelta(hours=1)}}
    assert client.fails(CREATE, **unknown).reason == "SOCIAL_ACCOUNT_NOT_FOUND"
    assert client.fails(CREATE, **past).reason == "FIELD_INVALID"
    assert client.as_owner("bob").fails(CREATE, **request).reason == "OWNER_MISMATCH"
    created = client(CREATE, **request).social_post
    assert client(LIST).social_posts == [created]


def test_another_projects_request_id_is_another(client: Client, stranger: Client) -> None:
    request = _request(client)
    theirs = {**_request(stranger), "request_id": request["request_id"]}
    mine = client(CREATE, **request).social_post
    assert stranger(CREATE, **theirs).social_post.id != mine.id
    assert client(CREATE, **request).social_post == mine


def test_copies_that_arrive_at_once_are_one_post(client: Client) -> None:
    for _ in range(5):
        request = _request(client)
        answers = _at_once(16, lambda number, request=request: client(CREATE, **request))
        assert {type(answer).__name__ for answer in answers} == {"CreateSocialPostResponse"}
        assert len({answer.social_post.id for answer in answers}) == 1
    assert len(client(LIST).social_posts) == 5


def test_of_different_requests_with_one_id_one_is_performed(client: Client) -> None:
    request = _request(client)
    answers = _at_once(
        8,
        lambda number: client(
            CREATE,
            social_post={**request["social_post"], "caption": f"{number}"},
            request_id=request["request_id"],
        ),
    )
    refused = [failure(answer).reason for answer in answers if isinstance(answer, grpc.RpcError)]
    assert refused == ["REQUEST_ID_REUSED"] * 7
    assert len(client(LIST).social_posts) == 1


def test_a_repeated_import_changes_nothing(client: Client) -> None:
    request = import_request(unique("profile"), request_id=unique("request"))
    first = client("SocialAccountService/ImportSocialAccount", request)
    assert client("SocialAccountService/ImportSocialAccount", request) == first
    now = client("SocialAccountService/GetSocialAccount", social_account_id=first.social_account.id)
    assert now.social_account == first.social_account
