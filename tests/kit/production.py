"""The blocks of docs/production.md, as they are pasted, with what a test has in place of a machine's."""

import os
import re
import sys
from pathlib import Path

from tests.kit.servers import REPOSITORY

PAGE = (REPOSITORY / "docs" / "production.md").read_text()


def block(heading: str, number: int = 0) -> str:
    """A block of a shell below this heading."""
    section = re.split(r"\n##+ ", PAGE.partition(f" {heading}\n")[2])[0]
    found: list[str] = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return found[number]


def statements() -> list[str]:
    """What a superuser makes the role and the database with."""
    [found] = re.findall(r"<<SQL\n(.*?)\nSQL\n", block("The database"), re.DOTALL)
    return found.replace("$DATABASE_PASSWORD", "secret").splitlines()


def here(script: str, folder: Path, database_url: str) -> str:
    """The same in this folder instead of /etc and /var, by this interpreter, as ourselves."""
    replaced = re.sub(
        r"(?m)^(HITCHPOST_DATABASE_URL)=.*$", lambda found: f"{found[1]}={database_url}", script
    )
    for written, real in (
        ("/opt/hitchpost/bin/hitchpost", f"{sys.executable} -m server"),
        ("runuser -u hitchpost -- ", ""),
        ("chown hitchpost ", "ls "),
        ("/etc/hitchpost", str(folder)),
        ("/var/lib/hitchpost", str(folder)),
    ):
        replaced = replaced.replace(written, real)
    return replaced


def environment() -> dict[str, str]:
    """What the pasted needs of ours: it is for a machine that has no repository."""
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY)}
