"""Regenerates generated/ from protos/; run by `make proto`."""

import re
import shutil
import sys
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
GENERATED = ROOT / "generated"
OWN_IMPORT = re.compile(r"^from hitchpost\.v1 import ", re.MULTILINE)


def main() -> int:
    """Rebuilds the whole tree, so that the output of a deleted proto goes too."""
    shutil.rmtree(GENERATED, ignore_errors=True)
    GENERATED.mkdir()
    sources = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    services = [source for source in sources if source.endswith("_service.proto")]
    failed = _protoc(["python", "pyi"], sources) or _protoc(["grpc_python"], services)
    if failed:
        return failed
    for package in (GENERATED, GENERATED / "hitchpost", GENERATED / "hitchpost" / "v1"):
        (package / "__init__.py").touch()
    for path in GENERATED.rglob("*.py*"):
        # Relative, so that the tree imports in a checkout and when installed.
        path.write_text(OWN_IMPORT.sub("from . import ", path.read_text()))
    return 0


def _protoc(kinds: list[str], sources: list[str]) -> int:
    well_known = files("grpc_tools") / "_proto"
    outputs = [f"--{kind}_out={GENERATED}" for kind in kinds]
    return int(protoc.main(["protoc", f"-I{PROTOS}", f"-I{well_known}", *outputs, *sources]))


if __name__ == "__main__":
    sys.exit(main())
