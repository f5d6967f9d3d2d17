"""A backup, restored into another cluster: what was stored is there, and the keys that were kept read it."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from server.base.vault import Vault, new_key
from tests.conftest import ENCRYPTION_KEY
from tests.kit import production
from tests.kit.postgres import PROGRAMS, Node
from tests.kit.servers import hitchpost, local_channel, printed, rows, serving
from tests.kit.support import Client, import_request, unique

DUMP, RESTORE = production.block("Backup and restore", 0), production.block("Backup and restore", 1)
LIST = "SocialAccountService/ListSocialAccounts"


@pytest.fixture
def new_cluster(run_dir: Path) -> Iterator[Callable[[], Node]]:
    """Makes a cluster that has what the page's statements make, and runs it until the end of the test."""
    nodes: list[Node] = []

    def make() -> Node:
        node = Node(run_dir / unique("cluster"))
        nodes.append(node)
        node.initialize()
        node.start()
        for statement in production.statements():
            node.execute(statement)
        return node

    yield make
    for node in nodes:
        node.stop()


def url(node: Node) -> str:
    """Hitchpost's database there, as its settings have it."""
    return f"postgresql://hitchpost@{node.address}/hitchpost"


def pasted(line: str, node: Node, folder: Path) -> None:
    """Runs a command of PostgreSQL's superuser against this cluster."""
    where = {"PGHOST": "127.0.0.1", "PGPORT": str(node.port), "PGUSER": "postgres"}
    path = f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"
    command = line.replace("runuser -u postgres -- ", "")
    subprocess.run(
        ["bash", "-ec", command], cwd=folder, env=os.environ | where | {"PATH": path}, check=True, timeout=120
    )


def test_a_restored_cluster_serves_what_was_stored(
    new_cluster: Callable[[], Node], run_dir: Path, tmp_path: Path
) -> None:
    before, after = new_cluster(), new_cluster()
    printed("migrate", database_url=url(before), encryption_keys=ENCRYPTION_KEY)
    imported = import_request("42", "user_123")
    with serving(run_dir, url(before)) as server, closing(local_channel(server.address)) as channel:
        client = server.new_client(channel)
        account = client("SocialAccountService/ImportSocialAccount", imported).social_account
        # While the server serves.
        pasted(DUMP, before, tmp_path)
    before.stop()
    restore, doctor = RESTORE.strip().splitlines()
    pasted(restore, after, tmp_path)
    assert doctor == "hitchpost doctor"
    assert "FAIL" not in printed("doctor", database_url=url(after), encryption_keys=ENCRYPTION_KEY)
    [(token,)] = rows(url(after), "SELECT access_token FROM social_account_token")
    assert Vault(ENCRYPTION_KEY).decrypt(token) == imported.access_token
    with serving(run_dir, url(after)) as server, closing(local_channel(server.address)) as channel:
        again = Client(channel, client.key)(LIST, external_ids=["user_123"]).social_accounts
    assert list(again) == [account]
    # The backup alone is of no use to anybody.
    ran = hitchpost("doctor", database_url=url(after), encryption_keys=new_key())
    assert ran.returncode == 1
    assert "FAIL  encryption keys" in ran.stdout
