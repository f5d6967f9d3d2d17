"""The vocabulary that validation.py is written in: rules for values, and checks that apply them to fields.

A rule takes a value and returns what would be right, or None. A check takes a message and the path to it,
and yields what is wrong. Both have JSON Schema beside them, for generated/openapi.json: as much of what they
say as it can say, and never more.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from google.protobuf.internal.well_known_types import Duration as DurationMixin
from google.protobuf.internal.well_known_types import Timestamp as TimestampMixin

from server.base.errors import FieldViolation
from server.base.platform_names import platform_number

Json = Mapping[str, Any]
Find = Callable[[Any, str], Iterator[FieldViolation]]
Wrong = Callable[[Any], str | None]


@dataclass(frozen=True)
class Rule:
    """What is wrong with a value, and JSON Schema of those that are right."""

    wrong: Wrong
    schema: Json

    def __call__(self, value: Any) -> str | None:
        """What would be right, or None."""
        return self.wrong(value)


@dataclass(frozen=True)
class Check:
    """What is wrong with a message, JSON Schema of the fields that it looks at, and which must be there."""

    find: Find
    properties: Json
    required: frozenset[str] = frozenset()


def rule(**schema: Any) -> Callable[[Wrong], Rule]:
    """Makes a rule of a function; `schema` in the words of JSON Schema."""
    return lambda wrong: Rule(wrong, schema)


def object_schema(checks: Iterable[Check]) -> Json:
    """What checks of one message say together."""
    properties: dict[str, Any] = {}
    required: set[str] = set()
    for check in checks:
        for name, schema in check.properties.items():
            properties[name] = {**properties.get(name, {}), **schema}
        required |= check.required
    return {"properties": properties, "required": sorted(required)}


# Unicode's category Cc.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
CONTROL_BUT_LINES = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def text(longest: int, *, shortest: int = 0, lines: bool = False) -> Rule:
    """Characters, without control characters, apart from tabs and line ends if it may have `lines`."""
    size = f"{shortest} to {longest:,}" if shortest else f"at most {longest:,}"
    characters = CONTROL_BUT_LINES if lines else CONTROL

    @rule(minLength=shortest, maxLength=longest, pattern=f"^[^{characters.pattern[1:-1]}]*$")
    def checked(value: str) -> str | None:
        if not shortest <= len(value) <= longest:
            return f"must have {size} characters"
        if characters.search(value):
            return "must not have control characters"
        return None

    return checked


def printable_ascii(longest: int, *, shortest: int = 0) -> Rule:
    """What HTTP header values and tokens are made of."""

    @rule(minLength=shortest, maxLength=longest, pattern="^[ -~]*$")
    def checked(value: str) -> str | None:
        if not shortest <= len(value) <= longest or not (value.isascii() and value.isprintable()):
            return f"must have {shortest} to {longest:,} printable ASCII characters"
        return None

    return checked


def matching(pattern: re.Pattern[str], description: str, longest: int | None = None) -> Rule:
    """A whole value of this form, of at most so many characters."""
    whole = rule(pattern=f"^(?:{pattern.pattern})$", **({} if longest is None else {"maxLength": longest}))

    @whole
    def checked(value: str) -> str | None:
        if longest is not None and len(value) > longest:
            return f"must have at most {longest} characters"
        return None if pattern.fullmatch(value) else description

    return checked


# Some of what is right: JSON Schema has no words for the rest.
@rule(maxLength=2048, pattern=r"^https?://[A-Za-z0-9.-]+(:[1-9][0-9]{0,3})?([/?#][!-~]*)?$")
def web_url(value: str) -> str | None:
    """An absolute http or https address."""
    description = "must be an http or https address of at most 2,048 characters"
    if len(value) > 2048 or not value.isprintable() or " " in value:
        return description
    try:
        parts = urlsplit(value)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return description
    return None if valid else description


def defined(enum: Any) -> Rule:
    """A value of the enum other than UNSPECIFIED."""
    specified = rule(enum=[name for name, value in enum.items() if value])
    return specified(
        lambda value: (
            None if value and value in enum.values() else "must be a value of the enum, and specified"
        )
    )


def defined_or_default(enum: Any) -> Rule:
    """A value of the enum."""
    known = rule(enum=enum.keys())
    return known(lambda value: None if value in enum.values() else "must be a value of the enum")


@rule(minimum=0)
def not_negative(value: int) -> str | None:
    """Zero or more."""
    return "must not be negative" if value < 0 else None


@rule()
def storable_time(value: TimestampMixin) -> str | None:
    """A time of the years 1 to 9999, which is what google.protobuf.Timestamp may hold."""
    try:
        value.ToDatetime()
    except (ValueError, OverflowError):
        return "must be a time of the years 1 to 9999, with nanos of 0 to 999,999,999"
    return None


def duration(least: timedelta, most: timedelta) -> Rule:
    """A Duration between these, both included, and neither negative."""

    @rule()
    def wrong(value: DurationMixin) -> str | None:
        with suppress(OverflowError):
            if 0 <= value.nanos < 1_000_000_000 and least <= value.ToTimedelta() <= most:
                return None
        return f"must be {least.total_seconds():g} to {most.total_seconds():g} seconds"

    return wrong


def field(name: str, rule: Rule) -> Check:
    """The field's value, if absent its default too."""

    wrong = rule.wrong

    def find(message: Any, path: str) -> Iterator[FieldViolation]:
        if description := wrong(getattr(message, name)):
            yield FieldViolation(path + name, description)

    return Check(find, {name: rule.schema}, frozenset([name] if _refuses_the_default(rule) else []))


def _refuses_the_default(rule: Rule) -> bool:
    default = 0 if "enum" in rule.schema or "minimum" in rule.schema else ""
    return rule(default) is not None


def present(name: str, rule: Rule) -> Check:
    """The field's value if it is there: set, or for a plain string or list not empty."""
    wrong = rule.wrong

    def find(message: Any, path: str) -> Iterator[FieldViolation]:
        descriptor = message.DESCRIPTOR.fields_by_name[name]
        is_there = message.HasField(name) if descriptor.has_presence else getattr(message, name)
        if is_there and (description := wrong(getattr(message, name))):
            yield FieldViolation(path + name, description)

    return Check(find, {name: rule.schema})


def each(name: str, most: int, rule: Rule, *, least: int = 0, distinct: bool = False) -> Check:
    """A list: how many items, and each of them."""

    wrong = rule.wrong

    def find(message: Any, path: str) -> Iterator[FieldViolation]:
        items = getattr(message, name)
        number = len(items)
        if not least <= number <= most:
            yield FieldViolation(path + name, f"must have {least} to {most:,} items")
            return
        # Going through none of protobuf's items takes longer than all else that is done here.
        if not number:
            return
        if distinct and len(set(items)) < number:
            yield FieldViolation(path + name, "must name each only once")
        for index, item in enumerate(items):
            if description := wrong(item):
                yield FieldViolation(f"{path}{name}[{index}]", description)

    schema = {"items": rule.schema, "minItems": least, "maxItems": most, "uniqueItems": distinct}
    return Check(find, {name: schema}, frozenset([name] if least else []))


def nested(name: str, *checks: Check, required: bool = False) -> Check:
    """A message in a field."""

    def find(message: Any, path: str) -> Iterator[FieldViolation]:
        if message.HasField(name):
            for inner in checks:
                yield from inner.find(getattr(message, name), f"{path}{name}.")
        elif required:
            yield FieldViolation(path + name, "is required")

    return Check(find, {name: object_schema(checks)}, frozenset([name] if required else []))


def each_nested(name: str, most: int, *checks: Check, key: str | None = None) -> Check:
    """A list of messages, of which no two may have the same `key`."""

    def find(message: Any, path: str) -> Iterator[FieldViolation]:
        items = getattr(message, name)
        if len(items) > most:
            yield FieldViolation(path + name, f"must have at most {most:,} items")
            return
        if key and len({getattr(item, key) for item in items}) < len(items):
            yield FieldViolation(path + name, f"must have each {key} only once")
        for index, item in enumerate(items):
            for inner in checks:
                yield from inner.find(item, f"{path}{name}[{index}].")

    return Check(find, {name: {"items": object_schema(checks), "maxItems": most}})


NOTE = text(1024, lines=True)


def labels(name: str, value_rule: Rule = NOTE) -> Check:
    """A map of texts, such as notes: at most 50 entries, keys of 1 to 64 characters."""
    key_rule = text(64, shortest=1)

    def find(message: Any, path: str) -> Iterator[FieldViolation]:
        entries = getattr(message, name)
        if len(entries) > 50:
            yield FieldViolation(path + name, "must have at most 50 entries")
        for key, value in entries.items():
            for what, description in (("key", key_rule(key)), ("value", value_rule(value))):
                if description:
                    yield FieldViolation(path + name, f"each {what} {description}")
                    return

    of_each = {"propertyNames": key_rule.schema, "additionalProperties": value_rule.schema}
    return Check(find, {name: {"maxProperties": 50, **of_each}})


def mask(*paths: str) -> Check:
    """update_mask: some of these paths, or * alone for all."""

    def find(message: Any, path: str) -> Iterator[FieldViolation]:
        named = list(message.update_mask.paths)
        if named != ["*"] and not set(named) <= set(paths):
            yield FieldViolation(path + "update_mask", f"may name {', '.join(paths)}, or * alone")

    name = f"({'|'.join(paths)})"
    return Check(find, {"update_mask": {"pattern": rf"^(\*|{name}(,{name})*)?$"}})


def options_of_platform(name: str, oneof: str, needs: Mapping[str, str]) -> Check:
    """Options may only be those of the request's own platform; `needs` are platforms' options that must be
    there, and which of them."""

    def find(message: Any, path: str) -> Iterator[FieldViolation]:
        chosen = getattr(message, name).WhichOneof(oneof)
        if chosen and platform_number(chosen) != message.platform:
            yield FieldViolation(f"{path}{name}.{chosen}", "must be the options of the request's platform")
        for platform, needed in needs.items():
            if not chosen and message.platform == platform_number(platform):
                yield FieldViolation(f"{path}{name}.{platform}.{needed}", "must be there for this platform")

    return Check(find, {})


def only_with(name: str, enum: Any, value: int, *names: str) -> Check:
    """Fields that may only be there when the field `name` has this value."""

    def find(message: Any, path: str) -> Iterator[FieldViolation]:
        if getattr(message, name) != value:
            for other in names:
                if getattr(message, other):
                    yield FieldViolation(path + other, f"must be empty unless {name} is {enum.Name(value)}")

    return Check(find, {})


def either(name: str, flag: str) -> Check:
    """A text that has to be there unless `flag` is set, and may not be there if it is."""

    def find(message: Any, path: str) -> Iterator[FieldViolation]:
        if bool(getattr(message, name)) == getattr(message, flag):
            yield FieldViolation(path + name, f"must be there, or {flag} be true; not both")

    return Check(find, {})
