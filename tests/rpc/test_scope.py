"""Who may do what: API keys, projects, and the owner that x-external-id confines a call to.

One row for each field by which a request names an account, a post or an app; the descriptors say which those
are.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.timestamp_pb2 import Timestamp

from server.base.identity import utc_now
from server.projects import projects
from server.rpc.registry import RPCS
from tests.kit.support import MESSAGES, Client, Failure, import_request, unique
from tests.kit.valid_requests import failed_and_unconfirmed, valid_request

SqlRunner = Callable[..., list[tuple[Any, ...]]]
ACCOUNTS, POSTS, APPS = "SocialAccountService", "SocialPostService", "PlatformAppService"
MISMATCH = ("PERMISSION_DENIED", "OWNER_MISMATCH")


@dataclass(frozen=True)
class Named:
    """The account, post and app that a call names, and the caller's own, for what else it needs.

    `scheduled` and `settled` are posts, too: one that can be cancelled, one that can be retried for the
    account, and resolved for `other`, which is the same owner's.
    """

    account: str
    post: str
    scheduled: str
    settled: str
    other: str
    app: str
    own_account: str
    own_post: str


def _post(named: Named, **fields: Any) -> dict[str, Any]:
    return {"caption": "changed", "social_account_ids": [named.account], **fields}


ROWS: dict[tuple[str, str], Callable[[Named], dict[str, Any]]] = {
    (f"{ACCOUNTS}/CreateAuthUrl", "social_account_id"): lambda named: {
        "platform": "PLATFORM_SANDBOX",
        "social_account_id": named.account,
    },
    (f"{ACCOUNTS}/GetSocialAccount", "social_account_id"): lambda named: {"social_account_id": named.account},
    (f"{ACCOUNTS}/ListSocialAccounts", "social_account_ids"): lambda named: {
        "social_account_ids": [named.own_account, named.account]
    },
    (f"{ACCOUNTS}/UpdateSocialAccount", "social_account.id"): lambda named: {
        "social_account": {"id": named.account, "metadata": {"plan": "free"}}
    },
    (f"{ACCOUNTS}/TransferSocialAccount", "social_account_id"): lambda named: {
        "social_account_id": named.account,
        "from_external_id": "alice",
        "to_external_id": "bob",
    },
    (f"{ACCOUNTS}/DisconnectSocialAccount", "social_account_id"): lambda named: {
        "social_account_id": named.account
    },
    (f"{ACCOUNTS}/DeleteSocialAccount", "social_account_id"): lambda named: {
        "social_account_id": named.account
    },
    (f"{POSTS}/CreateSocialPost", "social_post.social_account_ids"): lambda named: {
        "social_post": _post(named, social_account_ids=[named.own_account, named.account])
    },
    (f"{POSTS}/GetSocialPost", "social_post_id"): lambda named: {"social_post_id": named.post},
    (f"{POSTS}/ListSocialPosts", "social_account_ids"): lambda named: {
        "social_account_ids": [named.own_account, named.account]
    },
    (f"{POSTS}/UpdateSocialPost", "social_post.id"): lambda named: {
        "social_post": {"id": named.post, "caption": "changed"}
    },
    (f"{POSTS}/UpdateSocialPost", "social_post.social_account_ids"): lambda named: {
        "social_post": {**_post(named), "id": named.own_post}
    },
    (f"{POSTS}/DeleteSocialPost", "social_post_id"): lambda named: {"social_post_id": named.post},
    (f"{POSTS}/PublishSocialPost", "social_post_id"): lambda named: {"social_post_id": named.post},
    (f"{POSTS}/CancelSocialPost", "social_post_id"): lambda named: {"social_post_id": named.scheduled},
    (f"{POSTS}/RetrySocialPost", "social_post_id"): lambda named: {"social_post_id": named.settled},
    (f"{POSTS}/ResolveSocialPostTarget", "social_post_id"): lambda named: {
        "social_post_id": named.settled,
        "social_account_id": named.other,
        "resolution": "SOCIAL_POST_TARGET_RESOLUTION_NOT_PUBLISHED",
    },
    (f"{POSTS}/ListSocialPostTargets", "social_account_ids"): lambda named: {
        "social_account_ids": [named.own_account, named.account]
    },
    (f"{POSTS}/ValidateSocialPost", "social_post.social_account_ids"): lambda named: {
        "social_post": _post(named, social_account_ids=[named.own_account, named.account])
    },
    (f"{APPS}/DeletePlatformApp", "platform_app_id"): lambda named: {"platform_app_id": named.app},
}
# Fields that look as if they named something, but are ignored or can only repeat what another field names.
NOT_NAMING = {
    (f"{POSTS}/CreateSocialPost", "social_post.id"),
    (f"{POSTS}/CreateSocialPost", "social_post.targets.social_account_id"),
    (f"{POSTS}/CreateSocialPost", "social_post.targets.social_post_id"),
    (f"{POSTS}/CreateSocialPost", "social_post.account_overrides.social_account_id"),
    (f"{POSTS}/UpdateSocialPost", "social_post.targets.social_account_id"),
    (f"{POSTS}/UpdateSocialPost", "social_post.targets.social_post_id"),
    (f"{POSTS}/UpdateSocialPost", "social_post.account_overrides.social_account_id"),
    # Targets of the post that is named, or none.
    (f"{POSTS}/RetrySocialPost", "social_account_ids"),
    (f"{POSTS}/ResolveSocialPostTarget", "social_account_id"),
    (f"{POSTS}/ValidateSocialPost", "social_post.id"),
    (f"{POSTS}/ValidateSocialPost", "social_post.targets.social_account_id"),
    (f"{POSTS}/ValidateSocialPost", "social_post.targets.social_post_id"),
    (f"{POSTS}/ValidateSocialPost", "social_post.account_overrides.social_account_id"),
}
# These name nothing by id; each has tests of its own below.
WITHOUT_IDS = {
    f"{ACCOUNTS}/CompleteAuth",
    f"{ACCOUNTS}/ConfirmAuth",
    f"{ACCOUNTS}/ConnectWithAppPassword",
    f"{ACCOUNTS}/ImportSocialAccount",
    f"{APPS}/SetPlatformApp",
    f"{APPS}/ListPlatformApps",
    # Its keys are no project's; test_admin_keys.py has who may call it.
    *(method for method in MESSAGES if method.startswith("AdminService/")),
}
IDS = (
    "id",
    "social_account_id",
    "social_account_ids",
    "social_post_id",
    "social_post_ids",
    "platform_app_id",
    "platform_app_ids",
)

each_row = pytest.mark.parametrize(("method", "path"), sorted(ROWS), ids=lambda value: value.split("/")[-1])
each_method = pytest.mark.parametrize("method", sorted(MESSAGES))


def _id_fields(message: Descriptor, prefix: str = "") -> Iterator[str]:
    for field in message.fields:
        if field.message_type is not None:
            yield from _id_fields(field.message_type, f"{prefix}{field.name}.")
        elif field.name in IDS:
            yield prefix + field.name


def test_there_is_a_row_for_every_field_that_names_an_account_a_post_or_an_app() -> None:
    naming = {
        (method, path)
        for method, descriptor in MESSAGES.items()
        for path in _id_fields(descriptor.input_type)
    }
    assert naming == set(ROWS) | NOT_NAMING
    assert {method for method, _ in ROWS} | WITHOUT_IDS == set(MESSAGES)


@pytest.fixture
def snapshot(sql: SqlRunner, client: Client, stranger: Client) -> Callable[[], list[tuple[Any, ...]]]:
    """Every row of both projects that a call could change."""
    mine = [client.project_id, stranger.project_id]
    accounts = "SELECT id FROM social_account WHERE project_id = ANY(%s)"
    posts = "SELECT id FROM social_post WHERE project_id = ANY(%s)"
    queries = [
        "SELECT * FROM social_account WHERE project_id = ANY(%s) ORDER BY id",
        f"SELECT * FROM social_account_token WHERE social_account_id IN ({accounts}) ORDER BY 1",
        "SELECT * FROM social_post WHERE project_id = ANY(%s) ORDER BY id",
        f"SELECT * FROM social_post_target WHERE social_post_id IN ({posts}) ORDER BY 1, 2",
        "SELECT * FROM auth_session WHERE project_id = ANY(%s) ORDER BY 1",
        "SELECT * FROM audit_event WHERE project_id = ANY(%s) ORDER BY id",
        "SELECT * FROM platform_app WHERE project_id = ANY(%s) ORDER BY id",
        "SELECT * FROM idempotent_request WHERE project_id = ANY(%s) ORDER BY 1, 2",
    ]
    return lambda: [_comparable(row) for query in queries for row in sql(query, mine)]


def _comparable(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(bytes(value) if isinstance(value, memoryview) else value for value in row)


def _named(client: Client, caller: Client, owner: str | None, callers_owner: str | None) -> Named:
    account, other = (client.connect(external_id=owner).id for _ in range(2))
    own_account = caller.connect(external_id=callers_owner).id
    post, app = client.draft(account).id, client.app(owner).id
    scheduled = client.draft(account, scheduled_time=Timestamp(seconds=4_000_000_000)).id
    settled = failed_and_unconfirmed(client, account, other).id
    own_post = caller.draft(own_account).id
    return Named(account, post, scheduled, settled, other, app, own_account, own_post)


@each_row
@pytest.mark.parametrize("owner", ["alice", None], ids=["another owner's", "unowned"])
def test_what_is_not_the_scopes_owners_is_refused(
    client: Client, snapshot: Callable[[], Any], method: str, path: str, owner: str | None
) -> None:
    request = ROWS[method, path](_named(client, client, owner, "bob"))
    before = snapshot()
    assert client.as_owner("bob").fails(method, **request).what == MISMATCH
    assert snapshot() == before


@each_row
def test_what_is_the_scopes_owners_is_not_refused(
    client: Client, sql: SqlRunner, method: str, path: str
) -> None:
    """Otherwise the refusals would prove nothing."""
    named = _named(client, client, "alice", "alice")
    if "Delete" in method and path == "social_account_id":
        sql("DELETE FROM social_post WHERE project_id = %s", client.project_id)
    request = ROWS[method, path](named)
    if "to_external_id" in request:
        request["to_external_id"] = "alice"
    client.as_owner("alice")(method, **request)


@each_row
@pytest.mark.parametrize("scope", [None, "alice"], ids=["unscoped", "scoped"])
def test_what_is_another_projects_does_not_exist(
    client: Client, stranger: Client, snapshot: Callable[[], Any], method: str, path: str, scope: str | None
) -> None:
    """Also to a scope by the same name as its owner there: projects never learn of each other."""
    named = _named(stranger, client, "alice", "alice")
    request = ROWS[method, path](named)
    caller = client if scope is None else client.as_owner(scope)
    before = snapshot()
    if "/List" in method:
        answer = caller(method, **request)
        found = {
            *(row.id for row in getattr(answer, "social_accounts", ())),
            *(row.id for row in getattr(answer, "social_posts", ())),
            *(row.social_post_id for row in getattr(answer, "social_post_targets", ())),
        }
        assert found in ({named.own_account}, {named.own_post})
    else:
        failed = caller.fails(method, **request)
        kinds = {
            named.account: "SOCIAL_ACCOUNT",
            **dict.fromkeys((named.post, named.scheduled, named.settled), "SOCIAL_POST"),
            named.app: "PLATFORM_APP",
        }
        assert failed.what == ("NOT_FOUND", f"{kinds[failed.metadata['id']]}_NOT_FOUND")
    assert snapshot() == before


# API keys.

WRONG_KEYS: dict[str, tuple[list[str], str]] = {
    "none": ([], "API_KEY_MISSING"),
    "empty": ([""], "API_KEY_MISSING"),
    "no key": (["Bearer "], "API_KEY_MISSING"),
    "unknown": (["Bearer hp_unknown"], "API_KEY_INVALID"),
    "unknown beyond ASCII's start": (["Bearer ~"], "API_KEY_INVALID"),
    "another scheme": (["Basic {key}"], "API_KEY_MISSING"),
    "no scheme": (["{key}"], "API_KEY_MISSING"),
    "other case": (["Bearer {upper}"], "API_KEY_INVALID"),
    "half of it": (["Bearer {half}"], "API_KEY_INVALID"),
    "more than it": (["Bearer {key}x"], "API_KEY_INVALID"),
    "twice": (["Bearer {key}", "Bearer {key}"], "API_KEY_INVALID"),
}


@each_method
@pytest.mark.parametrize(("values", "reason"), WRONG_KEYS.values(), ids=WRONG_KEYS)
def test_without_a_key_that_works_nothing_does(
    client: Client, snapshot: Callable[[], Any], method: str, values: list[str], reason: str
) -> None:
    key = client.key or ""
    texts = {"key": key, "upper": key.upper(), "half": key[: len(key) // 2]}
    request = valid_request(client, method)
    before = snapshot()
    metadata = [("authorization", value.format(**texts)) for value in values]
    failed = client.with_key(None).fails(method, request, extra=metadata)
    assert failed.what == ("UNAUTHENTICATED", reason)
    assert snapshot() == before


@pytest.mark.parametrize("scheme", ["bearer", "BEARER"])
def test_the_scheme_is_written_in_any_case(client: Client, scheme: str) -> None:
    metadata = [("authorization", f"{scheme} {client.key}")]
    client.with_key(None).with_call(f"{ACCOUNTS}/ListSocialAccounts", extra=metadata)


@each_method
def test_a_read_only_key_reads_and_does_not_write(
    client: Client, read_only: Client, snapshot: Callable[[], Any], method: str
) -> None:
    request = valid_request(client, method)
    before = snapshot()
    if MESSAGES[method].name.startswith(("Get", "List", "Validate")):
        read_only(method, request)
    else:
        failed = read_only.fails(method, request)
        assert failed.what == ("PERMISSION_DENIED", "API_KEY_READ_ONLY")
        assert failed.metadata == {"method": MESSAGES[method].name}
    assert snapshot() == before


def test_every_write_says_which_rows_it_may_have_to_wait_for() -> None:
    """One that did not could keep all threads waiting for one row."""
    writes = {rpc.descriptor.name for rpc in RPCS.values() if rpc.writes}
    rows = {rpc.descriptor.name for rpc in RPCS.values() if rpc.rows}
    # It waits for no row that others change: it consumes an attempt of its own.
    assert writes - rows == {"CompleteAuth"}
    assert rows <= writes


def test_a_revoked_key_is_unknown_to_a_worker_that_has_not_seen_it(client: Client) -> None:
    (key,) = projects.keys(projects.find(client.project_id))
    assert projects.key_works(client.key or "")
    projects.revoke_key(key.id, utc_now())
    assert not projects.key_works(client.key or "")


# What a scope sees.


def test_scoped_lists_have_the_owners_rows_only(client: Client) -> None:
    accounts = {owner: client.connect(external_id=owner).id for owner in ("alice", "bob", "Alice", None)}
    posts = {owner: client.draft(account, external_id="bob").id for owner, account in accounts.items()}
    for owner in ("alice", "bob", "Alice"):
        scoped = client.as_owner(owner)
        assert _ids(scoped(f"{ACCOUNTS}/ListSocialAccounts").social_accounts) == [accounts[owner]]
        assert _ids(scoped(f"{POSTS}/ListSocialPosts").social_posts) == [posts[owner]]
        assert _posts_of(scoped(f"{POSTS}/ListSocialPostTargets")) == [posts[owner]]
        # A post's own external_id is a tag: it neither opens nor closes anything.
        assert _ids(scoped(f"{POSTS}/ListSocialPosts", external_ids=["bob"]).social_posts) == [posts[owner]]
    assert _ids(client.as_owner("nobody")(f"{ACCOUNTS}/ListSocialAccounts").social_accounts) == []
    assert _ids(client.as_owner("nobody")(f"{POSTS}/ListSocialPosts").social_posts) == []


def _ids(rows: Any) -> list[str]:
    return [row.id for row in rows]


def _posts_of(answer: Any) -> list[str]:
    return [target.social_post_id for target in answer.social_post_targets]


def test_a_scoped_filter_by_another_owner_is_refused(client: Client) -> None:
    own = client.connect(external_id="alice").id
    scoped = client.as_owner("alice")
    for external_ids in (["bob"], ["alice", "bob"], ["alice", "Alice"]):
        assert scoped.fails(f"{ACCOUNTS}/ListSocialAccounts", external_ids=external_ids).what == MISMATCH
    assert _ids(scoped(f"{ACCOUNTS}/ListSocialAccounts", external_ids=["alice"]).social_accounts) == [own]


@pytest.mark.parametrize("second", ["bob", None], ids=["another owner", "unowned"])
def test_a_post_across_owners_is_nobodys_but_the_projects(
    client: Client, snapshot: Callable[[], Any], second: str | None
) -> None:
    accounts = [client.connect(external_id=owner).id for owner in ("alice", second)]
    post = client.draft(*accounts, external_id="alice").id
    before = snapshot()
    for owner in ("alice", "bob"):
        scoped = client.as_owner(owner)
        assert _ids(scoped(f"{POSTS}/ListSocialPosts").social_posts) == []
        assert _posts_of(scoped(f"{POSTS}/ListSocialPostTargets")) == []
        for failed in _calls_on(scoped, post):
            assert failed.what == MISMATCH
    assert snapshot() == before
    assert _ids(client(f"{POSTS}/ListSocialPosts").social_posts) == [post]
    client(f"{POSTS}/UpdateSocialPost", social_post={"id": post, "caption": "changed"})
    assert client(f"{POSTS}/GetSocialPost", social_post_id=post).social_post.caption == "changed"
    client(f"{POSTS}/DeleteSocialPost", social_post_id=post)


def _calls_on(scoped: Client, post: str) -> list[Failure]:
    return [
        scoped.fails(f"{POSTS}/GetSocialPost", social_post_id=post),
        scoped.fails(f"{POSTS}/UpdateSocialPost", social_post={"id": post, "caption": "changed"}),
        scoped.fails(f"{POSTS}/DeleteSocialPost", social_post_id=post),
        scoped.fails(f"{POSTS}/PublishSocialPost", social_post_id=post),
        scoped.fails(f"{POSTS}/CancelSocialPost", social_post_id=post),
        scoped.fails(f"{POSTS}/RetrySocialPost", social_post_id=post),
    ]


def test_a_post_follows_its_account_to_another_owner(client: Client) -> None:
    account = client.connect(external_id="alice").id
    post = client.draft(account).id
    transfer = {"social_account_id": account, "from_external_id": "alice", "to_external_id": "bob"}
    client(f"{ACCOUNTS}/TransferSocialAccount", **transfer)
    assert client.as_owner("alice").fails(f"{POSTS}/GetSocialPost", social_post_id=post).what == MISMATCH
    assert client.as_owner("bob")(f"{POSTS}/GetSocialPost", social_post_id=post).social_post.id == post


# What a scope creates, and what it can't give away.


def test_a_scoped_attempt_is_the_scopes_owners(client: Client, sql: SqlRunner) -> None:
    client.as_owner("alice")(f"{ACCOUNTS}/CreateAuthUrl", platform="PLATFORM_SANDBOX")
    client.as_owner("alice")(f"{ACCOUNTS}/CreateAuthUrl", platform="PLATFORM_SANDBOX", external_id="alice")
    begun = "SELECT external_id FROM auth_session WHERE project_id = %s"
    assert sql(begun, client.project_id) == [("alice",), ("alice",)]


def test_a_scoped_import_is_the_scopes_owners(client: Client) -> None:
    scoped = client.as_owner("alice")
    assert scoped.connect().external_id == "alice"
    assert scoped.connect(external_id="alice").external_id == "alice"


def test_a_scope_creates_nothing_for_another_owner(client: Client, snapshot: Callable[[], Any]) -> None:
    before, scoped = snapshot(), client.as_owner("alice")
    attempt = {"platform": "PLATFORM_SANDBOX", "external_id": "bob"}
    assert scoped.fails(f"{ACCOUNTS}/CreateAuthUrl", **attempt).what == MISMATCH
    imported = import_request(unique("profile"), "bob", request_id=unique("request"))
    assert scoped.fails(f"{ACCOUNTS}/ImportSocialAccount", imported).what == MISMATCH
    assert snapshot() == before


@pytest.mark.parametrize("begun_for", ["alice", None], ids=["another owner's", "unowned"])
def test_a_scope_completes_its_owners_attempts_only(
    client: Client, stranger: Client, snapshot: Callable[[], Any], begun_for: str | None
) -> None:
    begun = client(f"{ACCOUNTS}/CreateAuthUrl", platform="PLATFORM_SANDBOX", external_id=begun_for)
    callback = {"callback_url": f"https://app.example/back?state={begun.state}&code=c"}
    before = snapshot()
    assert client.as_owner("bob").fails(f"{ACCOUNTS}/CompleteAuth", **callback).what == MISMATCH
    assert client.fails(f"{ACCOUNTS}/CompleteAuth", external_id="bob", **callback).what == MISMATCH
    foreign = ("NOT_FOUND", "AUTH_STATE_OF_ANOTHER_PROJECT")
    assert stranger.fails(f"{ACCOUNTS}/CompleteAuth", **callback).what == foreign
    assert snapshot() == before


def test_a_scope_gives_no_account_away(client: Client, snapshot: Callable[[], Any]) -> None:
    account, scoped = client.connect(external_id="alice").id, client.as_owner("alice")
    before = snapshot()
    transfer = {"social_account_id": account, "from_external_id": "alice", "to_external_id": "bob"}
    assert scoped.fails(f"{ACCOUNTS}/TransferSocialAccount", **transfer).what == MISMATCH
    given = {"id": account, "external_id": "bob"}
    failed = scoped.fails(f"{ACCOUNTS}/UpdateSocialAccount", social_account=given)
    assert failed.what == ("PERMISSION_DENIED", "EXTERNAL_ID_IMMUTABLE")
    assert snapshot() == before


def test_a_wrong_etag_tells_another_owner_nothing(client: Client) -> None:
    account = client.connect(external_id="alice")
    for etag in ("", account.etag, "999"):
        failed = client.as_owner("bob").fails(
            f"{ACCOUNTS}/DeleteSocialAccount", social_account_id=account.id, etag=etag
        )
        assert failed.what == MISMATCH
        assert failed.metadata == {}
        assert "alice" not in failed.message


# Apps of platforms.


def test_a_scoped_app_is_the_scopes_owners(client: Client) -> None:
    scoped = client.as_owner("alice")
    assert scoped.app().external_id == "alice"
    assert scoped.app("alice").external_id == "alice"
    assert not client.app().HasField("external_id")


def test_a_scope_sets_no_app_of_another_owner(client: Client, snapshot: Callable[[], Any]) -> None:
    theirs, projects_own = client.app("bob"), client.app()
    before, scoped = snapshot(), client.as_owner("alice")
    for app in (theirs, projects_own):
        request = {"platform": app.platform, "client_id": app.client_id, "external_id": "bob"}
        assert scoped.fails(f"{APPS}/SetPlatformApp", **request).what == MISMATCH
    assert snapshot() == before


def test_a_scope_lists_its_owners_apps_alone(client: Client, stranger: Client) -> None:
    stranger.app("alice")
    mine, theirs, projects_own = client.app("alice"), client.app("bob"), client.app()
    scoped = client.as_owner("alice")
    listed = f"{APPS}/ListPlatformApps"
    assert list(scoped(listed).platform_apps) == [mine]
    assert list(scoped(listed, external_ids=["alice"]).platform_apps) == [mine]
    assert list(client.as_owner("Alice")(listed).platform_apps) == []
    assert list(client(listed).platform_apps) == [projects_own, theirs, mine]
    for owners in (["bob"], ["alice", "bob"]):
        assert scoped.fails(listed, external_ids=owners).what == MISMATCH
