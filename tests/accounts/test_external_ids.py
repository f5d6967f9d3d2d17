"""External ids that bite: each is stored and found exactly as it is, or refused by its field."""

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kit.support import GENERATED, Client, unique

GOOD = {
    "comma": "a,b",
    "before the comma": "a",
    "after the comma": "b",
    "percent": "%",
    "underscore": "_",
    "SQL": "'; --",
    "quotes": "\"'`",
    "emoji": "😀",
    "joined emoji": "👩‍👩‍👧",
    "255 ASCII": "x" * 255,
    "255 astral": "😀" * 255,
    "spaces around": " x ",
    "no spaces": "x",
    "space": " ",
    "lower case": "case",
    "upper case": "CASE",
    "sharp s": "straße",
    "double s": "strasse",
    "composed": "\u00e9",
    "decomposed": "e\u0301",
    "backslash": "\\",
    "two backslashes": "\\\\",
    "braces": "{a}",
    "array": "{a,b}",
    "NULL": "NULL",
    "null": "null",
    "None": "None",
    "zero-width": "a\u200bb",
    "right to left": "\u202eabc",
    "byte order mark": "\ufeffa",
    "noncharacter": "\uffff",
    "no-break space": "\u00a0",
    "line separator": "a\u2028b",
    "percent-encoded": "a%2Cb",
    "format": "%(project)s {fields}",
}
BAD = {
    "empty": "",
    "256 ASCII": "x" * 256,
    "256 astral": "😀" * 256,
    "NUL": "a\0b",
    "line feed": "a\nb",
    "tab": "\t",
    "delete": "a\x7f",
    "next line": "a\x85b",
}
OWNERS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=255)


def _accounts(client: Client, *external_ids: str) -> list[str]:
    return sorted(
        account.id
        for account in client(
            "SocialAccountService/ListSocialAccounts", external_ids=external_ids
        ).social_accounts
    )


def _posts(client: Client, *external_ids: str) -> list[str]:
    answer = client("SocialPostService/ListSocialPosts", external_ids=external_ids)
    return sorted(post.id for post in answer.social_posts)


def test_each_account_is_found_by_its_own_id_and_by_no_other(client: Client) -> None:
    stored = {external_id: client.connect(external_id=external_id) for external_id in GOOD.values()}
    assert {account.external_id for account in stored.values()} == set(GOOD.values())
    found = {external_id: _accounts(client, external_id) for external_id in stored}
    assert found == {external_id: [account.id] for external_id, account in stored.items()}
    assert _accounts(client, *stored) == sorted(account.id for account in stored.values())


def test_each_post_is_found_by_its_own_tag_and_by_no_other(client: Client) -> None:
    account = client.connect()
    stored = {external_id: client.draft(account.id, external_id=external_id) for external_id in GOOD.values()}
    assert {post.external_id for post in stored.values()} == set(GOOD.values())
    found = {external_id: _posts(client, external_id) for external_id in stored}
    assert found == {external_id: [post.id] for external_id, post in stored.items()}
    assert _posts(client, *stored) == sorted(post.id for post in stored.values())


def test_a_filter_is_a_list_and_not_a_text_with_commas(client: Client) -> None:
    one, other = client.connect(external_id="a"), client.connect(external_id="b")
    for external_id in ("a", "b"):
        client.draft(one.id, external_id=external_id)
    assert _accounts(client, "a,b") == _posts(client, "a,b") == []
    assert _accounts(client, "a", "b") == sorted([one.id, other.id])


def test_each_id_confines_a_call_to_its_own_rows(client: Client) -> None:
    """As x-external-id-bin, which is the way for ids that are not printable ASCII."""
    accounts = {external_id: client.connect(external_id=external_id).id for external_id in GOOD.values()}
    posts = {external_id: client.draft(id_).id for external_id, id_ in accounts.items()}
    for external_id, account_id in accounts.items():
        scoped = client.as_owner(external_id.encode())
        assert (_accounts(scoped), _posts(scoped)) == ([account_id], [posts[external_id]]), external_id


@pytest.mark.parametrize("external_id", [value for value in GOOD.values() if value.isascii()])
def test_printable_ascii_confines_a_call_as_text_too(client: Client, external_id: str) -> None:
    account = client.connect(external_id=external_id)
    client.connect(external_id=external_id[:254].swapcase() + "?")
    assert _accounts(client.as_owner(external_id)) == [account.id]


def test_an_owner_is_never_taken_for_its_twin(client: Client) -> None:
    for mine, twin in (("\u00e9", "e\u0301"), ("case", "CASE"), ("x", " x "), ("strasse", "straße")):
        profile = unique("profile")
        account = client.connect(profile, mine)
        with pytest.raises(grpc.RpcError) as refused:
            client.connect(profile, twin)
        assert refused.value.code() is grpc.StatusCode.ALREADY_EXISTS, (mine, twin)
        failed = client.as_owner(twin.encode()).fails(
            "SocialAccountService/GetSocialAccount", social_account_id=account.id
        )
        assert failed.what == ("PERMISSION_DENIED", "OWNER_MISMATCH"), (mine, twin)


@pytest.mark.parametrize("external_id", BAD.values(), ids=BAD)
def test_what_is_no_id_is_refused_by_its_field(client: Client, external_id: str) -> None:
    account, post = client.connect(), {"caption": "hello", "external_id": external_id}
    refused = {
        "external_id": ("SocialAccountService/CreateAuthUrl", {"platform": "PLATFORM_SANDBOX"}),
        "external_ids[0]": ("SocialAccountService/ListSocialAccounts", {}),
        "social_account.external_id": (
            "SocialAccountService/UpdateSocialAccount",
            {"social_account": {"id": account.id, "external_id": external_id}},
        ),
        "to_external_id": (
            "SocialAccountService/TransferSocialAccount",
            {"social_account_id": account.id, "from_external_id": "a"},
        ),
        "social_post.external_id": (
            "SocialPostService/CreateSocialPost",
            {"social_post": {**post, "social_account_ids": [account.id]}},
        ),
    }
    for path, (method, fields) in refused.items():
        if "." not in path:
            name, indexed, _ = path.partition("[")
            fields = {**fields, name: [external_id] if indexed else external_id}
        failed = client.fails(method, **fields)
        assert (failed.code, failed.fields) == ("INVALID_ARGUMENT", (path,)), method
    failed = client.as_owner(external_id.encode()).fails("SocialPostService/ListSocialPosts")
    assert (failed.code, failed.fields) == ("INVALID_ARGUMENT", ("x-external-id",))
    assert _accounts(client) == [account.id]
    assert _posts(client) == []


def test_any_id_comes_back_as_it_was_given(client: Client) -> None:
    @settings(GENERATED, max_examples=60)
    @given(OWNERS)
    def round_trip(external_id: str) -> None:
        account = client.connect(external_id=external_id)
        post = client.draft(account.id, external_id=external_id)
        assert account.external_id == post.external_id == external_id
        assert account.id in _accounts(client, external_id)
        assert account.id in _accounts(client.as_owner(external_id.encode()))
        assert post.id in _posts(client.as_owner(external_id.encode()), external_id)

    round_trip()


def test_any_two_ids_that_differ_are_two_owners(client: Client) -> None:
    @settings(GENERATED, max_examples=60)
    @given(OWNERS, OWNERS)
    def two(one: str, other: str) -> None:
        found = set(_accounts(client, one)) & set(_accounts(client, other))
        assert one == other or not found
        assert client.connect(external_id=one).id in _accounts(client, one)

    two()
