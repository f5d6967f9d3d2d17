"""`hitchpost accounts forget`: nothing that is stored names the owner any longer, and nobody else notices."""

import secrets
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from server.base.identity import utc_now
from server.base.vault import Vault
from server.projects import projects
from server.projects.projects import CommandError
from server.run import forget
from tests.conftest import ENCRYPTION_KEY, Running
from tests.kit.due import work_off
from tests.kit.dump import decrypted, dump, holding
from tests.kit.servers import hitchpost, locked_row, printed, refused
from tests.kit.support import Client, code_of, import_request, secret
from tools.person import Person

Sql = Callable[..., list[tuple[Any, ...]]]
IMPORT, POST = "SocialAccountService/ImportSocialAccount", "SocialPostService/CreateSocialPost"
VAULT = Vault(ENCRYPTION_KEY)
# Tables whose rows say whose they are; what the sandbox keeps is the pretend platform's own.
NOT_OURS = "sandbox_grant"


def name(of: str) -> str:
    """A name that nothing else holds by chance."""
    return f"{of}-{secrets.token_hex(6)}"


def erase(client: Client, owner: str, *, clock: Callable[[], Any] = utc_now) -> list[int]:
    """Forgets the owner; how large the batches were."""
    batches: list[int] = []
    forget.forget(projects.find(client.project_id), owner, clock, batches.append)
    return batches


def everything(sql: Sql, client: Client) -> list[tuple[str, bytes]]:
    """Every value that the project's rows have."""
    return sorted((value.place, value.stored) for value in dump(sql) if value.project_id == client.project_id)


def found(sql: Sql, client: Client, *texts: str) -> list[tuple[str, str]]:
    """Where the project's rows, and those that say no project, have any of these texts, encrypted or not."""
    values = (
        value
        for value in dump(sql)
        if value.project_id in (client.project_id, None) and not value.place.startswith(NOT_OURS)
    )
    return holding(decrypted(values, VAULT), *texts)


class Story:
    """Two owners, alice and bob, and all that a project can know of them; alice is to be forgotten."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.alice, self.bob, self.carol = name("alice"), name("bob"), name("carol")
        self.handles = [name("handle") for _ in range(6)]
        self.tokens = [secret() for _ in range(8)]
        self.requests: list[Any] = []

    def play(self, person: Person, page: str) -> None:
        """`person` is alice's, with a browser; `page` is a profile of hers that bob manages, too."""
        client, (own, late, gone, given, taken, bobs) = self.client, self.handles[:6]
        first = self.import_(own, self.alice, display_name=f"Name of {own}", metadata={"of": own})
        # Nobody's at first, claimed by an update; disconnected; deleted; transferred, to her and from her.
        unowned = self.import_(late, None)
        client(
            "SocialAccountService/UpdateSocialAccount",
            social_account={"id": unowned.id, "external_id": self.alice},
            update_mask={"paths": ["external_id"]},
        )
        self.call("Disconnect", self.import_(name("left"), self.alice).id)
        self.call("Delete", self.import_(gone, self.alice).id)
        self.transfer(self.import_(given, self.carol).id, self.carol, self.alice)
        self.kept = self.import_(taken, self.alice)
        self.transfer(self.kept.id, self.alice, self.bob)
        self.bobs = self.import_(bobs, self.bob)
        # Attempts: open, completed, to reconnect, and bob's, which is refused one of her profiles.
        self.connect(person, external_id=self.alice)
        self.begin(external_id=self.alice)
        self.begin(social_account_id=first.id, external_id=self.alice)
        with Person(name("bobs"), [page]) as theirs:
            self.connect(theirs, external_id=self.bob)
        self.begin(external_id=self.bob)
        # Posts: to her alone, to both, and to bob with her id as their tag.
        self.post(first.id, caption="hers")
        self.mixed = self.post(
            first.id,
            self.bobs.id,
            account_overrides=[{"social_account_id": first.id, "caption": f"from {own}"}],
        )
        self.tagged = self.post(self.bobs.id, external_id="a campaign")

    def import_(self, handle: str, owner: str | None, **fields: Any) -> Any:
        request = import_request(handle, owner, request_id=name("request"), **fields)
        self.requests.append(request)
        return self.client(IMPORT, request).social_account

    def post(self, *account_ids: str, **fields: Any) -> Any:
        post = {"caption": "hello", "social_account_ids": account_ids, **fields}
        return self.client(POST, social_post=post, request_id=name("request")).social_post

    def call(self, verb: str, account_id: str) -> None:
        self.client(f"SocialAccountService/{verb}SocialAccount", social_account_id=account_id)

    def transfer(self, account_id: str, owner: str, to: str) -> None:
        self.client(
            "SocialAccountService/TransferSocialAccount",
            social_account_id=account_id,
            from_external_id=owner,
            to_external_id=to,
        )

    def begin(self, **fields: Any) -> str:
        fields = {"platform": "PLATFORM_SANDBOX", **fields}
        return str(self.client("SocialAccountService/CreateAuthUrl", **fields).url)

    def connect(self, person: Person, **fields: Any) -> None:
        person.open(person.agree(self.begin(**fields)))


@pytest.fixture
def story(client: Client, running: Running) -> Story:
    story, page = Story(client), name("page")
    with Person(name("person"), [page]) as person:
        story.handles += [person.handle, page]
        story.play(person, page)
    return story


def test_nothing_that_is_stored_names_the_owner(story: Story, running: Running, sql: Sql) -> None:
    client, hers = story.client, [story.alice, *story.handles[:4], *story.handles[6:]]
    tokens = [token for request in story.requests for token in (request.access_token, request.refresh_token)]
    places = {place.partition(".")[0] for place, _ in found(sql, client, *hers)}
    assert places == {
        "social_account",
        "auth_session",
        "social_post_target",
        "idempotent_request",
        "audit_event",
    }
    assert found(sql, client, *tokens)
    assert sum(erase(client, story.alice)) == 8
    # Those that are to be revoked are there until they are, encrypted, and name nobody.
    assert found(sql, client, *hers) == []
    kept = {story.kept.platform_user_id, story.bobs.platform_user_id}
    others = [
        t for r in story.requests if r.platform_user_id in kept for t in (r.access_token, r.refresh_token)
    ]
    work_off(running.app)
    assert found(sql, client, *(set(tokens) - set(others))) == []
    assert {token for _, token in found(sql, client, *others)} == set(others)


def test_others_rows_stay_byte_for_byte(story: Story, stranger: Client, running: Running, sql: Sql) -> None:
    """Those of the same owner's id in another project, too."""
    theirs = Story(stranger)
    theirs.alice, theirs.bob, theirs.handles = story.alice, story.bob, list(story.handles)
    with Person(story.handles[6], [story.handles[7]]) as person:
        theirs.play(person, story.handles[7])
    before = everything(sql, stranger)
    bobs = bob_has(running, story)
    assert [len(rows) for rows in bobs] == [3, 2, 1, 2, 1]
    erase(story.client, story.alice)
    assert everything(sql, stranger) == before
    assert bob_has(running, story) == bobs


# What is bob's: accounts with tokens, their targets, the post to them alone, attempts but for the refusal.
BOBS = (
    """SELECT to_jsonb(account), to_jsonb(token) FROM social_account account
    JOIN social_account_token token ON social_account_id = id
    WHERE account.project_id = %(project)s AND external_id = %(bob)s ORDER BY id""",
    """SELECT to_jsonb(target) FROM social_post_target target
    JOIN social_account account ON id = social_account_id
    WHERE target.project_id = %(project)s AND external_id = %(bob)s ORDER BY social_post_id""",
    """SELECT to_jsonb(post) FROM social_post post
    WHERE project_id = %(project)s AND external_id = 'a campaign'""",
    """SELECT to_jsonb(attempt) - 'result' - 'receipt_hash' FROM auth_session attempt
    WHERE project_id = %(project)s AND external_id = %(bob)s ORDER BY create_time""",
    """SELECT to_jsonb(answer) FROM idempotent_request answer
    WHERE project_id = %(project)s AND position(%(bob)s::bytea IN response) > 0 ORDER BY create_time""",
)


def bob_has(running: Running, story: Story) -> list[list[tuple[Any, ...]]]:
    named = {"project": story.client.project_id, "bob": story.bob}
    with closing(psycopg2.connect(running.database_url)) as connection:
        cursor = connection.cursor()
        found = []
        for select in BOBS:
            cursor.execute(select, named)
            found.append(cursor.fetchall())
    return found


def test_what_becomes_of_a_post_to_several_owners(story: Story) -> None:
    client = story.client
    erase(client, story.alice)
    post = client("SocialPostService/GetSocialPost", social_post_id=story.mixed.id).social_post
    assert list(post.social_account_ids) == [story.bobs.id]
    assert (post.caption, list(post.account_overrides)) == ("hello", [])
    assert post.etag != story.mixed.etag
    assert client.draft(*post.social_account_ids, caption="goes on").id


def test_a_tag_is_no_owner(client: Client, sql: Sql) -> None:
    alice, bob = name("alice"), name("bob")
    account = client.connect(external_id=bob)
    tagged = client.draft(account.id, external_id=alice)
    hers = client.draft(client.connect(external_id=alice).id, external_id=bob)
    known = forget.known(projects.find(client.project_id), alice)
    assert (known.accounts, known.posts) == (1, (1, 0, 1))
    erase(client, alice)
    assert sql("SELECT id FROM social_post WHERE project_id = %s", client.project_id) == [(tagged.id,)]
    assert client.fails("SocialPostService/GetSocialPost", social_post_id=hers.id).code == "NOT_FOUND"


def test_a_request_that_is_repeated_afterwards_connects_nothing(story: Story, sql: Sql) -> None:
    client, alice = story.client, story.alice
    erase(client, alice)
    ends = Counter[str]()
    for request in story.requests:
        if alice in (request.external_id, "") or request.platform_user_id in story.handles[:5]:
            ends[client.fails(IMPORT, request).reason] += 1
        elif request.external_id == story.bob:
            assert client(IMPORT, request).social_account == story.bobs
            ends["the same again"] += 1
    assert ends == {"REQUEST_ID_REUSED": 6, "the same again": 1}
    assert forget.known(projects.find(client.project_id), alice).accounts == 0


def test_only_answers_about_the_owner_are_erased(client: Client) -> None:
    """Though the owner's id is a part of everybody's."""
    requests = [import_request(name("x"), owner, request_id=name("r")) for owner in ("a", "aa", "ba", None)]
    answers = [client(IMPORT, request) for request in requests]
    erase(client, "a")
    assert client.fails(IMPORT, requests[0]).reason == "REQUEST_ID_REUSED"
    assert [client(IMPORT, request) for request in requests[1:]] == answers[1:]


def test_the_profile_can_be_connected_by_somebody_else(client: Client) -> None:
    alice, bob, profile = name("alice"), name("bob"), name("profile")
    first = client.connect(profile, alice)
    assert client.fails(IMPORT, import_request(profile, bob)).reason == "OWNED_BY_ANOTHER"
    erase(client, alice)
    second = client.connect(profile, bob)
    assert (second.external_id, second.id == first.id) == (bob, False)


MANY = 10_000
PLANT = """
    WITH accounts AS (
      INSERT INTO social_account
      SELECT 'sa_' || lpad(n::text, 26, '0'), %(project)s, 1, n::text, %(owner)s, 'mia', '', '', 1, '{}',
        NULL, '{}', 1, now(), now(), now()
      FROM generate_series(1, %(many)s) n
    ), posts AS (
      INSERT INTO social_post
      SELECT 'sp_' || lpad(n::text, 26, '0'), %(project)s, NULL, 'hello', '[]', NULL, 1, '{}', 1, now(), now()
      FROM generate_series(1, %(many)s) n
    )
    INSERT INTO social_post_target (project_id, social_post_id, social_account_id, position, state)
    SELECT %(project)s, 'sp_' || lpad(n::text, 26, '0'), 'sa_' || lpad(n::text, 26, '0'), 0, 1
    FROM generate_series(1, %(many)s) n"""


def test_many_accounts_and_posts_are_erased_in_batches(client: Client, running: Running, sql: Sql) -> None:
    """In tables that PostgreSQL still believes to be small."""
    alice = name("alice")
    with closing(psycopg2.connect(running.database_url)) as connection:
        named = {"project": client.project_id, "owner": alice, "many": MANY}
        connection.cursor().execute(PLANT, named)
        connection.commit()
    batches = erase(client, alice)
    assert (sum(batches), max(batches)) == (2 * MANY, 500)
    assert [size for size in batches if size <= 100] == [100] * (MANY // 100)
    assert found(sql, client, alice) == []


def test_an_owners_app_goes_when_no_token_is_to_be_revoked_by_it(
    client: Client, running: Running, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forget, "PAUSE_SECONDS", 0.01)
    work_off(running.app)
    alice, bob = name("alice"), name("bob")
    account, project = client.connect(external_id=alice), client.project_id
    insert = """INSERT INTO platform_app
        SELECT %s, %s, 1, %s, '', 'client', %s, now(), now(), CASE WHEN %s THEN now() END"""
    for number, owner in enumerate((alice, alice, bob, "")):
        sealed = VAULT.encrypt(f"secret of {owner}")
        sql(insert, project, f"pa_{number}", owner, sealed, number == 1)
    sql("UPDATE social_account_token SET platform_app_id = 'pa_0' WHERE social_account_id = %s", account.id)
    with pytest.raises(CommandError, match="until tokens are revoked"):
        erase(client, alice)
    left = "SELECT id FROM platform_app WHERE project_id = %s ORDER BY id"
    assert sql(left, project) == [("pa_0",), ("pa_2",), ("pa_3",)]
    work_off(running.app)
    assert erase(client, alice) == []
    assert sql(left, project) == [("pa_2",), ("pa_3",)]
    assert found(sql, client, alice) == []


# Others at the same time.


def test_an_account_that_a_call_holds_is_waited_for_and_said(
    client: Client, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forget, "PAUSE_SECONDS", 0.01)
    alice = name("alice")
    held, other = client.connect(external_id=alice), client.connect(external_id=alice)
    with locked_row(running.database_url, held.id), pytest.raises(CommandError, match="run it again"):
        erase(client, alice)
    assert client("SocialAccountService/GetSocialAccount", social_account_id=held.id)
    gone = client.fails("SocialAccountService/GetSocialAccount", social_account_id=other.id)
    assert gone.code == "NOT_FOUND"
    assert erase(client, alice) == [1]


def test_a_post_that_is_made_meanwhile_is_erased_too(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forget, "PAUSE_SECONDS", 0.01)
    alice = name("alice")
    account, times = client.connect(external_id=alice), [3]

    def clock() -> Any:
        """Asked before each batch of accounts."""
        if times[0]:
            times[0] -= 1
            client.draft(account.id)
        return utc_now()

    assert sum(erase(client, alice, clock=clock)) >= 2
    assert times == [0]
    assert client("SocialPostService/ListSocialPosts").social_posts == []


def test_calls_about_others_do_not_fail_meanwhile(client: Client) -> None:
    alice, bob = name("alice"), name("bob")
    bobs = [client.connect(external_id=bob) for _ in range(3)]
    hers = [client.connect(external_id=alice) for _ in range(60)]
    mixed = [client.draft(account.id, bobs[0].id) for account in hers for _ in range(3)]
    codes, stop = Counter[str](), threading.Event()

    def work(number: int) -> None:
        for step in range(100_000):
            if stop.is_set():
                return
            post = mixed[(number + 7 * step) % len(mixed)]
            codes[code_of(lambda post=post: change(post))] += 1
            codes[code_of(lambda: client.draft(bobs[1].id))] += 1
            codes[code_of(lambda: client.connect(bobs[2].platform_user_id, bob))] += 1

    def change(post: Any) -> None:
        fields = {"id": post.id, "social_account_ids": [bobs[0].id, bobs[1].id], "caption": "bob's"}
        mask = {"paths": ["caption", "social_account_ids"]}
        client("SocialPostService/UpdateSocialPost", social_post=fields, update_mask=mask)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    erase(client, alice)
    stop.set()
    for thread in threads:
        thread.join(30)
    assert codes.keys() == {"OK"}
    assert codes.total() > 10
    left = client("SocialPostService/ListSocialPosts", social_account_ids=[bobs[0].id], page_size=500)
    assert {post.id for post in left.social_posts} == {post.id for post in mixed}


# The command.


@pytest.fixture
def settings(running: Running) -> dict[str, str]:
    return {"database_url": running.database_url, "encryption_keys": ENCRYPTION_KEY}


def test_the_command_says_what_it_will_erase_and_asks(
    story: Story, settings: dict[str, str], sql: Sql
) -> None:
    before = everything(sql, story.client)
    asked = hitchpost("accounts", "forget", story.alice, "--project", story.client.project_id, **settings)
    assert asked.returncode == 1
    for line in (
        f"Of '{story.alice}' in project ",
        "6 accounts with their tokens",
        "3 attempts to connect",
        "1 posts that name no other account",
        "part of 1 posts that name accounts of others, too",
        "0 posts to accounts of others have this text as their tag, and stay.",
        "Go on? [y/N]: ",
    ):
        assert line in asked.stdout
    assert "Aborted" in asked.stderr
    assert everything(sql, story.client) == before
    said = printed(
        "accounts", "forget", story.alice, "--project", story.client.project_id, "--yes", **settings
    )
    assert said.endswith(f"'{story.alice}' is forgotten\n")
    assert found(sql, story.client, story.alice) == []
    # Again it finds nothing, which is no error.
    again = printed(
        "accounts", "forget", story.alice, "--project", story.client.project_id, "--yes", **settings
    )
    assert "  0 accounts" in again


def test_what_the_command_refuses(client: Client, stranger: Client, settings: dict[str, str]) -> None:
    assert "no project 'nobody'" in refused(
        "accounts", "forget", "x", "--project", "nobody", "--yes", **settings
    )
    assert "say which by --project" in refused("accounts", "forget", "x", "--yes", **settings)
