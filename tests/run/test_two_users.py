"""Several users of one machine run the embedded database at the same time, each with data of its own."""

import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from server.run import embedded
from tests.kit.other_user import OTHER, OthersServer, needs_root, others_server, public_interpreter
from tests.kit.servers import Server, local_channel, refused, serving, started
from tests.kit.support import Client, unique

pytestmark = needs_root
TOO_LONG_FOR_A_SOCKET = "long" * 20


@pytest.fixture(scope="module")
def new_others_server(run_dir: Path) -> Callable[[Path], OthersServer]:
    """Makes a server of the other user with this data folder."""
    interpreter = public_interpreter(run_dir / unique("python"))
    run_dir.chmod(0o755)
    return lambda data_dir: others_server(interpreter, run_dir, data_dir)


@pytest.fixture
def others_home() -> Iterator[Path]:
    """A folder of the other user."""
    home = Path(tempfile.mkdtemp(prefix="hp-", dir="/tmp"))
    os.chown(home, OTHER.pw_uid, OTHER.pw_gid)
    yield home
    shutil.rmtree(home)


def lists_accounts(server: Server, data_dir: Path) -> bool:
    """Whether a call with the server's dev key succeeds."""
    with closing(local_channel(server.address)) as channel:
        client = Client(channel, embedded.dev_key_file(data_dir).read_text().strip())
        return len(client("SocialAccountService/ListSocialAccounts").social_accounts) == 0


def refused_to(server: OthersServer) -> str:
    """The one line that the server ends with."""
    server.start()
    try:
        assert server.wait() == 1
    finally:
        server.kill()
    [line] = server.log.read_text().splitlines()
    return line


def test_two_users_of_one_machine_run_it_at_the_same_time(
    run_dir: Path, others_home: Path, new_others_server: Callable[[Path], OthersServer]
) -> None:
    ours, theirs = run_dir / unique("data"), others_home / "data"
    with (
        serving(run_dir, None, data_dir=str(ours)) as server,
        started(new_others_server(theirs)) as other,
    ):
        assert lists_accounts(server, ours)
        assert lists_accounts(other, theirs)
        assert {path.owner() for path in theirs.rglob("*")} == {OTHER.pw_name}


def test_a_path_too_long_for_a_socket_gets_one_in_a_private_folder(
    others_home: Path,
    new_others_server: Callable[[Path], OthersServer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TMPDIR", str(others_home))
    data_dir = others_home / TOO_LONG_FOR_A_SOCKET
    with started(new_others_server(data_dir)) as server:
        assert lists_accounts(server, data_dir)
        [socket] = others_home.glob("hitchpost-*/*/.s.PGSQL.5432")
        private = socket.parent.parent
        assert len(os.fsencode(socket)) < 107
        assert (private.owner(), stat.S_IMODE(private.stat().st_mode)) == (OTHER.pw_name, 0o700)


def test_a_private_folder_that_is_somebody_elses_is_not_used(
    others_home: Path,
    new_others_server: Callable[[Path], OthersServer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TMPDIR", str(others_home))
    private = others_home / f"hitchpost-{OTHER.pw_uid}"
    private.mkdir()
    said = refused_to(new_others_server(others_home / TOO_LONG_FOR_A_SOCKET))
    assert str(private) in said
    assert "TMPDIR" in said


def test_as_root_a_path_too_long_for_a_socket_is_refused(run_dir: Path) -> None:
    data_dir = run_dir / TOO_LONG_FOR_A_SOCKET
    said = refused("migrate", data_dir=str(data_dir))
    assert str(data_dir) in said
    assert "HITCHPOST_DATA_DIR" in said


def test_a_data_folder_of_another_user_is_one_clear_line(
    run_dir: Path, new_others_server: Callable[[Path], OthersServer]
) -> None:
    data_dir = run_dir / unique("data")
    data_dir.mkdir()
    said = refused_to(new_others_server(data_dir))
    assert str(data_dir) in said
    assert "another user" in said
    assert "HITCHPOST_DATA_DIR" in said


def test_a_user_without_a_name_is_told_so(
    others_home: Path, new_others_server: Callable[[Path], OthersServer]
) -> None:
    server = new_others_server(others_home / "data")
    server.uid = 54_321
    with pytest.raises(KeyError):
        pwd.getpwuid(server.uid)
    said = refused_to(server)
    assert "54321" in said
    assert "HITCHPOST_DATABASE_URL" in said
