"""Tokens are refreshed once, whoever is due; nothing passing ends a connection, and nothing newer is lost."""

import itertools
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from cryptography.fernet import Fernet
from starlette.responses import JSONResponse, PlainTextResponse, Response

from generated.hitchpost.v1 import platform_pb2
from generated.hitchpost.v1 import social_account_service_pb2 as pb
from server.accounts import refreshes
from server.accounts.ownership import Claimant
from server.accounts.refresh_records import KIND, Refresh, take
from server.accounts.refreshes import AppDeleted, NobodyToAsk, Refresher, reauth_reason
from server.accounts.rows import Connection
from server.base.vault import Vault
from server.platforms import PlatformRefused, PlatformUnreachable, Profile, Tokens, TokensRefused, load
from server.projects.platform_apps import PlatformApps
from server.storage import due_work
from server.storage.due_work import Leased
from tests.conftest import ENCRYPTION_KEY, Running
from tests.kit.due import work_off
from tests.kit.rotating import EXPIRES_IN, Rotating, rotating
from tests.kit.stored import stored, stored_tokens
from tests.kit.support import Client, secret
from tools.person import Person

Sql = Callable[..., list[tuple[Any, ...]]]
VAULT = Vault(ENCRYPTION_KEY)
SANDBOX = platform_pb2.PLATFORM_SANDBOX
CONNECTED, NEEDS_REAUTH = pb.SOCIAL_ACCOUNT_STATE_CONNECTED, pb.SOCIAL_ACCOUNT_STATE_NEEDS_REAUTH
REFUSED = pb.SOCIAL_ACCOUNT_REAUTH_REASON_TOKENS_REFUSED
APP_DELETED = pb.SOCIAL_ACCOUNT_REAUTH_REASON_APP_DELETED
APP_REFUSED = pb.SOCIAL_ACCOUNT_REAUTH_REASON_APP_REFUSED
HOUR = timedelta(hours=1)
NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)
WAIT = "SELECT extract(epoch FROM due_time - now())::float8 FROM social_account_token WHERE project_id = %s"
DUE = """
    SELECT due_time > now(), lease_time IS NULL, worker IS NULL, refresh_failures
    FROM social_account_token WHERE project_id = %s ORDER BY social_account_id"""
NEVER, LATER_AFTER_ONE, LATER = (None, True, True, 0), (True, True, True, 1), (True, True, True, 0)


@pytest.fixture(autouse=True)
def _nothing_else_is_due(running: Running, sql: Sql) -> None:
    sql("UPDATE social_account_token SET due_time = NULL")


@pytest.fixture(scope="module")
def shared() -> Iterator[Rotating]:
    with rotating() as platform:
        yield platform


@pytest.fixture
def platform(shared: Rotating) -> Rotating:
    """One whose tokens work once."""
    shared.answers, shared.asked, shared.revoked = lambda _token: None, [], []
    return shared


@pytest.fixture
def refresher(platform: Rotating, running: Running) -> Refresher:
    """Asks that platform in the sandbox's name."""
    return Refresher(running.clock, VAULT, load(platform.url), PlatformApps(VAULT))


def connect(platform: Rotating, client: Client, sql: Sql, life: timedelta = HOUR, **fields: Any) -> Any:
    """An account with tokens of the platform, which are due."""
    access, refresh = platform.connected()
    account = client.connect(
        access_token=access,
        refresh_token=refresh,
        access_token_expire_time=datetime.now(UTC) + life,
        scopes=["posts.write"],
        **fields,
    )
    become_due(sql, client)
    return account


def connect_login(platform: Rotating, client: Client, running: Running, sql: Sql, number: int) -> list[str]:
    """Accounts of one login, with the same tokens, which are all due; their ids, sorted."""
    access, refresh = platform.connected()
    tokens = Tokens(access, refresh, datetime.now(UTC) + HOUR, ())
    ids = [
        running.app.accounts.claim(
            Claimant(client.project_id, "alice"),
            SANDBOX,
            Profile(f"page-{page}", "", "", "", tokens, shares_tokens=True),
            connection=Connection("sandbox", None, "lg_1"),
        ).id
        for page in range(number)
    ]
    become_due(sql, client)
    return sorted(ids)


def become_due(sql: Sql, client: Client) -> None:
    """Time passes, until what is due some day is."""
    sql(
        "UPDATE social_account_token SET due_time = now() WHERE due_time IS NOT NULL AND project_id = %s",
        client.project_id,
    )


def lease(client: Client, worker: str = "me") -> list[Leased[Refresh]]:
    return [leased for leased in KIND.lease(worker) if leased.row.project_id == client.project_id]


def refresh_all(refresher: Refresher, client: Client) -> None:
    """Handles what is due of this project as a worker does."""
    for leased in lease(client):
        refresher.refresh(leased)


def get(client: Client, account_id: str) -> Any:
    return client("SocialAccountService/GetSocialAccount", social_account_id=account_id).social_account


def tokens_of(sql: Sql, client: Client) -> set[tuple[str, str | None]]:
    return {
        (VAULT.decrypt(access), VAULT.decrypt(refresh) if refresh else None)
        for access, refresh in stored_tokens(sql, client)
    }


def test_a_claim_says_when_its_tokens_are_due(client: Client, sql: Sql) -> None:
    """A reconnect by the refresh token that is kept, too; what never expires or can't be refreshed is not."""
    due = "SELECT due_time - now() FROM social_account_token WHERE project_id = %s"

    def imported(life: timedelta | None, refresh_token: str) -> timedelta | None:
        expire_time = life and datetime.now(UTC) + life
        client.connect("42", refresh_token=refresh_token, access_token_expire_time=expire_time)
        [(found,)] = sql(due, client.project_id)
        assert found is None or isinstance(found, timedelta)
        return found

    assert imported(HOUR, "") is None
    assert HOUR * 0.7 < (imported(HOUR, secret()) or HOUR * 0) < HOUR * 0.85
    assert HOUR * 7 < (imported(HOUR * 10, "") or HOUR * 0) < HOUR * 8.6
    assert imported(None, secret()) is None


def test_new_tokens_for_old(platform: Rotating, refresher: Refresher, client: Client, sql: Sql) -> None:
    before = connect(platform, client, sql)
    [(old_access, old_refresh)] = tokens_of(sql, client)
    refresh_all(refresher, client)
    [(access, refresh)] = tokens_of(sql, client)
    assert platform.asked == [old_refresh]
    assert platform.works(access)
    assert not platform.works(old_access)
    assert refresh not in (None, old_refresh)
    after = get(client, before.id)
    left = after.access_token_expire_time.ToDatetime(UTC) - datetime.now(UTC)
    assert timedelta(seconds=EXPIRES_IN - 60) < left <= timedelta(seconds=EXPIRES_IN)
    assert int(after.etag) == int(before.etag) + 1
    assert after.update_time.ToDatetime() > before.update_time.ToDatetime()
    assert (after.state, list(after.scopes)) == (CONNECTED, ["posts.write"])
    assert after.connect_time == before.connect_time
    assert sql(DUE, client.project_id) == [LATER]
    # And again, when that time has come.
    become_due(sql, client)
    refresh_all(refresher, client)
    assert platform.asked == [old_refresh, refresh]


def test_what_an_answer_does_not_say_is_as_it_was(
    platform: Rotating, refresher: Refresher, client: Client, sql: Sql
) -> None:
    """Without a refresh token the old one is kept; without a time it does not expire."""
    account, access = connect(platform, client, sql), secret()
    [(_, old_refresh)] = tokens_of(sql, client)
    platform.answers = lambda _token: JSONResponse({"access_token": access, "scope": "posts.read"})
    refresh_all(refresher, client)
    assert tokens_of(sql, client) == {(access, old_refresh)}
    after = get(client, account.id)
    assert not after.HasField("access_token_expire_time")
    assert list(after.scopes) == ["posts.read"]
    assert sql(DUE, client.project_id) == [NEVER]


# What went wrong; the reason while the access token lives, and when it has expired.
REASONS = [
    (TokensRefused("invalid_grant"), REFUSED, REFUSED),
    (AppDeleted("the app was deleted"), APP_DELETED, APP_DELETED),
    (NobodyToAsk("no app"), None, APP_DELETED),
    (PlatformRefused("invalid_client"), None, APP_REFUSED),
    (PlatformRefused("HTTP 403"), None, APP_REFUSED),
    (PlatformUnreachable("HTTP 502"), None, None),
]


@pytest.mark.parametrize(("failure", "alive", "expired"), REASONS)
def test_what_ends_a_connection(failure: Exception, alive: int | None, expired: int | None) -> None:
    assert reauth_reason(failure, expired=False) == alive
    assert reauth_reason(failure, expired=True) == expired


def says(status: int, **body: Any) -> Response:
    return JSONResponse(body, status)


# What the platform answers; the reason when the access token lives, and when it has expired; what is logged.
# Passing: 0. It must never be a reason, however long it lasts.
WARNED, ENDED = "tokens can't be refreshed for now", "an account needs its person again"
ANSWERS = {
    "502": (says(502), 0, 0),
    "502 with a page": (PlainTextResponse("<html>Bad gateway", 502), 0, 0),
    "503 that names a refusal": (says(503, error="invalid_grant"), 0, 0),
    "429": (says(429, error="invalid_grant"), 0, 0),
    "408": (says(408), 0, 0),
    "a page": (PlainTextResponse("<html>Maintenance"), 0, 0),
    "200 without tokens": (says(200, token_type="Bearer"), 0, 0),
    "200 that says no": (says(200, error="invalid_grant"), REFUSED, REFUSED),
    "temporarily": (says(400, error="temporarily_unavailable"), 0, 0),
    "invalid_grant": (says(400, error="invalid_grant"), REFUSED, REFUSED),
    "invalid_grant, 401": (says(401, error="invalid_grant"), REFUSED, REFUSED),
    "invalid_client": (says(401, error="invalid_client"), 0, APP_REFUSED),
    "unauthorized_client": (says(400, error="unauthorized_client"), 0, APP_REFUSED),
    "404": (PlainTextResponse("gone", 404), 0, APP_REFUSED),
}


@pytest.mark.parametrize("life", [HOUR, -HOUR], ids=["alive", "expired"])
@pytest.mark.parametrize("name", ANSWERS)
def test_what_a_failure_becomes(
    name: str,
    life: timedelta,
    platform: Rotating,
    refresher: Refresher,
    client: Client,
    sql: Sql,
    caplog: pytest.LogCaptureFixture,
) -> None:
    answer, alive, expired = ANSWERS[name]
    reason = alive if life > timedelta(0) else expired
    account = connect(platform, client, sql, life)
    before, tokens = stored(sql, client), tokens_of(sql, client)
    platform.answers = lambda _token: answer
    with caplog.at_level(logging.WARNING, logger=refreshes.__name__):
        refresh_all(refresher, client)
    assert len(platform.asked) == 1
    assert tokens_of(sql, client) == tokens
    after = get(client, account.id)
    logged = [record for record in caplog.records if record.name == refreshes.__name__]
    assert all(record.__dict__["social_account_ids"] == account.id for record in logged)
    if reason:
        assert (after.state, after.reauth_reason) == (NEEDS_REAUTH, reason)
        assert int(after.etag) == int(account.etag) + 1
        assert sql(DUE, client.project_id) == [NEVER]
        assert [record.message for record in logged] == [ENDED]
    else:
        assert after == account
        assert sql(DUE, client.project_id) == [LATER_AFTER_ONE]
        # What nobody but the operator can put right is said, as is what lasts.
        said = life < timedelta(0) or expired
        assert [record.message for record in logged] == ([WARNED] if said else [])
        assert len(stored(sql, client)) == len(before)


# How many seconds each try takes; the most that is waited after the first.
@pytest.mark.parametrize(("took", "first"), [(0.0, 30.0), (10.0, 600.0)])
def test_a_passing_failure_is_tried_again_later_each_time_and_then_succeeds(
    took: float,
    first: float,
    platform: Rotating,
    refresher: Refresher,
    running: Running,
    client: Client,
    sql: Sql,
) -> None:
    times = itertools.count()
    waiting = Refresher(
        lambda: NOON + timedelta(seconds=took * next(times)), VAULT, load(platform.url), PlatformApps(VAULT)
    )
    account = connect(platform, client, sql)
    waits = []
    platform.answers = lambda _token: says(502)
    for _ in range(9):
        refresh_all(waiting, client)
        waits += sql(WAIT, client.project_id)
        become_due(sql, client)
    for number, (seconds,) in enumerate(waits):
        most = min(refreshes.MOST_SECONDS, first * 2**number)
        # The database's clock goes on meanwhile.
        assert most / 2 - 15 <= seconds <= most
    # The old refresh token has not been used, as far as this platform knows.
    access, refresh = platform.connected()
    sql(
        "UPDATE social_account_token SET access_token = %s, refresh_token = %s WHERE project_id = %s",
        VAULT.encrypt(access),
        VAULT.encrypt(refresh),
        client.project_id,
    )
    platform.answers = lambda _token: None
    refresh_all(refresher, client)
    assert get(client, account.id).state == CONNECTED
    assert sql(DUE, client.project_id) == [LATER]


def test_a_reconnect_clears_the_reason_and_so_does_a_disconnect(
    platform: Rotating, refresher: Refresher, client: Client, sql: Sql
) -> None:
    account = connect(platform, client, sql)
    platform.answers = lambda _token: says(400, error="invalid_grant")
    refresh_all(refresher, client)
    listed = client("SocialAccountService/ListSocialAccounts", states=[NEEDS_REAUTH]).social_accounts
    assert [(one.id, one.reauth_reason) for one in listed] == [(account.id, REFUSED)]
    again = connect(platform, client, sql, profile=account.platform_user_id)
    assert (again.id, again.state, again.reauth_reason) == (account.id, CONNECTED, 0)
    refresh_all(refresher, client)
    assert get(client, account.id).reauth_reason == REFUSED
    gone = client("SocialAccountService/DisconnectSocialAccount", social_account_id=account.id)
    assert gone.social_account.reauth_reason == 0


def test_tokens_that_nothing_decrypts_are_kept_for_the_key_that_may_come_back(
    platform: Rotating, running: Running, client: Client, sql: Sql, caplog: pytest.LogCaptureFixture
) -> None:
    account = connect(platform, client, sql)
    stranger = Vault(Fernet.generate_key().decode())
    refresh_all(Refresher(running.clock, stranger, load(platform.url), PlatformApps(stranger)), client)
    assert get(client, account.id) == account
    assert sql(DUE, client.project_id) == [LATER_AFTER_ONE]
    assert [record.message for record in caplog.records if record.name == refreshes.__name__] == [WARNED]


# Whether the account remembers an app, whether the platform is set up, whether its token lives; the reason.
APPS = [
    (True, True, True, APP_DELETED),
    (False, True, True, 0),
    (False, True, False, APP_DELETED),
    (True, False, True, 0),
    (True, False, False, APP_DELETED),
]


@pytest.mark.parametrize(("remembers", "set_up", "alive", "reason"), APPS)
def test_without_an_app_nobody_is_asked(
    remembers: bool,
    set_up: bool,
    alive: bool,
    reason: int,
    platform: Rotating,
    running: Running,
    client: Client,
    sql: Sql,
    tmp_path: Path,
) -> None:
    row = tmp_path / "more.toml"
    row.write_text('[sandbox]\nlike = "sandbox"\nclient_id = ""')
    platforms = load(platform.url, more=row, without=[] if set_up else ["sandbox"])
    account = connect(platform, client, sql, HOUR if alive else -HOUR)
    if remembers:
        sql(
            "UPDATE social_account_token SET platform_app_id = 'pa_1' WHERE project_id = %s",
            client.project_id,
        )
    refresh_all(Refresher(running.clock, VAULT, platforms, PlatformApps(VAULT)), client)
    after = get(client, account.id)
    assert (after.state, after.reauth_reason) == (NEEDS_REAUTH if reason else CONNECTED, reason)
    assert sql(DUE, client.project_id) == [NEVER if reason else LATER_AFTER_ONE]
    assert platform.asked == []


def test_a_project_s_many_dead_accounts_do_not_fill_a_batch(
    platform: Rotating, running: Running, new_client: Callable[[], Client], client: Client, sql: Sql
) -> None:
    """All due for longer than the one account of another project."""
    for _ in range(50):
        client.connect(access_token_expire_time=datetime.now(UTC) + HOUR)
    become_due(sql, client)
    other = new_client()
    account = connect(platform, other, sql)
    batch = KIND.lease("me")
    assert account.id in [leased.row.social_account_id for leased in batch]
    assert len(batch) == 3


# Accounts of one login with the same tokens.


def test_a_login_is_refreshed_once_for_all_its_accounts_however_many_are_due(
    platform: Rotating, refresher: Refresher, running: Running, client: Client, sql: Sql
) -> None:
    ids = connect_login(platform, client, running, sql, 2)
    [first, second] = lease(client)
    # Both are leased; whoever comes first takes both.
    refresher.refresh(second)
    refresher.refresh(first)
    assert len(platform.asked) == 1
    [(access, _)] = tokens_of(sql, client)
    assert platform.works(access)
    assert sql(DUE, client.project_id) == [LATER, LATER]
    assert [get(client, one).etag for one in ids] == ["2", "2"]
    assert lease(client) == []


def test_a_login_is_taken_by_one_while_it_is_asked_for(
    platform: Rotating, running: Running, client: Client, sql: Sql
) -> None:
    connect_login(platform, client, running, sql, 3)
    leased = lease(client)
    # As many as a batch has of one project.
    assert len(leased) == 2
    taking = take(leased[0])
    assert taking is not None
    assert len(taking.account_ids) == 3
    assert take(leased[1]) is None
    assert lease(client) == []
    # When the lease has run out another takes all, and the first has lost them.
    become_due(sql, client)
    again = lease(client, "another")
    assert all(one.ran_out for one in again)
    assert take(again[1]) is not None
    assert take(again[0]) is None
    assert taking.later(0) == taking.refuse(REFUSED, datetime.now(UTC)) == []


def test_a_refusal_is_that_of_all_accounts_of_the_login(
    platform: Rotating, refresher: Refresher, running: Running, client: Client, sql: Sql
) -> None:
    ids = connect_login(platform, client, running, sql, 3)
    other = connect(platform, client, sql)
    platform.answers = lambda _token: says(400, error="invalid_grant")
    for leased in lease(client):
        if leased.row.login_id:
            refresher.refresh(leased)
    assert len(platform.asked) == 1
    assert {get(client, one).state for one in ids} == {NEEDS_REAUTH}
    assert get(client, other.id).state == CONNECTED


def test_one_row_of_a_login_that_is_being_written_is_waited_for(
    platform: Rotating, refresher: Refresher, running: Running, client: Client, sql: Sql
) -> None:
    ids = connect_login(platform, client, running, sql, 2)
    [first, _] = lease(client)
    [other] = [one for one in ids if one != first.row.social_account_id]
    with closing(psycopg2.connect(running.database_url)) as connection:
        connection.cursor().execute(
            "SELECT FROM social_account_token WHERE social_account_id = %s FOR UPDATE", [other]
        )
        refresher.refresh(first)
    assert platform.asked == []
    assert (True, True, True, 0) in sql(DUE, client.project_id)
    become_due(sql, client)
    refresh_all(refresher, client)
    assert len(platform.asked) == 1


# While the platform is asked.

MEANWHILE: dict[str, Callable[[Client, Any], Any]] = {
    "reconnected": lambda client, account: client.connect(account.platform_user_id, "alice"),
    "disconnected": lambda client, account: client(
        "SocialAccountService/DisconnectSocialAccount", social_account_id=account.id
    ),
    "deleted": lambda client, account: client(
        "SocialAccountService/DeleteSocialAccount", social_account_id=account.id
    ),
    "disconnected and reconnected": lambda client, account: (
        client("SocialAccountService/DisconnectSocialAccount", social_account_id=account.id),
        client.connect(account.platform_user_id, "alice"),
    ),
    "transferred": lambda client, account: client(
        "SocialAccountService/TransferSocialAccount",
        social_account_id=account.id,
        from_external_id="alice",
        to_external_id="bob",
    ),
}


@pytest.mark.parametrize("refuses", [False, True], ids=["new tokens", "a refusal"])
@pytest.mark.parametrize("what", MEANWHILE)
def test_what_happens_while_the_platform_is_asked(
    what: str,
    refuses: bool,
    platform: Rotating,
    refresher: Refresher,
    running: Running,
    client: Client,
    sql: Sql,
) -> None:
    """Nothing newer is overwritten; new tokens of what is gone are revoked, but none that may be a newer
    connection's."""
    account = connect(platform, client, sql, external_id="alice")
    seen: list[list[tuple[Any, ...]]] = []

    def answers(_token: str) -> Response | None:
        MEANWHILE[what](client, account)
        seen.append(stored(sql, client))
        return says(400, error="invalid_grant") if refuses else None

    platform.answers = answers
    refresh_all(refresher, client)
    if what == "transferred":
        after = get(client, account.id)
        assert (after.external_id, after.state) == ("bob", NEEDS_REAUTH if refuses else CONNECTED)
        assert {platform.works(access) for access, _ in tokens_of(sql, client)} == {not refuses}
        return
    assert [stored(sql, client)] == seen
    lost = sql("SELECT access_token FROM token_revocation WHERE project_id = %s", client.project_id)
    given = [VAULT.decrypt(token) for (token,) in lost if platform.works(VAULT.decrypt(token))]
    assert len(given) == (what in ("disconnected", "deleted") and not refuses)
    sql("DELETE FROM token_revocation WHERE project_id = %s", client.project_id)


@pytest.mark.parametrize("call", ["DisconnectSocialAccount", "DeleteSocialAccount"])
def test_a_disconnect_calls_the_refresh_off(
    call: str, platform: Rotating, refresher: Refresher, client: Client, sql: Sql
) -> None:
    """What is due, and what is leased already."""
    account = connect(platform, client, sql)
    [leased] = lease(client)
    client(f"SocialAccountService/{call}", social_account_id=account.id)
    refresher.refresh(leased)
    assert platform.asked == []
    connect(platform, client, sql)
    kept = client("SocialAccountService/ListSocialAccounts").social_accounts[0]
    client(f"SocialAccountService/{call}", social_account_id=kept.id)
    assert lease(client) == []


def test_of_a_login_those_that_stay_have_the_new_tokens(
    platform: Rotating, refresher: Refresher, running: Running, client: Client, sql: Sql
) -> None:
    ids = connect_login(platform, client, running, sql, 3)
    platform.answers = lambda _token: (
        client("SocialAccountService/DisconnectSocialAccount", social_account_id=ids[0]) and None
    )
    refresh_all(refresher, client)
    [(access, _)] = tokens_of(sql, client)
    assert platform.works(access)
    assert len(stored_tokens(sql, client)) == 2
    # Which go on to live.
    assert sql("SELECT id FROM token_revocation WHERE project_id = %s", client.project_id) == []


# What must not be lost.

AWAY = """
    CREATE SEQUENCE tries;
    CREATE FUNCTION away() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      IF NEW.access_token <> OLD.access_token AND nextval('tries') <= 3 THEN
        RAISE 'somebody was faster' USING ERRCODE = '40001';
      END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER away BEFORE UPDATE ON social_account_token FOR EACH ROW EXECUTE FUNCTION away()"""


def test_new_tokens_are_stored_again_until_the_database_takes_them(
    platform: Rotating, refresher: Refresher, client: Client, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(due_work, "RECORD_PAUSE_SECONDS", 0.01)
    connect(platform, client, sql)
    sql(AWAY)
    try:
        refresh_all(refresher, client)
    finally:
        sql("DROP FUNCTION away CASCADE; DROP SEQUENCE tries")
    [(access, _)] = tokens_of(sql, client)
    assert len(platform.asked) == 1
    assert platform.works(access)


def test_who_comes_back_after_the_lease_changes_nothing(
    platform: Rotating, refresher: Refresher, running: Running, client: Client, sql: Sql
) -> None:
    """Two that ask with the same refresh token: this platform ends all tokens then. The account says so,
    whoever of the two comes last."""
    account = connect(platform, client, sql)
    answered, may_end = threading.Event(), threading.Event()

    def slow(_token: str) -> None:
        answered.set()
        assert may_end.wait(20)

    platform.answers = slow
    [leased] = lease(client)
    paused = threading.Thread(target=refresher.refresh, args=[leased])
    paused.start()
    assert answered.wait(20)
    platform.answers = lambda _token: None
    become_due(sql, client)
    refresh_all(refresher, client)
    assert get(client, account.id).state == NEEDS_REAUTH
    before = stored(sql, client)
    may_end.set()
    paused.join(20)
    assert not paused.is_alive()
    assert stored(sql, client) == before


def test_the_worker_refreshes_at_the_sandbox_itself(client: Client, sql: Sql, running: Running) -> None:
    """Connected there for real; the worker's own wiring."""
    with Person("refreshed") as person:
        url = client("SocialAccountService/CreateAuthUrl", platform="PLATFORM_SANDBOX").url
        callback = person.agree(url)
    [account] = client("SocialAccountService/CompleteAuth", callback_url=callback).connected_accounts
    before = tokens_of(sql, client)
    for _ in range(2):
        become_due(sql, client)
        work_off(running.app)
    after = get(client, account.id)
    assert (after.state, int(after.etag)) == (CONNECTED, int(account.etag) + 2)
    assert not before & tokens_of(sql, client)
