"""The rooms of server/: who may import whom, who knows which library, and how long a file may be."""

import ast
from collections.abc import Iterator
from pathlib import PurePath

import pytest

from tests.kit.servers import REPOSITORY

# Each may import those behind it, and none before it: from what is run, over what is served and what is
# decided, to what knows nothing of the product. So a room can be read, tested and changed with only those
# behind it in mind; two that need each other are one, or lack a third.
ROOMS = (
    "cli",
    "commands",
    "run",
    "app",
    "config",
    "sandbox",
    "mcp",
    "web",
    "rpc",
    "publish",
    "posts",
    "accounts",
    "events",
    "projects",
    "storage",
    "platforms",
    "base",
)
FEATURES = ("publish", "posts", "accounts", "events", "projects")
GRPC = ("grpc", "grpc_health", "grpc_reflection", "grpc_status")
# Platforms know neither where things are kept nor how they are served; what a feature decides is the same
# however it is asked.
FOREIGN = {"platforms": ("peewee", "playhouse", "psycopg2", *GRPC), **dict.fromkeys(FEATURES, GRPC)}
# The inside of grpcio, which changes without notice.
INSIDE, KNOW_THE_INSIDE = "grpc._cython", ("server/rpc/call_loop.py", "server/rpc/exchange.py")
MOST_LINES = 400

FILES = sorted((REPOSITORY / "server").rglob("*.py"))


def imported(path: PurePath, tree: ast.AST) -> Iterator[str]:
    """The full name of each thing that is imported, also inside functions and for type checkers alone."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # A relative import begins at the file's package, and one level up for each further dot.
            package = path.parts[:-1][: len(path.parts) - node.level] if node.level else ()
            origin = ".".join([*package, *([node.module] if node.module else [])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def room(dotted: str) -> str:
    """The room of a module of server."""
    inside = dotted.split(".")[1:]
    # `python -m server` is the command line.
    return "cli" if inside[:1] == ["__main__"] else ".".join(inside[:1])


def within(name: str, package: str) -> bool:
    """Whether it is this package or something in it."""
    return f"{name}.".startswith(f"{package}.")


def violations(path: PurePath, source: str) -> list[str]:
    """What a file of server/ imports that it must not, in words; `path` is from the repository's root."""
    own = room(".".join(path.with_suffix("").parts))
    names = list(imported(path, ast.parse(source)))
    found = [
        f"{path}: {own} imports {name}, but {room(name) or 'server'} is not behind {own}"
        for name in names
        if within(name, "server") and room(name) not in ROOMS[ROOMS.index(own) :]
    ]
    found += [
        f"{path}: {own} imports {name}, but is to know nothing of {package}"
        for name in names
        for package in FOREIGN.get(own, ())
        if within(name, package)
    ]
    if path.as_posix() not in KNOW_THE_INSIDE:
        found += [f"{path}: imports {name}, grpcio's inside" for name in names if within(name, INSIDE)]
    return found


def test_every_file_is_in_a_room() -> None:
    rooms = {file.relative_to(REPOSITORY / "server").parts[0].removesuffix(".py") for file in FILES}
    assert rooms - {"__init__", "__main__"} <= set(ROOMS)
    # The order is of no use once the files are elsewhere.
    assert {"cli", "rpc", "accounts", "base"} < rooms


def test_no_file_imports_what_its_room_must_not() -> None:
    # The package itself has nothing in it.
    files = [file.relative_to(REPOSITORY) for file in FILES if file != REPOSITORY / "server" / "__init__.py"]
    assert [line for file in files for line in violations(file, (REPOSITORY / file).read_text())] == []


def test_no_file_is_longer_than_a_person_reads() -> None:
    lines = {str(file): len(file.read_text().splitlines()) for file in FILES}
    assert {file: count for file, count in lines.items() if count > MOST_LINES} == {}


@pytest.mark.parametrize(
    ("path", "source", "wrong"),
    [
        ("server/accounts/a.py", "from server.rpc import layers", "rpc is not behind accounts"),
        ("server/accounts/a.py", "from server.posts.posts import Posts", "posts is not behind accounts"),
        ("server/accounts/a.py", "import server.web.app as web", "web is not behind accounts"),
        ("server/accounts/a.py", "from server import config", "config is not behind accounts"),
        ("server/base/errors.py", "from ..storage import models", "storage is not behind base"),
        ("server/storage/m/0001.py", "from ...projects import x", "projects is not behind storage"),
        ("server/config.py", "from .app import App", "app is not behind config"),
        ("server/config.py", "from . import cli", "cli is not behind config"),
        ("server/base/a.py", "import server", "server is not behind base"),
        ("server/base/a.py", "import orjson, server.rpc.call", "rpc is not behind base"),
        ("server/base/a.py", "from server.attic import x", "attic is not behind base"),
        ("server/web/a.py", "def f():\n    from server.sandbox import api", "sandbox is not behind web"),
        ("server/rpc/a.py", "if TYPE_CHECKING:\n    from server.web import app", "web is not behind rpc"),
        ("server/run/web.py", "try:\n    import server.cli\nexcept OSError: 0", "cli is not behind run"),
        ("server/platforms/a.py", "import peewee", "nothing of peewee"),
        ("server/platforms/a.py", "from psycopg2.errors import UniqueViolation", "nothing of psycopg2"),
        ("server/platforms/a.py", "from grpc import StatusCode", "nothing of grpc"),
        ("server/posts/a.py", "import grpc", "nothing of grpc"),
        ("server/projects/a.py", "from grpc_health.v1 import health_pb2", "nothing of grpc_health"),
        ("server/rpc/layers.py", "from grpc._cython import cygrpc", "grpcio's inside"),
        ("server/rpc/layers.py", "from grpc import _cython", "grpcio's inside"),
        ("server/base/exchange.py", "import grpc._cython.cygrpc", "grpcio's inside"),
    ],
)
def test_a_wrong_import_is_found_wherever_it_stands(path: str, source: str, wrong: str) -> None:
    [line] = violations(PurePath(path), source)
    assert line.startswith(path)
    assert line.endswith(wrong)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("server/__main__.py", "from server.cli import main"),
        ("server/cli.py", "from server import app\nfrom server.run import start"),
        ("server/rpc/a.py", "import grpc\nfrom server.accounts import accounts\nfrom . import call"),
        ("server/rpc/exchange.py", "from grpc._cython import cygrpc"),
        (
            "server/accounts/a.py",
            "import peewee\nfrom . import lists\nfrom ..base import errors",
        ),
        ("server/platforms/a.py", "import httpx2\nfrom server.platforms.answers import Tokens"),
        ("server/posts/a.py", "from generated.hitchpost.v1 import platform_pb2\nimport grpcish, serverless"),
    ],
)
def test_a_right_import_is_not_complained_about(path: str, source: str) -> None:
    assert violations(PurePath(path), source) == []
