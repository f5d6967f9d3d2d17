"""How methods are called over HTTP: the rules of protos/http.yaml, read once, and found by path.

`google.api.HttpRule` says what a rule means: https://github.com/googleapis/googleapis/blob/master/google/api/http.proto
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import NamedTuple
from urllib.parse import unquote

from google.api.http_pb2 import Http, HttpRule
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import Parse

from server.rpc.registry import RPCS, Rpc

_VARIABLE = re.compile(r"\{([a-z0-9_.]+)\}")


@dataclass(frozen=True)
class Rule:
    """How a method is called: its verb, its path, in which a segment may be a `{variable}`, which field of
    the request its body is (`*`: the whole request, empty: nothing), and which of the answer the answer's."""

    rpc: Rpc
    verb: str
    path: str
    body: str
    response_body: str

    @cached_property
    def segments(self) -> list[str]:
        """What stands between the slashes."""
        return self.path.split("/")[1:]

    @cached_property
    def variables(self) -> list[str]:
        """The paths of the request's fields that the path has."""
        return _VARIABLE.findall(self.path)

    @cached_property
    def body_type(self) -> Descriptor | None:
        """The message that the body is, None where there is none."""
        request = self.rpc.descriptor.input_type
        if self.body == "*":
            return request
        return request.fields_by_name[self.body].message_type if self.body else None

    @cached_property
    def answer_type(self) -> Descriptor:
        """The message that the answer's body is."""
        answer = self.rpc.descriptor.output_type
        body = answer.fields_by_name[self.response_body].message_type if self.response_body else None
        return body or answer

    @cached_property
    def query(self) -> Mapping[str, FieldDescriptor]:
        """The request's fields that the query may have, by their names."""
        if self.body == "*":
            return {}
        taken = {self.body, *self.variables}
        fields = self.rpc.descriptor.input_type.fields
        return {field.name: field for field in fields if field.name not in taken}

    @cached_property
    def aliases(self) -> Mapping[str, str]:
        """Other spellings in the query: a list's name without its `s`, as it stands before each value."""
        known = self.query
        singular = {name.removesuffix("s"): name for name, field in known.items() if field.is_repeated}
        return {alias: name for alias, name in singular.items() if alias not in known}

    @cached_property
    def etag(self) -> str | None:
        """The path of the request's field `etag`, which If-Match sets."""
        request = self.rpc.descriptor.input_type
        if "etag" in request.fields_by_name:
            return "etag"
        body = self.body_type
        # What is made has no etag before.
        nested = body and body != request and self.variables
        return f"{self.body}.etag" if nested and body and "etag" in body.fields_by_name else None

    @cached_property
    def takes_request_id(self) -> bool:
        """Whether Idempotency-Key makes its calls safe to repeat."""
        return "request_id" in self.rpc.descriptor.input_type.fields_by_name


def _read() -> Iterator[Rule]:
    """Raises ParseError, or KeyError for a method that there is not."""
    text = files("generated").joinpath("http_rules.json").read_text()
    by_selector = {path.strip("/").replace("/", "."): rpc for path, rpc in RPCS.items()}
    for rule in Parse(text, Http()).rules:
        verb, path = _verb_and_path(rule)
        yield Rule(by_selector[rule.selector], verb, path, rule.body, rule.response_body)


def _verb_and_path(rule: HttpRule) -> tuple[str, str]:
    verb = rule.WhichOneof("pattern")
    if verb is None or verb == "custom":
        raise ValueError(f"{rule.selector}: needs one of get, put, post, delete, patch")
    return verb.upper(), getattr(rule, verb)


RULES: Sequence[Rule] = tuple(_read())


class Place(NamedTuple):
    """What a path leads to: rules by their verbs, and the values of its variables in their order."""

    rules: Mapping[str, Rule]
    values: Sequence[str]


class Paths:
    """The rules by their paths."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._places: dict[int, dict[tuple[str, ...], dict[str, Rule]]] = {}
        # A path that is written out goes before one with a variable.
        for rule in sorted(rules, key=lambda rule: len(rule.variables)):
            pattern = tuple(_VARIABLE.sub("", segment) for segment in rule.segments)
            of_this_length = self._places.setdefault(len(pattern), {})
            of_this_length.setdefault(pattern, {})[rule.verb] = rule

    def find(self, raw_path: bytes) -> Place | None:
        """What is there; the path is as it came, percent-encoded, since a value may have a slash."""
        try:
            segments = [unquote(part, errors="strict") for part in raw_path.decode("ascii").split("/")[1:]]
        except UnicodeDecodeError:
            return None
        for pattern, rules in self._places.get(len(segments), {}).items():
            if all(part in ("", segment) for part, segment in zip(pattern, segments, strict=True)):
                values = [segment for part, segment in zip(pattern, segments, strict=True) if not part]
                return Place(rules, values) if all(values) else None
        return None
