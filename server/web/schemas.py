"""JSON Schema of messages, as proto3 JSON has them (https://protobuf.dev/programming-guides/json/), in the
contract's own names and words, and with the bounds of the checks."""

import json
from collections.abc import Collection, Mapping
from importlib.resources import files
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from server.rpc.checks import object_schema
from server.rpc.registry import Rpc

Schema = dict[str, Any]

# What the contract says of each thing, by its full name.
COMMENTS: Mapping[str, str] = json.loads(files("generated").joinpath("comments.json").read_text())
WELL_KNOWN: Mapping[str, Schema] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.FieldMask": {"type": "string"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^[0-9]+(\.[0-9]{1,9})?s$"},
}
_TYPES: Mapping[int, Schema] = {
    FieldDescriptor.CPPTYPE_STRING: {"type": "string"},
    FieldDescriptor.CPPTYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.CPPTYPE_INT32: {"type": "integer", "format": "int32"},
}


def bounds(rpc: Rpc) -> Schema:
    """What the checks of a method's request say."""
    return dict(object_schema(rpc.checks))


def sent(message: Descriptor, bounds: Schema, left_out: Collection[str] = ()) -> Schema:
    """A message that callers send, as far as it is theirs to say what is in it; null counts as absent.

    Raises KeyError for a type that the contract does not use so far.
    """
    required = bounds.get("required", ())
    properties = {
        field.name: _sent(field, bounds.get("properties", {}).get(field.name, {}), field.name in required)
        for field in message.fields
        if field.name not in left_out and (field.name in required or not _is_output(field))
    }
    there = [name for name in required if name in properties]
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**schema, "required": there} if there else schema


def sent_value(field: FieldDescriptor, bounds: Schema, *, required: bool) -> Schema:
    """A field's value that callers send."""
    if not required:
        bounds = _or_empty(field, bounds)
    if is_map(field):
        values = {"type": "string", **short(bounds["additionalProperties"])}
        return {"type": "object", **short(bounds), "additionalProperties": values}
    if field.is_repeated:
        return {"type": "array", **short(bounds), "items": _one(field, bounds.get("items", {}))}
    return _one(field, bounds)


def value(field: FieldDescriptor) -> Schema:
    """One value of a field that is no message of the contract."""
    if field.enum_type:
        return {"type": "string", "enum": [value.name for value in field.enum_type.values]}
    if field.message_type:
        return dict(WELL_KNOWN[field.message_type.full_name])
    return dict(_TYPES[field.cpp_type])


def is_map(field: FieldDescriptor) -> bool:
    """Whether the field is a map, whose entries are messages that JSON does not have."""
    return bool(field.message_type and field.message_type.GetOptions().map_entry)


def short(bounds: Mapping[str, Any]) -> Schema:
    """Without what says nothing."""
    return {name: value for name, value in bounds.items() if value not in (0, False) or name == "minimum"}


def _is_output(field: FieldDescriptor) -> bool:
    return COMMENTS[field.full_name].startswith("Output only")


def _sent(field: FieldDescriptor, bounds: Schema, required: bool) -> Schema:
    schema = sent_value(field, bounds, required=required)
    if not required:
        schema["type"] = [schema["type"], "null"]
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
    return {**schema, "description": COMMENTS[field.full_name]}


def _or_empty(field: FieldDescriptor, bounds: Schema) -> Schema:
    """An empty text is none, where the contract does not tell them apart."""
    if field.has_presence or field.type != FieldDescriptor.TYPE_STRING or "pattern" not in bounds:
        return bounds
    return {**bounds, "minLength": 0, "pattern": f"^$|{bounds['pattern']}"}


def _one(field: FieldDescriptor, bounds: Schema) -> Schema:
    if field.message_type and field.message_type.full_name not in WELL_KNOWN:
        return sent(field.message_type, bounds)
    return {**value(field), **short(bounds)}
