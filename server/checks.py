"""The vocabulary that validation.py is written in: rules for values, and checks that apply them to fields.

A rule takes a value and returns what would be right, or None. A check takes a message and the path to it,
and yields what is wrong.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from google.protobuf.internal.well_known_types import Timestamp as TimestampMixin

from generated.hitchpost.v1 import platform_pb2
from server.errors import FieldViolation

Check = Callable[[Any, str], Iterator[FieldViolation]]
Rule = Callable[[Any], str | None]

# Unicode's category Cc.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
CONTROL_BUT_LINES = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def text(longest: int, *, shortest: int = 0, lines: bool = False) -> Rule:
    """Characters, without control characters, apart from tabs and line ends if it may have `lines`."""
    size = f"{shortest} to {longest:,}" if shortest else f"at most {longest:,}"

    def rule(value: str) -> str | None:
        if not shortest <= len(value) <= longest:
            return f"must have {size} characters"
        if (CONTROL_BUT_LINES if lines else CONTROL).search(value):
            return "must not have control characters"
        return None

    return rule


def printable_ascii(longest: int, *, shortest: int = 0) -> Rule:
    """What HTTP header values and tokens are made of."""

    def rule(value: str) -> str | None:
        if not shortest <= len(value) <= longest or not (value.isascii() and value.isprintable()):
            return f"must have {shortest} to {longest:,} printable ASCII characters"
        return None

    return rule


def matching(pattern: re.Pattern[str], description: str) -> Rule:
    """A whole value of this form."""
    return lambda value: None if pattern.fullmatch(value) else description


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
    return lambda value: (
        None if value and value in enum.values() else "must be a value of the enum, and specified"
    )


def defined_or_default(enum: Any) -> Rule:
    """A value of the enum."""
    return lambda value: None if value in enum.values() else "must be a value of the enum"


def not_negative(value: int) -> str | None:
    """Zero or more."""
    return "must not be negative" if value < 0 else None


def storable_time(value: TimestampMixin) -> str | None:
    """A time of the years 1 to 9999, which is what google.protobuf.Timestamp may hold."""
    try:
        value.ToDatetime()
    except (ValueError, OverflowError):
        return "must be a time of the years 1 to 9999, with nanos of 0 to 999,999,999"
    return None


def field(name: str, rule: Rule) -> Check:
    """The field's value, if absent its default too."""

    def check(message: Any, path: str) -> Iterator[FieldViolation]:
        if description := rule(getattr(message, name)):
            yield FieldViolation(path + name, description)

    return check


def present(name: str, rule: Rule) -> Check:
    """The field's value if it is there: set, or for a plain string or list not empty."""
    always = field(name, rule)

    def check(message: Any, path: str) -> Iterator[FieldViolation]:
        descriptor = message.DESCRIPTOR.fields_by_name[name]
        if message.HasField(name) if descriptor.has_presence else getattr(message, name):
            yield from always(message, path)

    return check


def each(name: str, most: int, rule: Rule, *, least: int = 0, distinct: bool = False) -> Check:
    """A list: how many items, and each of them."""

    def check(message: Any, path: str) -> Iterator[FieldViolation]:
        items = getattr(message, name)
        if not least <= len(items) <= most:
            yield FieldViolation(path + name, f"must have {least} to {most:,} items")
            return
        if distinct and len(set(items)) < len(items):
            yield FieldViolation(path + name, "must name each only once")
        for index, item in enumerate(items):
            if description := rule(item):
                yield FieldViolation(f"{path}{name}[{index}]", description)

    return check


def nested(name: str, *checks: Check, required: bool = False) -> Check:
    """A message in a field."""

    def check(message: Any, path: str) -> Iterator[FieldViolation]:
        if message.HasField(name):
            for inner in checks:
                yield from inner(getattr(message, name), f"{path}{name}.")
        elif required:
            yield FieldViolation(path + name, "is required")

    return check


def each_nested(name: str, most: int, *checks: Check, key: str | None = None) -> Check:
    """A list of messages, of which no two may have the same `key`."""

    def check(message: Any, path: str) -> Iterator[FieldViolation]:
        items = getattr(message, name)
        if len(items) > most:
            yield FieldViolation(path + name, f"must have at most {most:,} items")
            return
        if key and len({getattr(item, key) for item in items}) < len(items):
            yield FieldViolation(path + name, f"must have each {key} only once")
        for index, item in enumerate(items):
            for inner in checks:
                yield from inner(item, f"{path}{name}[{index}].")

    return check


def labels(name: str) -> Check:
    """A map of notes: at most 50 entries, keys of 1 to 64 characters, values of at most 1,024."""
    key_rule, value_rule = text(64, shortest=1), text(1024, lines=True)

    def check(message: Any, path: str) -> Iterator[FieldViolation]:
        entries = getattr(message, name)
        if len(entries) > 50:
            yield FieldViolation(path + name, "must have at most 50 entries")
        for key, value in entries.items():
            for what, description in (("key", key_rule(key)), ("value", value_rule(value))):
                if description:
                    yield FieldViolation(path + name, f"each {what} {description}")
                    return

    return check


def mask(*paths: str) -> Check:
    """update_mask: some of these paths, or * alone for all."""

    def check(message: Any, path: str) -> Iterator[FieldViolation]:
        named = list(message.update_mask.paths)
        if named != ["*"] and not set(named) <= set(paths):
            yield FieldViolation(path + "update_mask", f"may name {', '.join(paths)}, or * alone")

    return check


def options_of_platform(name: str, oneof: str) -> Check:
    """Options may only be those of the request's own platform."""

    def check(message: Any, path: str) -> Iterator[FieldViolation]:
        chosen = getattr(message, name).WhichOneof(oneof)
        if chosen and platform_pb2.Platform.Value(f"PLATFORM_{chosen.upper()}") != message.platform:
            yield FieldViolation(f"{path}{name}.{chosen}", "must be the options of the request's platform")

    return check
