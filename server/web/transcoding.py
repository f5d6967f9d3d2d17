"""Requests and answers between proto3 JSON (https://protobuf.dev/programming-guides/json/) and messages.

Nothing is guessed and nothing passed over: a name that the request has not, a value that is there twice, and
one that is not of its field's type are refused. A filter that is misspelt would else list everything.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import parse_qsl

import orjson
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from server.base import errors
from server.web.http_rules import Rule

MAX_PARAMETERS = 5_000
Json = dict[str, Any]

_FAILED = re.compile(r"Failed to parse (\w+) field: (.*)\.", re.DOTALL)
_UNKNOWN = re.compile(r'Message type "[\w.]+" has no field named "(.*?)" at "([^"]*)"', re.DOTALL)
# Its last words say where, mostly: " at ImportSocialAccountRequest.scopes[0]".
_AT = re.compile(r" at \w+\.([\w.\[\]]*\w\]?)$")
_ETAG = re.compile(r'"([!#-~]*)"')
# JSON can spell half of a surrogate pair, which is no text.
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_BOOLEANS = {"true": True, "false": False}
_TWICE = "is there twice, and not the same: in the path or a header, and in the body"
_WANTED: Mapping[str | int, str] = {
    FieldDescriptor.CPPTYPE_STRING: "a text",
    FieldDescriptor.CPPTYPE_BOOL: "true or false",
    FieldDescriptor.CPPTYPE_INT32: "a whole number of 32 bits",
    FieldDescriptor.CPPTYPE_INT64: "a whole number of 64 bits",
    "google.protobuf.Timestamp": 'a time, such as "2030-01-31T12:00:00Z"',
    "google.protobuf.FieldMask": "names of fields, joined by commas",
    "google.protobuf.Duration": 'a number of seconds, such as "90s"',
}


@dataclass(frozen=True)
class Incoming:
    """A request as it came: the values of its path's variables, its query, its body, and what its headers say
    for fields (Idempotency-Key, If-Match)."""

    values: Sequence[str]
    query: bytes
    body: bytes
    request_id: str | None = None
    if_match: str | None = None


def read(rule: Rule, incoming: Incoming) -> bytes:
    """The method's request, as bytes. Raises InvalidArgument."""
    described = _body(rule, incoming.body) | _query(rule, incoming.query)
    bound = (*zip(rule.variables, incoming.values, strict=True), *_of_headers(rule, incoming))
    for path, value in bound:
        _set(described, path, value)
    return parsed(rule.rpc.descriptor.input_type, described).SerializeToString()


def parsed(request: Descriptor, described: Json) -> Message:
    """What is described so. Raises InvalidArgument."""
    with_masks = {name: _mask(request, name, value) for name, value in described.items()}
    try:
        return ParseDict(with_masks, GetMessageClass(request)())
    except ParseError as error:
        raise _violation(request, str(error)) from None
    except RecursionError:
        raise errors.invalid("body", "is nested too deeply") from None


def as_json(message: Message) -> Json:
    """Every field that the message has, and those that are always there."""
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def write(rule: Rule, answer: bytes) -> tuple[bytes, str]:
    """The answer's body, and its resource's etag, empty where there is none."""
    whole: Message = GetMessageClass(rule.rpc.descriptor.output_type).FromString(answer)
    body = getattr(whole, rule.response_body) if rule.response_body else whole
    return orjson.dumps(as_json(body)), getattr(body, "etag", "")


def _body(rule: Rule, body: bytes) -> Json:
    if not rule.body:
        if body:
            raise errors.invalid("body", "must be empty; this call's fields go into the path and the query")
        return {}
    described = _loads(body) if body else {}
    return described if rule.body == "*" else {rule.body: described}


def _loads(body: bytes) -> Json:
    try:
        described = json.loads(
            body.decode(), object_pairs_hook=_object, parse_constant=_no_number, parse_float=_finite
        )
        if _SURROGATE.search(body):
            json.dumps(described, ensure_ascii=False).encode()
    except RecursionError:
        raise errors.invalid("body", "is nested too deeply") from None
    except UnicodeDecodeError:
        raise errors.invalid("body", "must be UTF-8") from None
    except UnicodeEncodeError:
        raise errors.invalid("body", "has half of a surrogate pair, which is no text") from None
    except ValueError as error:
        raise errors.invalid("body", f"must be JSON: {error}") from None
    if not isinstance(described, dict):
        raise errors.invalid("body", "must be a JSON object")
    return described


def _object(pairs: list[tuple[str, Any]]) -> Json:
    described = dict(pairs)
    if len(described) < len(pairs):
        raise ValueError("an object has a name twice")
    return described


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError("a number is too large")
    return number


def _query(rule: Rule, query: bytes) -> Json:
    """The query's fields, as JSON has them."""
    try:
        pairs = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS
        )
    except UnicodeDecodeError:
        raise errors.invalid("query", "must be percent-encoded UTF-8") from None
    except ValueError:
        raise errors.invalid("query", f"must have at most {MAX_PARAMETERS:,} parameters") from None
    known, aliases = rule.query, rule.aliases
    described: Json = {}
    for spelled, text in pairs:
        name = aliases.get(spelled, spelled)
        if name not in known:
            raise errors.invalid(_shown(spelled), f"is no parameter of this call, which has {_names(known)}")
        value = _value(known[name], text)
        if known[name].is_repeated:
            described.setdefault(name, []).append(value)
        elif name in described:
            raise errors.invalid(name, "may be given only once")
        else:
            described[name] = value
    return described


def _names(known: Iterable[str]) -> str:
    return ", ".join(known) or "none"


def _value(field: FieldDescriptor, text: str) -> object:
    """A parameter's value as JSON has it, which takes numbers, enums and times from texts, too."""
    if field.type == FieldDescriptor.TYPE_BOOL:
        return _BOOLEANS.get(text, text)
    if field.enum_type and text not in field.enum_type.values_by_name:
        # JSON would take its number for it, which the document has not.
        return f"{text} is no name"
    return text


def _mask(request: Descriptor, name: str, value: object) -> object:
    """A mask's value as JSON has it, which is camelCase; the contract's own names are welcome, too."""
    field = request.fields_by_name.get(name) or request.fields_by_camelcase_name.get(name)
    is_mask = field and field.message_type and field.message_type.full_name == "google.protobuf.FieldMask"
    return _camel_case(value) if is_mask and isinstance(value, str) else value


def _camel_case(name: str) -> str:
    return re.sub("_([a-z0-9])", lambda match: match[1].upper(), name)


def _of_headers(rule: Rule, incoming: Incoming) -> Iterator[tuple[str, str]]:
    """The fields that headers set."""
    if incoming.request_id is not None and rule.takes_request_id:
        yield "request_id", incoming.request_id
    if incoming.if_match is not None and (etag := _etag(rule, incoming.if_match)) is not None:
        yield etag


def _etag(rule: Rule, header: str) -> tuple[str, str] | None:
    if rule.etag is None:
        raise errors.invalid("If-Match", "does not go with this call, which checks no etag")
    if header == "*":
        return None
    match = _ETAG.fullmatch(header)
    if match is None:
        raise errors.invalid("If-Match", 'must be one etag in quotes, such as "17", or *')
    return rule.etag, match[1]


def _set(described: Json, path: str, value: str) -> None:
    """Sets a field, which may be there already with the same value, in camelCase too."""
    *parents, name = path.split(".")
    for parent in parents:
        described = described.setdefault(parent, {})
    there = described.pop(_camel_case(name), value), described.setdefault(name, value)
    if there != (value, value):
        raise errors.invalid(path, _TWICE)


def _violation(request: Descriptor, text: str) -> errors.InvalidArgument:
    """Which field is wrong, and what would be right, of what json_format says.

    Not its own words: they have values, and one could be a token in the wrong place.
    """
    names: list[str] = []
    while match := _FAILED.fullmatch(text):
        names.append(match[1])
        text = match[2]
    if match := _UNKNOWN.match(text):
        within = match[2].partition(".")[2]
        return errors.invalid(_shown(f"{within}.{match[1]}".lstrip(".")), "is no field of the request")
    path = match[1] if (match := _AT.search(text)) else ".".join(names)
    return errors.invalid(_shown(path) or "body", _wanted(request, path))


def _shown(name: str) -> str:
    """A name that somebody made up, so that it can go into an answer."""
    return name[:100].encode("ascii", "backslashreplace").decode()


def _wanted(message: Descriptor | None, path: str) -> str:
    """What JSON has for the field at the end of this path, such as `media[0].url`."""
    field = None
    for name in re.sub(r"\[\d+\]", "", path).split(".") if path else ():
        fields = {**message.fields_by_name, **message.fields_by_camelcase_name} if message else {}
        field = fields.get(name)
        message = field.message_type if field else None
    if field is None:
        return "must be an object with the request's fields"
    if field.message_type and field.message_type.GetOptions().map_entry:
        return "must be an object of texts"
    one = _wanted_once(field)
    return f"must be a list, each item {one}" if field.is_repeated else f"must be {one}"


def _wanted_once(field: FieldDescriptor) -> str:
    if field.enum_type:
        return f"a name of {field.enum_type.name}, such as {field.enum_type.values[1].name}"
    if field.message_type:
        return _WANTED.get(field.message_type.full_name, "an object")
    return _WANTED[field.cpp_type]
