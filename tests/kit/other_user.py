"""Another user of this machine, and servers that run as that user; only root can start them."""

import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kit.servers import REPOSITORY, Server, environment, new_server

OTHER = pwd.getpwnam("nobody")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may run a server as another user")


@dataclass
class Interpreter:
    """This Python, where every user may run it: root's own is often below a private home."""

    program: Path
    environment: dict[str, str]


def public_interpreter(folder: Path) -> Interpreter:
    """Copies the interpreter and its library into the folder, without the packages that tests don't need."""
    library = Path(sysconfig.get_path("stdlib"))
    unneeded = shutil.ignore_patterns("__pycache__", "test", "site-packages", "dist-packages", "config-*")
    shutil.copytree(library, folder / "lib" / library.name, ignore=unneeded)
    shared = Path(sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("INSTSONAME"))
    if sysconfig.get_config_var("Py_ENABLE_SHARED"):
        shutil.copy(shared, folder / "lib")
    (folder / "bin").mkdir()
    program = shutil.copy(Path(sys.executable).resolve(), folder / "bin" / "python3")
    packages = f"{REPOSITORY}:{sysconfig.get_path('purelib')}"
    return Interpreter(program, {"PYTHONPATH": packages, "LD_LIBRARY_PATH": str(folder / "lib")})


@dataclass
class OthersServer(Server):
    """`hitchpost serve` of the other user."""

    interpreter: Interpreter
    uid: int = OTHER.pw_uid

    def start(self) -> None:
        """Starts the process; `wait_ready` waits for it."""
        with self.log.open("ab") as errors, self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [self.interpreter.program, "-m", "server", "serve"],
                cwd=REPOSITORY,
                env=environment(**self.settings) | self.interpreter.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                user=self.uid,
                group=OTHER.pw_gid,
                extra_groups=[],
            )


def others_server(interpreter: Interpreter, folder: Path, data_dir: Path) -> OthersServer:
    """The other user's server in dev mode; its logs go to the folder. It has not been started."""
    server = new_server(folder, None, data_dir=str(data_dir))
    return OthersServer(server.settings, server.log, server.output, interpreter)
