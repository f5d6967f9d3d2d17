"""What `make test` runs seldom or never, such as the storms, still finds the names that it uses."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from server.base import logs

REPOSITORY = Path(__file__).resolve().parents[2]
OURS = ("server", "generated", "tests")
FILES = sorted(path.relative_to(REPOSITORY) for path in REPOSITORY.glob("tests/**/*.py"))


def missing(module: ModuleType, tree: ast.AST) -> Iterator[str]:
    """Each `name.attribute` in it where `name` is a module of ours, and nothing else, that has no such
    attribute."""
    nodes = list(ast.walk(tree))
    other = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    other |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owner = getattr(module, node.value.id, None)
            if node.value.id in other or not isinstance(owner, ModuleType):
                continue
            declared = {*vars(owner), *getattr(owner, "__annotations__", {})}
            if owner.__name__.partition(".")[0] in OURS and node.attr not in declared:
                yield f"line {node.lineno}: {owner.__name__} has no {node.attr}"


@pytest.mark.parametrize("path", FILES, ids=str)
def test_names_of_other_modules_are_there(path: Path) -> None:
    tree = ast.parse((REPOSITORY / path).read_text())
    module = importlib.import_module(".".join(path.with_suffix("").parts))
    assert list(missing(module, tree)) == []


def test_one_that_is_not_there_is_told() -> None:
    module = ModuleType("with_logs")
    module.logs = logs  # type: ignore[attr-defined]
    found = list(missing(module, ast.parse("logs.calls\nlogs.no_such_name\nother.name")))
    assert found == ["line 2: server.base.logs has no no_such_name"]
    assert list(missing(module, ast.parse("def f(logs): logs.no_such_name"))) == []
