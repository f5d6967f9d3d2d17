"""Wrong input in any field of any request is INVALID_ARGUMENT that names the field, and never INTERNAL.

Wrong values are derived from the descriptors and the contract's own comments, so a field that is added
without a check fails here.
"""

import re
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from server.web.schemas import COMMENTS
from tests.kit.support import GENERATED, MESSAGES, Client, failure
from tests.kit.valid_requests import valid_request

METHODS = sorted(MESSAGES)
YEAR_10000 = 253_402_300_800
YEAR_0 = -62_135_596_801
WRONG_TIMES = {
    "after the year 9999": Timestamp(seconds=YEAR_10000),
    "before the year 1": Timestamp(seconds=YEAR_0),
    "as late as can be": Timestamp(seconds=2**63 - 1),
    "negative nanos": Timestamp(seconds=1, nanos=-1),
    "a second of nanos": Timestamp(seconds=1, nanos=10**9),
}
WRONG_MASKS = {
    "unknown path": FieldMask(paths=["no_such_field"]),
    "output-only path": FieldMask(paths=["create_time"]),
    "empty path": FieldMask(paths=[""]),
    "* among others": FieldMask(paths=["*", "external_id"]),
}
WRONG_DURATIONS = {
    "negative": Duration(seconds=-1),
    "as long as can be": Duration(seconds=2**63 - 1),
    "negative nanos": Duration(seconds=1, nanos=-1),
    "a second of nanos": Duration(seconds=1, nanos=10**9),
    "longer than a year": Duration(seconds=400 * 86_400),
}
LEAVES = tuple(kind.DESCRIPTOR.full_name for kind in (Timestamp, FieldMask, Duration))

# What a caller may send but the server never reads, because the resource is sent as a whole.
IGNORED = {
    "SocialAccountService/UpdateSocialAccount": {
        "social_account.platform",
        "social_account.platform_user_id",
        "social_account.username",
        "social_account.display_name",
        "social_account.profile_photo_url",
        "social_account.state",
        "social_account.scopes",
        "social_account.access_token_expire_time",
        "social_account.create_time",
        "social_account.update_time",
        "social_account.connect_time",
        "social_account.reauth_reason",
    },
    "SocialPostService/CreateSocialPost": {
        "social_post.id",
        "social_post.state",
        "social_post.targets",
        "social_post.etag",
        "social_post.create_time",
        "social_post.update_time",
    },
    "SocialPostService/UpdateSocialPost": {
        "social_post.state",
        "social_post.targets",
        "social_post.create_time",
        "social_post.update_time",
    },
    "SocialPostService/ValidateSocialPost": {
        "social_post.id",
        "social_post.state",
        "social_post.targets",
        "social_post.etag",
        "social_post.create_time",
        "social_post.update_time",
    },
}
# `optional`, and yet an empty string means something: this account gets the media without a text.
MAY_BE_EMPTY = {"social_post.account_overrides[1].caption"}

# What valid requests end with that name what is not there.
VALID_AND_YET = {
    "SocialAccountService/CompleteAuth": ("NOT_FOUND", "AUTH_STATE_UNKNOWN", ()),
    "SocialAccountService/ConfirmAuth": ("NOT_FOUND", "AUTH_CONFIRMATION_UNKNOWN", ()),
    "SocialAccountService/ConnectWithAppPassword": ("UNAVAILABLE", "PLATFORM_UNAVAILABLE", ()),
}

Wrong = tuple[str, str, Message]


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _is_nested(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.full_name not in LEAVES


def _required(field: FieldDescriptor) -> bool:
    return COMMENTS[field.full_name].startswith("Required.")


def _wrong_strings(valid: str) -> dict[str, str]:
    return {
        "NUL": f"{valid}\0",
        "escape": f"{valid}\x1b",
        "C1 control": f"{valid}\x9b",
        "too long": valid + "x" * 100_000,
    }


# Of a oneof the members that the valid request can't have.
OTHER_OPTIONS: dict[str, dict[str, Any]] = {
    "bluesky": {"handle": "alice.example.com"},
    "mastodon": {"instance": "mastodon.example:8443"},
    "linkedin": {"connection_type": "LINKED_IN_CONNECTION_TYPE_ORGANIZATION"},
    "instagram": {"login": "INSTAGRAM_LOGIN_FACEBOOK"},
    "x": {"short_lived": True},
}


def _wrong_values(field: FieldDescriptor, valid: Any) -> dict[str, Any]:
    """Values of the field's type, each near a valid one, that no field may have."""
    match field.type:
        case FieldDescriptor.TYPE_STRING:
            return _wrong_strings(valid)
        case FieldDescriptor.TYPE_ENUM:
            return {"unknown": 9999, "negative": -1}
        case FieldDescriptor.TYPE_BOOL:
            return {}
        case FieldDescriptor.TYPE_INT32:
            return {"negative": -1, "most negative": -(2**31)}
        case FieldDescriptor.TYPE_MESSAGE if field.message_type.full_name == LEAVES[0]:
            return WRONG_TIMES
        case FieldDescriptor.TYPE_MESSAGE if field.message_type.full_name == LEAVES[1]:
            return WRONG_MASKS
        case FieldDescriptor.TYPE_MESSAGE if field.message_type.full_name == LEAVES[2]:
            return WRONG_DURATIONS
    raise AssertionError(f"{field.full_name}: say which values of its type are wrong")


def _unset(field: FieldDescriptor, path: str) -> dict[str, Any]:
    """Wrong by being empty: where required, an item of a list, or an explicitly set string."""
    must_not = field.is_repeated or _required(field)
    if field.type == FieldDescriptor.TYPE_ENUM:
        return {"UNSPECIFIED": 0} if must_not else {}
    if field.type == FieldDescriptor.TYPE_STRING and (must_not or field.has_presence):
        return {} if path in MAY_BE_EMPTY else {"empty": ""}
    return {}


def _changed(message: Message, field: FieldDescriptor, value: Any, index: int | None = None) -> Message:
    """A copy with this value in the field, or in its item."""
    copy = type(message)()
    copy.CopyFrom(message)
    if index is not None and isinstance(value, Message):
        getattr(copy, field.name)[index].CopyFrom(value)
    elif index is not None:
        getattr(copy, field.name)[index] = value
    elif isinstance(value, Message):
        getattr(copy, field.name).CopyFrom(value)
    else:
        copy.ClearField(field.name)
        if field.is_repeated:
            getattr(copy, field.name).extend(value)
        else:
            setattr(copy, field.name, value)
    return copy


def _distinct(item: Any, count: int) -> list[Any]:
    """Many items like this one, of the same length if they are texts."""
    if not isinstance(item, str):
        return [item] * count
    return [item[:-4] + f"{number:04}" for number in range(count)]


def _wrong_in_map(message: Message, field: FieldDescriptor, path: str) -> Iterator[Wrong]:
    too_many = {f"key-{number}": "value" for number in range(1001)}
    bad_keys = {label: {key: "value"} for label, key in {"empty": "", **_wrong_strings("key")}.items()}
    bad_values = {label: {"key": value} for label, value in _wrong_strings("value").items()}
    for kind, wrongs in (("", {"too many": too_many}), ("key: ", bad_keys), ("value: ", bad_values)):
        for label, entries in wrongs.items():
            copy = type(message)()
            copy.CopyFrom(message)
            copy.ClearField(field.name)
            getattr(copy, field.name).update(entries)
            yield path, kind + label, copy


def _wrong_in_list(message: Message, field: FieldDescriptor, path: str, ignored: set[str]) -> Iterator[Wrong]:
    items = getattr(message, field.name)
    last = len(items) - 1
    assert items, f"{path}: the valid request needs an item"
    yield path, "too many", _changed(message, field, _distinct(items[last], 1001))
    if _is_nested(field):
        for inner_path, label, inner in _wrong_in(items[last], f"{path}[{last}].", ignored):
            yield inner_path, label, _changed(message, field, inner, last)
        return
    for label, value in {**_wrong_values(field, items[last]), **_unset(field, path)}.items():
        yield f"{path}[{last}]", label, _changed(message, field, value, last)


def _wrong_in(message: Message, prefix: str, ignored: set[str]) -> Iterator[Wrong]:
    """Copies of a valid message, each with one wrong value: its path, what is wrong, the copy."""
    for field in message.DESCRIPTOR.fields:
        path = prefix + field.name
        if path in ignored:
            continue
        if _is_map(field):
            yield from _wrong_in_map(message, field, path)
        elif field.is_repeated:
            yield from _wrong_in_list(message, field, path, ignored)
        elif _is_nested(field):
            yield from _wrong_in_nested(message, field, path, ignored)
        else:
            valid = getattr(message, field.name)
            for label, value in {**_wrong_values(field, valid), **_unset(field, path)}.items():
                yield path, label, _changed(message, field, value)


def _wrong_in_nested(
    message: Message, field: FieldDescriptor, path: str, ignored: set[str]
) -> Iterator[Wrong]:
    valid = getattr(message, field.name)
    if field.containing_oneof is not None and not message.HasField(field.name):
        valid = ParseDict(OTHER_OPTIONS[field.name], type(valid)())
    else:
        assert message.HasField(field.name), f"{path}: the valid request needs it"
    for inner_path, label, inner in _wrong_in(valid, f"{path}.", ignored):
        yield inner_path, label, _changed(message, field, inner)
    if _required(field):
        copy = type(message)()
        copy.CopyFrom(message)
        copy.ClearField(field.name)
        yield path, "absent", copy


@pytest.mark.parametrize("method", METHODS)
def test_every_wrong_value_is_refused_by_the_name_of_its_field(client: Client, method: str) -> None:
    valid = valid_request(client, method)
    accepted = {}
    for path, label, request in _wrong_in(valid, "", IGNORED.get(method, set())):
        outcome = _outcome(client, method, request)
        if outcome is None or outcome[:2] != ("INVALID_ARGUMENT", "FIELD_INVALID") or path not in outcome[2]:
            accepted[f"{path}: {label}"] = outcome
    assert accepted == {}


@pytest.mark.parametrize("method", METHODS)
def test_the_valid_request_that_wrong_values_are_put_into_is_valid(client: Client, method: str) -> None:
    outcome = _outcome(client, method, valid_request(client, method))
    assert outcome == VALID_AND_YET.get(method)


def _outcome(
    client: Client, method: str, request: Message | bytes
) -> tuple[str, str, tuple[str, ...]] | None:
    """None for success, else code, reason and wrong fields."""
    try:
        client.with_call(method, request)
    except grpc.RpcError as error:
        failed = failure(error)
        return failed.code, failed.reason, failed.fields
    return None


@pytest.mark.parametrize("method", sorted(IGNORED))
def test_what_the_contract_calls_output_only_is_ignored(client: Client, method: str) -> None:
    request = valid_request(client, method)
    resource = next(field for field in request.DESCRIPTOR.fields if field.name.startswith("social_"))
    for path in IGNORED[method]:
        _spoil(getattr(request, resource.name), path.removeprefix(f"{resource.name}."))
    assert _outcome(client, method, request) is None


def _spoil(message: Message, name: str) -> None:
    """Puts a value in the field that would be wrong in any that is read."""
    field = message.DESCRIPTOR.fields_by_name[name]
    if _is_nested(field):
        getattr(message, name).add()
        return
    value = next(iter(_wrong_values(field, "").values()))
    if field.is_repeated:
        getattr(message, name).append(value)
    elif isinstance(value, Message):
        getattr(message, name).CopyFrom(value)
    else:
        setattr(message, name, value)


def test_the_table_of_ignored_fields_is_that_of_the_contract() -> None:
    for method, descriptor in MESSAGES.items():
        said = set()
        for field in descriptor.input_type.fields:
            if _is_nested(field) and not _is_map(field):
                said |= set(_said_to_be_ignored(field, creates=descriptor.name.startswith("Create")))
        assert said == IGNORED.get(method, set()), method


def _said_to_be_ignored(field: FieldDescriptor, *, creates: bool) -> Iterator[str]:
    also = re.search(r"Output-only fields, (\w+) and (\w+) are ignored", COMMENTS[field.full_name])
    for inner in field.message_type.fields:
        said = COMMENTS[inner.full_name]
        required_here = said.startswith("Output only on create, required on update.") and not creates
        # The id of an update is required too; its comment is written for the resource.
        named = inner.name == "id" and not creates
        if (said.startswith("Output only") and not required_here and not named) or (
            also and inner.name in also.groups()
        ):
            yield f"{field.name}.{inner.name}"


# Anything at all.

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


def _anything(descriptor: Descriptor, known: list[str]) -> st.SearchStrategy[Message]:
    """Messages with any value that the fields' types allow; ids among the texts, so that calls get far."""
    fields = {field.name: _any_value(field, known) for field in descriptor.fields}
    return st.fixed_dictionaries({}, optional=fields).map(lambda given: _built(descriptor, given))


def _built(descriptor: Descriptor, fields: dict[str, Any]) -> Message:
    message = descriptor._concrete_class()
    for name, value in fields.items():
        if isinstance(value, dict):
            getattr(message, name).update(value)
        elif isinstance(value, list):
            getattr(message, name).extend(value)
        elif isinstance(value, Message):
            getattr(message, name).CopyFrom(value)
        else:
            setattr(message, name, value)
    return message


def _any_value(field: FieldDescriptor, known: list[str]) -> st.SearchStrategy[Any]:
    if _is_map(field):
        return st.dictionaries(TEXTS, TEXTS, max_size=3)
    one = _any_single(field, known)
    return st.lists(one, max_size=3) if field.is_repeated else one


def _any_single(field: FieldDescriptor, known: list[str]) -> st.SearchStrategy[Any]:
    bits = 63 if field.type == FieldDescriptor.TYPE_INT64 else 31
    integers = st.integers(-(2**bits), 2**bits - 1)
    match field.type:
        case FieldDescriptor.TYPE_STRING if field.name == "paths":
            return st.sampled_from(["caption", "scheduled_time", "metadata", "external_id", "*"]) | TEXTS
        case FieldDescriptor.TYPE_STRING:
            return st.sampled_from(known) | TEXTS
        case FieldDescriptor.TYPE_ENUM:
            return st.sampled_from([value.number for value in field.enum_type.values]) | integers
        case FieldDescriptor.TYPE_MESSAGE if field.message_type.full_name == LEAVES[0]:
            times = st.integers(0, 5_000_000_000).map(lambda seconds: Timestamp(seconds=seconds))
            return times | _anything(field.message_type, known)
        case FieldDescriptor.TYPE_MESSAGE:
            return _anything(field.message_type, known)
        case FieldDescriptor.TYPE_INT32 | FieldDescriptor.TYPE_INT64:
            return st.integers(0, 10) | integers
        case FieldDescriptor.TYPE_BOOL:
            return st.booleans()
    raise AssertionError(f"{field.full_name}: say how to make a value of its type")


@pytest.mark.parametrize("method", METHODS)
def test_no_message_is_too_much_for_the_server(client: Client, method: str) -> None:
    account = client.connect(external_id="alice")
    known = [
        account.id,
        client.draft(account.id).id,
        "alice",
        "1",
        "https://a.example/?state=s&code=c",
        "é😀",
    ]
    valid, request_type = valid_request(client, method), MESSAGES[method].input_type

    @settings(GENERATED, max_examples=150)
    @given(_anything(request_type, known), st.none() | st.sampled_from(sorted(request_type.fields_by_name)))
    def send(request: Message, only: str | None) -> None:
        if only is not None:
            request = _with_field_of(valid, request, only)
        outcome = _outcome(client, method, request)
        assert outcome is None or (outcome[0] not in ("INTERNAL", "UNKNOWN") and outcome[1])

    send()


def _with_field_of(valid: Message, other: Message, name: str) -> Message:
    """The valid message, but for one field: what is wrong elsewhere would hide what it does."""
    message = type(valid)()
    message.CopyFrom(other)
    for field in message.DESCRIPTOR.fields:
        if field.name != name:
            message.ClearField(field.name)
    rest = type(valid)()
    rest.CopyFrom(valid)
    rest.ClearField(name)
    message.MergeFrom(rest)
    return message


# Not even a message.


@pytest.mark.parametrize("method", METHODS)
def test_bytes_that_are_no_message_are_an_invalid_argument(client: Client, method: str) -> None:
    for raw in (b"\xff\xff\xff", b"\x0a\xff", b"\x00"):
        assert _outcome(client, method, raw) == ("INVALID_ARGUMENT", "FIELD_INVALID", ("request",)), raw


@pytest.mark.parametrize("method", METHODS)
def test_text_that_is_not_utf_8_is_an_invalid_argument(client: Client, method: str) -> None:
    for field in MESSAGES[method].input_type.fields:
        if field.type == FieldDescriptor.TYPE_STRING:
            raw = bytes([field.number << 3 | 2, 2]) + b"\xc3\x28"
            outcome = _outcome(client, method, raw)
            assert outcome == ("INVALID_ARGUMENT", "FIELD_INVALID", ("request",)), field.name


@pytest.mark.parametrize(
    "path", ["/hitchpost.v1.SocialAccountService/Nothing", "/hitchpost.v1.NoService/Get", "/hitchpost.v2.X/Y"]
)
def test_a_method_that_does_not_exist_is_unimplemented(client: Client, path: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        client.channel.unary_unary(path)(b"", metadata=client.metadata, timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


# The owner scope: whatever can't be an owner must not be taken for "no owner".

WRONG_SCOPES: dict[str, list[tuple[str, str | bytes]]] = {
    "empty": [("x-external-id", "")],
    "empty bytes": [("x-external-id-bin", b"")],
    "too long": [("x-external-id", "a" * 256)],
    "too long bytes": [("x-external-id-bin", ("😀" * 256).encode())],
    "NUL": [("x-external-id-bin", b"a\0")],
    "line end": [("x-external-id-bin", b"alice\n")],
    "C1 control": [("x-external-id-bin", "alice\x9b".encode())],
    "twice": [("x-external-id", "alice"), ("x-external-id", "alice")],
    "twice as bytes": [("x-external-id-bin", b"alice"), ("x-external-id-bin", b"alice")],
    "text and bytes": [("x-external-id", "alice"), ("x-external-id-bin", b"alice")],
    "not UTF-8": [("x-external-id-bin", b"alice\xff")],
    "a surrogate": [("x-external-id-bin", b"\xed\xa0\x80")],
}


@pytest.mark.parametrize("metadata", WRONG_SCOPES.values(), ids=WRONG_SCOPES)
def test_a_scope_that_is_no_owner_is_refused(client: Client, metadata: list[tuple[str, str | bytes]]) -> None:
    account = client.connect(external_id="alice")
    for method, fields in (
        ("SocialAccountService/ListSocialAccounts", {}),
        ("SocialAccountService/GetSocialAccount", {"social_account_id": account.id}),
        ("SocialAccountService/DeleteSocialAccount", {"social_account_id": account.id}),
    ):
        failed = client.fails(method, extra=metadata, **fields)
        assert failed.what == ("INVALID_ARGUMENT", "FIELD_INVALID"), method
        assert failed.fields[0] in ("x-external-id", "x-external-id-bin")
