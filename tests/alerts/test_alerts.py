"""Each alert fires when what it is about happens to a real server, and resolves when that is mended."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg2
import pytest

from server.base.vault import Vault
from tests.alerts.scrapes import PROMTOOL, Scrape, Story
from tests.conftest import ENCRYPTION_KEY
from tests.kit.certificates import Authority
from tests.kit.postgres import Node
from tests.kit.sandbox import SandboxApp
from tests.kit.servers import Server, eventually, local_channel, rows, serving
from tests.kit.support import Client, code_of, unique

pytestmark = pytest.mark.skipif(PROMTOOL is None, reason="needs promtool, of Debian's package prometheus")

LIST = "SocialAccountService/ListSocialAccounts"
SOUND: set[str] = set()
SECONDS = 120.0


@pytest.fixture(scope="module")
def node(run_dir: Path) -> Iterator[Node]:
    """A PostgreSQL of these tests' own."""
    node = Node(run_dir / unique("alerts"))
    node.initialize()
    node.start()
    yield node
    node.stop()


@pytest.fixture(scope="module")
def server(run_dir: Path, node: Node) -> Iterator[Server]:
    """A whole node of Hitchpost."""
    with serving(run_dir, node.url) as server:
        seen(server, lambda scrape: scrape.value("worker_serving") == 1, "the worker serves")
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    """A client with a project of its own."""
    with local_channel(server.address) as channel:
        yield server.new_client(channel)


def seen(server: Server, sign: Callable[[Scrape], bool], what: str) -> Scrape:
    """The first scrape that has this sign."""

    def look() -> Scrape | None:
        scrape = Scrape(server.settings["web_address"])
        return scrape if sign(scrape) else None

    scrape: Scrape = eventually(what, look, SECONDS, every=1.0)
    return scrape


def sound(server: Server) -> Scrape:
    """What it tells when there is nothing to tell."""

    def fine(scrape: Scrape) -> bool:
        return bool(scrape.value("worker_serving") == 1 and scrape.value("database_up", role="grpc") == 1)

    return seen(server, fine, "all is well")


def fires(name: str, story: Story, folder: Path) -> None:
    """In trouble this alert fires, and no other; before and after none."""
    assert story.firing(folder) == (SOUND, {name}, SOUND)


def test_database_away(server: Server, node: Node, tmp_path: Path) -> None:
    before = sound(server)
    node.stop()
    trouble = seen(server, lambda scrape: scrape.value("database_up") == 0, "no process has it")
    node.start()
    up = ("grpc", "web", "worker")
    after = seen(
        server,
        lambda scrape: scrape.value("database_up") == len(up) and scrape.value("worker_serving") == 1,
        "all have it",
    )
    fires("HitchpostDatabaseAway", Story(before, trouble, after), tmp_path)


def test_node_down(server: Server, run_dir: Path, node: Node, tmp_path: Path) -> None:
    """One of two: the other goes on."""
    with serving(run_dir, node.url) as other:
        addresses = (server.settings["web_address"], other.settings["web_address"])
        sound(other)
        before = Scrape(*addresses)
        other.kill()
        trouble = Scrape(*addresses)
        other.start()
        sound(other)
        fires("HitchpostDown", Story(before, trouble, Scrape(*addresses)), tmp_path)


def test_internal_errors(server: Server, node: Node, client: Client, tmp_path: Path) -> None:
    """A database that somebody has changed by hand, as a defect would end calls."""

    def codes(wanted: str) -> bool:
        return code_of(lambda: client(LIST)) == wanted

    eventually("calls are answered", lambda: codes("OK"))
    before = seen(server, lambda scrape: scrape.value("calls_total", method=LIST, code="OK") > 0, "calls")
    node.execute("ALTER TABLE social_account RENAME TO lost")
    try:
        eventually("they fail", lambda: codes("INTERNAL"))
        assert all(codes("INTERNAL") for _ in range(9))
        trouble = seen(server, lambda scrape: scrape.value("calls_total", code="INTERNAL") >= 10, "INTERNAL")
    finally:
        node.execute("ALTER TABLE lost RENAME TO social_account")
    eventually("they are answered again", lambda: codes("OK"))
    more = before.value("calls_total", code="OK") + 1
    after = seen(server, lambda scrape: scrape.value("calls_total", code="OK") >= more, "calls again")
    fires("HitchpostInternalErrors", Story(before, trouble, after), tmp_path)


def test_calls_shed(run_dir: Path, new_database: Callable[[], str], tmp_path: Path) -> None:
    few = {"threads": "1", "max_waiting_calls": "1"}
    with (
        serving(run_dir, new_database(), **few) as server,
        local_channel(server.address) as channel,
    ):
        client = server.new_client(channel)
        client(LIST)
        sound(server)
        before = seen(server, lambda scrape: scrape.value("calls_total", code="OK") >= 1, "a call")
        stop = threading.Event()

        def call() -> None:
            while not stop.is_set():
                code_of(lambda: client(LIST))

        with ThreadPoolExecutor(32) as pool:
            for _ in range(32):
                pool.submit(call)
            try:
                trouble = seen(
                    server,
                    lambda scrape: scrape.value("calls_shed_total", lane="read") >= 50,
                    "they are shed",
                )
            finally:
                stop.set()
        # All that were shed have been counted when what came later has.
        eventually("calls are answered", lambda: code_of(lambda: client(LIST)) == "OK")
        settled = Scrape(server.settings["web_address"])
        eventually("calls are answered", lambda: code_of(lambda: client(LIST)) == "OK")
        more = settled.value("calls_total", code="OK")
        after = seen(server, lambda scrape: scrape.value("calls_total", code="OK") > more, "calls again")
        # Those that were shed after the scrape belong to the trouble.
        trouble.values |= {key: after.values[key] for key in after.values if "shed" in key[0]}
        fires("HitchpostCallsShed", Story(before, trouble, after), tmp_path)


def test_certificate_ends(run_dir: Path, new_database: Callable[[], str], tmp_path: Path) -> None:
    authority = Authority("alerts", valid=timedelta(days=400))
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"

    def put(days: int) -> None:
        identity = authority.identity("127.0.0.1", valid=timedelta(days=days))
        certificate.write_bytes(identity.certificate)
        key.write_bytes(identity.key)

    def left(scrape: Scrape) -> float:
        return (scrape.value("tls_certificate_expiry_seconds") - time.time()) / 86_400

    put(90)
    files = {"tls_cert": str(certificate), "tls_key": str(key)}
    with serving(run_dir, new_database(), **files) as server:
        sound(server)
        before = seen(server, lambda scrape: left(scrape) > 80, "it is good for long")
        put(3)
        trouble = seen(server, lambda scrape: left(scrape) < 4, "it ends soon")
        put(90)
        after = seen(server, lambda scrape: left(scrape) > 80, "it is good again")
        fires("HitchpostCertificateEnds", Story(before, trouble, after), tmp_path)


PLANT = """
    INSERT INTO token_revocation (project_id, id, platform, social_account_id, access_token, create_time,
      due_time, lease_time, attempt, worker)
    SELECT project.id, %s || n, 1, 'sa_1', %s, now(), now() - interval '10 minutes', %s, 1, %s
    FROM project, generate_series(1, %s) n WHERE project.id = %s"""
TOKENS = Vault(ENCRYPTION_KEY).encrypt("secret-0-kept")


def late(scrape: Scrape) -> bool:
    """Whether tokens wait for long to be revoked."""
    return scrape.value("due_work_late_seconds", kind="revocations") > 120


def idle(url: str) -> bool:
    """Whether nothing is left to be revoked now."""
    return rows(url, "SELECT 1 FROM token_revocation WHERE due_time <= now()") == []


def test_no_worker_serves_and_due_work_is_late(
    server: Server, node: Node, client: Client, tmp_path: Path
) -> None:
    """What is due is kept from the worker, which leases nothing for a minute."""
    before = sound(server)
    # Locked before anybody sees them.
    with closing(psycopg2.connect(node.url)) as keeper, keeper.cursor() as cursor:
        cursor.execute("LOCK TABLE token_revocation IN SHARE ROW EXCLUSIVE MODE")
        cursor.execute(PLANT, ("held", TOKENS, None, None, 3, client.project_id))
        keeper.commit()
        cursor.execute("SELECT 1 FROM token_revocation FOR UPDATE")
        trouble = seen(
            server,
            lambda scrape: (
                scrape.value("worker_serving") == 0 and scrape.value("due_work_late_seconds") > 120
            ),
            "the worker does nothing",
        )
    after = seen(
        server,
        lambda scrape: scrape.value("worker_serving") == 1 and not late(scrape),
        "it works again",
    )
    both = {"HitchpostNoWorkerServes", "HitchpostDueWorkLate"}
    assert Story(before, trouble, after).firing(tmp_path) == (SOUND, both, SOUND)


def test_leases_run_out(server: Server, node: Node, client: Client, tmp_path: Path) -> None:
    """What a killed worker leaves is taken again."""
    before = sound(server)
    wanted = before.value("due_work_retaken_total", kind="revocations") + 60
    long_ago = datetime.now(UTC) - timedelta(minutes=20)
    rows(node.url, PLANT, unique("tr"), TOKENS, long_ago, "dead", 60, client.project_id)
    trouble = seen(
        server,
        lambda scrape: (
            scrape.value("due_work_retaken_total", kind="revocations") >= wanted
            and scrape.value("due_work_late_seconds") < 120
        ),
        "they are taken again",
    )
    eventually("they are done", lambda: idle(node.url))
    fires("HitchpostLeasesRunOut", Story(before, trouble, sound(server)), tmp_path)


def test_targets_stuck(server: Server, node: Node, client: Client, tmp_path: Path) -> None:
    """A target that nobody goes on with, aged by hand: nobody waits ten minutes here."""
    post = client.draft(client.connect().id)
    before = sound(server)
    change = (
        "UPDATE social_post_target SET state = %s, send_time = now() - %s::interval WHERE social_post_id = %s"
    )
    rows(node.url, change, 2, "11 minutes", post.id)
    trouble = seen(server, lambda scrape: scrape.value("targets_stuck") == 1, "it is stuck")
    rows(node.url, change, 3, "11 minutes", post.id)
    after = seen(server, lambda scrape: scrape.value("targets_stuck") == 0, "it is not")
    fires("HitchpostTargetsStuck", Story(before, trouble, after), tmp_path)


class Sandbox:
    """An account of the sandbox, and posts that are sent to it."""

    def __init__(self, server: Server, client: Client) -> None:
        self.server, self.client = server, client
        self.app = SandboxApp(server.web_url)
        handle = unique("handle")
        token = self.app.signed_in(handle).token
        request = {
            "platform": "PLATFORM_SANDBOX",
            "platform_user_id": handle,
            "username": handle,
            "access_token": token,
        }
        connected = client("SocialAccountService/ImportSocialAccount", **request)
        self.account = connected.social_account.id

    def send(self, number: int) -> list[str]:
        """Posts that are due at once, by their ids."""
        ids = [self.client.draft(self.account, caption=unique("post")).id for _ in range(number)]
        for post_id in ids:
            self.client("SocialPostService/PublishSocialPost", social_post_id=post_id)
        return ids

    def settled(self, number: float, **labels: str) -> Scrape:
        """When so many targets have settled like this."""
        return seen(
            self.server,
            lambda scrape: scrape.value("targets_settled_total", **labels) >= number,
            f"{number} targets are {labels}",
        )


@pytest.fixture
def sandbox(server: Server, client: Client) -> Sandbox:
    """It has published a post, and one has FAILED, so that both are counted."""
    sandbox = Sandbox(server, client)
    told = Scrape(server.settings["web_address"])
    published = told.value("targets_settled_total", state="PUBLISHED")
    failed = told.value("targets_settled_total", state="FAILED", category="CONTENT")
    sandbox.send(4)
    sandbox.settled(published + 4, state="PUBLISHED")
    with sandbox.app.misbehaving("content"):
        sandbox.send(1)
        sandbox.settled(failed + 1, state="FAILED", category="CONTENT")
    return sandbox


def test_targets_fail(server: Server, sandbox: Sandbox, tmp_path: Path) -> None:
    before = sound(server)
    failed = before.value("targets_settled_total", state="FAILED") + 24
    published = before.value("targets_settled_total", state="PUBLISHED") + 2
    with sandbox.app.misbehaving("content"):
        sandbox.send(24)
        trouble = sandbox.settled(failed, state="FAILED")
    sandbox.send(2)
    after = sandbox.settled(published, state="PUBLISHED")
    fires("HitchpostTargetsFail", Story(before, trouble, after), tmp_path)


def test_targets_unconfirmed(server: Server, sandbox: Sandbox, tmp_path: Path) -> None:
    before = sound(server)
    with sandbox.app.misbehaving("drop"):
        posts = sandbox.send(12)
        trouble = seen(
            server, lambda scrape: scrape.value("targets_unconfirmed") == 12, "nobody knows of them"
        )
    for post_id in posts:
        sandbox.client(
            "SocialPostService/ResolveSocialPostTarget",
            social_post_id=post_id,
            social_account_id=sandbox.account,
            resolution="SOCIAL_POST_TARGET_RESOLUTION_PUBLISHED",
        )
    after = seen(server, lambda scrape: scrape.value("targets_unconfirmed") == 0, "somebody has looked")
    # Who closes connections without an answer is also a platform that fails.
    both = {"HitchpostTargetsUnconfirmed", "HitchpostPlatformFails"}
    assert Story(before, trouble, after).firing(tmp_path) == (SOUND, both, SOUND)


def test_platform_fails(server: Server, sandbox: Sandbox, tmp_path: Path) -> None:
    """Each post is tried anew later; by then it is mended."""
    other, third = (Sandbox(server, sandbox.client) for _ in range(2))
    before = sound(server)
    # So that there is a series of them before there are many.
    bad = before.value("platform_calls_total", platform="sandbox", outcome="failed")
    with sandbox.app.misbehaving("away", seconds=600):
        sandbox.send(1)
        before = seen(
            server,
            lambda scrape: scrape.value("platform_calls_total", platform="sandbox", outcome="failed") > bad,
            "a request fails",
        )
        # Others than the account that pauses now.
        other.send(3)
        bad = before.value("platform_calls_total", platform="sandbox", outcome="failed") + 1
        trouble = seen(
            server,
            lambda scrape: scrape.value("platform_calls_total", platform="sandbox", outcome="failed") >= bad,
            "requests fail",
        )
    good = trouble.value("platform_calls_total", platform="sandbox", outcome="ok")
    # Some may have failed since, each of them once.
    third.send(20)
    after = seen(
        server,
        lambda scrape: scrape.value("platform_calls_total", platform="sandbox", outcome="ok") >= good + 20,
        "requests are answered",
    )
    fires("HitchpostPlatformFails", Story(before, trouble, after), tmp_path)


def test_versions_differ(
    server: Server, run_dir: Path, new_database: Callable[[], str], tmp_path: Path
) -> None:
    """Another node is on a database with another schema. (Two builds there are none of here.)"""
    url = new_database()
    with serving(run_dir, url) as other:
        addresses = (server.settings["web_address"], other.settings["web_address"])
        sound(other)
        before = Scrape(*addresses)
        newest = seen(other, lambda scrape: scrape.value("schema_version") > 0, "it says which").value(
            "schema_version"
        )
        change = "UPDATE schema_migration SET name = %s || substr(name, 2) WHERE name LIKE %s"
        rows(url, change, "9", f"0{newest:03.0f}%")
        seen(other, lambda scrape: scrape.value("schema_version") > 9000, "it is another")
        trouble = Scrape(*addresses)
        rows(url, change, "0", f"9{newest:03.0f}%")
        seen(other, lambda scrape: scrape.value("schema_version") == newest, "it is the same again")
        fires("HitchpostVersionsDiffer", Story(before, trouble, Scrape(*addresses)), tmp_path)
