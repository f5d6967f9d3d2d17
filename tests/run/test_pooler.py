"""PgBouncer between Hitchpost and PostgreSQL: sessions that are kept, and sessions that are not."""

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from psycopg2.extensions import parse_dsn

from tests.conftest import ENCRYPTION_KEY
from tests.kit.postgres import USER
from tests.kit.servers import eventually, hitchpost, local_channel, refused, serving
from tests.kit.support import free_port, unique

# Debian has it where only root looks.
PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

pytestmark = pytest.mark.skipif(PGBOUNCER is None, reason="needs PgBouncer (Debian: pgbouncer)")


@contextmanager
def pooled(folder: Path, database_url: str, **settings: object) -> Iterator[str]:
    """Runs PgBouncer before this database until the end of the block, and gives the URL by it."""
    port, server = free_port(), parse_dsn(database_url)
    options = {
        "listen_addr": "127.0.0.1",
        "listen_port": port,
        "unix_socket_dir": "",
        "auth_type": "any",
        "default_pool_size": 5,
    }
    lines = [f"{name} = {value}" for name, value in (options | settings).items()]
    config = folder / f"{unique('pgbouncer')}.ini"
    config.write_text(
        f"[databases]\n{server['dbname']} = host={server['host']} user={server['user']}\n"
        "[pgbouncer]\n" + "\n".join(lines) + "\n"
    )
    with config.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen(
            [str(PGBOUNCER), str(config)], user=USER, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            eventually("PgBouncer listens", lambda: listens(port))
            yield f"postgresql://postgres@127.0.0.1:{port}/{server['dbname']}"
        finally:
            process.terminate()
            process.wait(20)


def listens(port: int) -> bool:
    """Whether somebody listens on this port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize(
    "mode",
    [
        {"pool_mode": "transaction"},
        {"pool_mode": "transaction", "server_round_robin": 1},
        {"pool_mode": "transaction", "default_pool_size": 1},
        {"pool_mode": "statement"},
    ],
    ids=lambda mode: "-".join(f"{name}={value}" for name, value in mode.items()),
)
def test_a_pooler_that_swaps_sessions_is_refused_with_what_to_do(
    mode: dict[str, object], run_dir: Path, new_database: Callable[[], str]
) -> None:
    with pooled(run_dir, new_database(), **mode) as url:
        settings = {"database_url": url, "encryption_keys": ENCRYPTION_KEY}
        addresses = {name: f"127.0.0.1:{free_port()}" for name in ("grpc_address", "web_address")}
        said = refused("serve", **settings, **addresses)
        assert said.startswith("hitchpost: HITCHPOST_DATABASE_URL leads to a pooler")
        assert "set pool_mode = session" in said
        diagnosed = hitchpost("doctor", **settings)
        assert diagnosed.returncode == 1
        assert "FAIL  database: HITCHPOST_DATABASE_URL leads to a pooler" in diagnosed.stdout


def test_a_pooler_that_keeps_sessions_will_do(run_dir: Path, new_database: Callable[[], str]) -> None:
    with (
        pooled(run_dir, new_database(), pool_mode="session", default_pool_size=30) as url,
        serving(run_dir, url) as server,
        closing(local_channel(server.address)) as channel,
    ):
        client = server.new_client(channel)
        account = client.connect()
        for _ in range(20):
            post = client.draft(account.id)
            assert client("SocialPostService/GetSocialPost", social_post_id=post.id).social_post == post
        assert hitchpost("doctor", **server.settings).returncode == 0
