"""Regenerates generated/ from protos/; run by `make proto`."""

import json
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import yaml
from google.api.http_pb2 import Http
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.json_format import MessageToJson, ParseDict
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
    failed = (
        _protoc(_outputs("python", "pyi"), sources)
        or _protoc(_outputs("grpc_python"), services)
        or _write_comments(sources)
    )
    if failed:
        return failed
    _write_http_rules()
    for package in (GENERATED, GENERATED / "hitchpost", GENERATED / "hitchpost" / "v1"):
        (package / "__init__.py").touch()
    for path in GENERATED.rglob("*.py*"):
        # Relative, so that the tree imports in a checkout and when installed.
        path.write_text(OWN_IMPORT.sub("from . import ", path.read_text()))
    return 0


def _write_http_rules() -> None:
    """protos/http.yaml as the server reads it. Raises ParseError for what is no google.api.Http."""
    rules = ParseDict(yaml.safe_load((PROTOS / "http.yaml").read_text())["http"], Http())
    (GENERATED / "http_rules.json").write_text(MessageToJson(rules) + "\n")


def _write_comments(sources: list[str]) -> int:
    """What the contract says of each thing, by its full name: generated modules leave comments out."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "descriptors"
        if failed := _protoc(["--include_source_info", f"--descriptor_set_out={target}"], sources):
            return failed
        described = FileDescriptorSet.FromString(target.read_bytes()).file
    comments = {
        _full_name(file, place.path): _unwrapped(place.leading_comments)
        for file in described
        for place in file.source_code_info.location
        # Paths of a file itself, such as its syntax, have one number.
        if place.leading_comments and len(place.path) > 1
    }
    text = json.dumps(comments, indent=1, sort_keys=True, ensure_ascii=False)
    (GENERATED / "comments.json").write_text(text + "\n")
    return 0


def _full_name(file: FileDescriptorProto, path: Sequence[int]) -> str:
    """`hitchpost.v1.SocialPost.caption`. A path is a field's number, an index in it, and so on."""
    names, at = [file.package], file
    for number, index in zip(path[::2], path[1::2], strict=True):
        at = getattr(at, at.DESCRIPTOR.fields_by_number[number].name)[index]
        names.append(at.name)
    return ".".join(names)


def _unwrapped(comment: str) -> str:
    """Its paragraphs, each in one line."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in comment.split("\n\n"))


def _outputs(*kinds: str) -> list[str]:
    return [f"--{kind}_out={GENERATED}" for kind in kinds]


def _protoc(outputs: list[str], sources: list[str]) -> int:
    well_known = files("grpc_tools") / "_proto"
    return int(protoc.main(["protoc", f"-I{PROTOS}", f"-I{well_known}", *outputs, *sources]))


if __name__ == "__main__":
    sys.exit(main())
