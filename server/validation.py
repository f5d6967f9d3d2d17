"""What each request must look like: a table of small checks by request type.

A check takes a message and the path to it, and yields what is wrong. Only what can be told from the
request alone is checked here; what depends on the time or on stored data is checked where it is used.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from google.protobuf.internal.well_known_types import Timestamp as TimestampMixin
from google.protobuf.message import Message

from generated.hitchpost.v1 import platform_pb2, social_account_service_pb2, social_post_service_pb2
from server.connections import Callback
from server.errors import FieldViolation, InvalidArgument

Check = Callable[[Any, str], Iterator[FieldViolation]]
Rule = Callable[[Any], str | None]

MAX_FILTER = 1000
# Unicode's category Cc.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
CONTROL_BUT_LINES = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
HANDLE = re.compile(r"[a-z0-9_.-]{1,30}")
ACCOUNT = re.compile(r"sa_[0-9A-HJKMNP-TV-Z]{26}")
POST = re.compile(r"sp_[0-9A-HJKMNP-TV-Z]{26}")
ETAG = re.compile(r"[0-9]{1,20}")


# Rules: a value -> what would be right, or None.


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


def callback(value: str) -> str | None:
    """The address that a platform sent a browser back to."""
    if description := CALLBACK_URL(value):
        return description
    try:
        Callback.from_query(urlsplit(value).query)
    except ValueError as error:
        return str(error)
    return None


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


CALLBACK_URL = text(8192)
EXTERNAL_ID = text(255, shortest=1)
PLATFORM_TEXT = text(255)
SCOPE = text(255, shortest=1)
ACCOUNT_ID = matching(ACCOUNT, "must be the id of a social account: sa_ and 26 characters")
POST_ID = matching(POST, "must be the id of a social post: sp_ and 26 characters")
ETAG_RULE = matching(ETAG, "must be an etag as it was returned")
REQUEST_ID = printable_ascii(128)
PLATFORM = defined(platform_pb2.Platform)
CAPTION = text(65_536, lines=True)


# Checks: of one field, or of all of a kind.


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


PAGE = (
    field("page_size", not_negative),
    present("page_token", printable_ascii(256)),
)
MEDIA = (field("url", web_url), field("alt_text", text(2000, lines=True)))
POST_FIELDS = (
    present("external_id", EXTERNAL_ID),
    field("caption", CAPTION),
    each("social_account_ids", 100, ACCOUNT_ID, distinct=True),
    each_nested("media", 35, *MEDIA),
    present("scheduled_time", storable_time),
    each_nested(
        "account_overrides",
        100,
        field("social_account_id", ACCOUNT_ID),
        present("caption", CAPTION),
        each_nested("media", 35, *MEDIA),
        key="social_account_id",
    ),
    nested(
        "platform_options",
        nested("sandbox", field("visibility", defined_or_default(social_post_service_pb2.SandboxVisibility))),
    ),
)
ACCOUNT_MASK = ("metadata", "external_id")
POST_MASK = (
    "external_id",
    "caption",
    "social_account_ids",
    "media",
    "scheduled_time",
    "account_overrides",
    "platform_options",
)

_accounts, _posts = social_account_service_pb2, social_post_service_pb2
CHECKS: dict[type[Message], tuple[Check, ...]] = {
    _accounts.CreateAuthUrlRequest: (
        field("platform", PLATFORM),
        present("external_id", EXTERNAL_ID),
        present("redirect_url", web_url),
        each("permissions", 50, SCOPE),
        nested(
            "platform_options",
            nested("sandbox", present("login_hint", matching(HANDLE, "must be a handle of the sandbox"))),
        ),
        options_of_platform("platform_options", "options"),
        present("social_account_id", ACCOUNT_ID),
    ),
    _accounts.CompleteAuthRequest: (
        field("callback_url", callback),
        present("external_id", EXTERNAL_ID),
    ),
    _accounts.ImportSocialAccountRequest: (
        field("platform", PLATFORM),
        field("platform_user_id", text(255, shortest=1)),
        field("username", PLATFORM_TEXT),
        field("display_name", PLATFORM_TEXT),
        present("profile_photo_url", web_url),
        present("external_id", EXTERNAL_ID),
        field("access_token", printable_ascii(16_384, shortest=1)),
        field("refresh_token", printable_ascii(16_384)),
        present("access_token_expire_time", storable_time),
        each("scopes", 50, SCOPE),
        labels("metadata"),
        field("request_id", REQUEST_ID),
    ),
    _accounts.GetSocialAccountRequest: (field("social_account_id", ACCOUNT_ID),),
    _accounts.ListSocialAccountsRequest: (
        *PAGE,
        each("external_ids", MAX_FILTER, EXTERNAL_ID),
        each("platforms", MAX_FILTER, PLATFORM),
        each("usernames", MAX_FILTER, text(255, shortest=1)),
        each("social_account_ids", MAX_FILTER, ACCOUNT_ID),
        each("states", MAX_FILTER, defined(_accounts.SocialAccountState)),
    ),
    _accounts.UpdateSocialAccountRequest: (
        nested(
            "social_account",
            field("id", ACCOUNT_ID),
            present("external_id", EXTERNAL_ID),
            labels("metadata"),
            present("etag", ETAG_RULE),
            required=True,
        ),
        mask(*ACCOUNT_MASK),
    ),
    _accounts.TransferSocialAccountRequest: (
        field("social_account_id", ACCOUNT_ID),
        field("from_external_id", EXTERNAL_ID),
        field("to_external_id", EXTERNAL_ID),
        present("etag", ETAG_RULE),
    ),
    _accounts.DisconnectSocialAccountRequest: (
        field("social_account_id", ACCOUNT_ID),
        present("etag", ETAG_RULE),
    ),
    _accounts.DeleteSocialAccountRequest: (
        field("social_account_id", ACCOUNT_ID),
        present("etag", ETAG_RULE),
    ),
    _posts.CreateSocialPostRequest: (
        nested("social_post", *POST_FIELDS, required=True),
        field("request_id", REQUEST_ID),
    ),
    _posts.GetSocialPostRequest: (field("social_post_id", POST_ID),),
    _posts.ListSocialPostsRequest: (
        *PAGE,
        each("external_ids", MAX_FILTER, EXTERNAL_ID),
        each("platforms", MAX_FILTER, PLATFORM),
        each("states", MAX_FILTER, defined(_posts.SocialPostState)),
        each("social_account_ids", MAX_FILTER, ACCOUNT_ID),
        present("scheduled_after", storable_time),
        present("scheduled_before", storable_time),
    ),
    _posts.UpdateSocialPostRequest: (
        nested("social_post", field("id", POST_ID), present("etag", ETAG_RULE), *POST_FIELDS, required=True),
        mask(*POST_MASK),
    ),
    _posts.DeleteSocialPostRequest: (
        field("social_post_id", POST_ID),
        present("etag", ETAG_RULE),
    ),
}


def check(request: Message) -> None:
    """Raises InvalidArgument with every violation that the request's checks find."""
    violations = [violation for check in CHECKS[type(request)] for violation in check(request, "")]
    if violations:
        raise InvalidArgument(violations)


def owner_scope(value: str) -> str:
    """An owner from metadata. Raises InvalidArgument for what can't be an external_id."""
    if description := EXTERNAL_ID(value):
        raise InvalidArgument([FieldViolation("x-external-id", description)])
    return value
