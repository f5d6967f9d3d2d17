"""What a platform's limits, and an account's state and permissions, say of a post: all of it at once."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from generated.hitchpost.v1 import platform_pb2
from generated.hitchpost.v1 import social_account_service_pb2 as accounts_pb
from server.accounts.scope import Sendable
from server.posts.rows import Content
from server.posts.sendable import problems
from tests.kit.support import Client, import_request, unique

SANDBOX, BLUESKY, MASTODON, X = (
    platform_pb2.Platform.Value(f"PLATFORM_{name}") for name in ("SANDBOX", "BLUESKY", "MASTODON", "X")
)
CONNECTED, NEEDS_REAUTH, DISCONNECTED = (
    accounts_pb.SocialAccountState.Value(f"SOCIAL_ACCOUNT_STATE_{name}")
    for name in ("CONNECTED", "NEEDS_REAUTH", "DISCONNECTED")
)
CREATE = "SocialPostService/CreateSocialPost"
UPDATE = "SocialPostService/UpdateSocialPost"
SUMMER = datetime(2040, 7, 1, 9, tzinfo=UTC)
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"
LINK = "https://shop.example/" + "cups/" * 100


def _account(
    account_id: str = "one",
    platform: int = BLUESKY,
    state: int = CONNECTED,
    scopes: tuple[str, ...] = (),
    limits: Mapping[str, Any] | None = None,
) -> Sendable:
    return Sendable(account_id, None, platform, state, scopes, limits)


def _content(*account_ids: str, **fields: Any) -> Content:
    values = {
        "external_id": None,
        "caption": "hello",
        "social_account_ids": account_ids or ("one",),
        "media": [],
        "scheduled_time": None,
        "overrides": {},
        "platform_options": {},
        "follow_ups": [],
    }
    return Content(**{**values, **fields})


def _media(*names: str, alt_text: str = "") -> list[dict[str, str]]:
    return [{"url": f"https://cdn.example/{name}", "alt_text": alt_text} for name in names]


def _poll(*options: str, duration: str = "3600s") -> dict[str, Any]:
    return {"mastodon": {"poll": {"options": list(options), "duration": duration}}}


def _wrong(platform: int, limits: Mapping[str, Any] | None = None, **fields: Any) -> list[str]:
    """The fields that are wrong of such a post to one account, without what they all begin with."""
    found = problems(_content(**fields), [_account(platform=platform, limits=limits)])
    assert {problem.social_account_id for problem in found} <= {"one"}
    return [problem.field.removeprefix("social_post.") for problem in found]


TEXTS = {
    # (platform, text, whether it may be sent)
    "300 letters": (BLUESKY, "a" * 300, True),
    "301 letters": (BLUESKY, "a" * 301, False),
    "a family is one": (BLUESKY, FAMILY * 119, True),
    "a letter and its accents are one": (BLUESKY, "e\u0301" * 300, True),
    "301 of these": (BLUESKY, "e\u0301" * 301, False),
    "an end of line is one": (BLUESKY, "\r\n" * 300, True),
    "3,000 bytes in few graphemes": (BLUESKY, FAMILY * 120, True),
    "3,025 bytes in few graphemes": (BLUESKY, FAMILY * 121, False),
    "a link counts in full": (BLUESKY, LINK, False),
    "500 letters": (MASTODON, "a" * 500, True),
    "501 letters": (MASTODON, "a" * 501, False),
    "500 graphemes": (MASTODON, FAMILY * 500, True),
    "a link counts 23": (MASTODON, "a" * 476 + " " + LINK, True),
    "a link and one letter more": (MASTODON, "a" * 477 + " " + LINK, False),
    "a short link counts 23, too": (MASTODON, "a" * 477 + " http://a.de", False),
    "a mention counts without its server": (MASTODON, "a" * 493 + " @alice@" + "a" * 60 + ".example", True),
    "a mention and one letter more": (MASTODON, "a" * 494 + " @alice@" + "a" * 60 + ".example", False),
    "an address of mail counts in full": (MASTODON, "a" * 480 + " alice@mail.example.org", False),
    "what a post may be": (SANDBOX, "a" * 65_536, True),
}


@pytest.mark.parametrize(("platform", "text", "fits"), TEXTS.values(), ids=TEXTS)
def test_a_text_is_counted_as_its_platform_counts(platform: int, text: str, fits: bool) -> None:
    assert _wrong(platform, caption=text) == ([] if fits else ["caption"])
    follow_up = {"caption": text, "media": [], "delay": 0, "place": 0}
    assert _wrong(platform, follow_ups=[follow_up]) == ([] if fits else ["follow_ups[0].caption"])


def test_a_text_is_told_its_limit_and_its_length() -> None:
    (found,) = problems(_content(caption="a" * 312), [_account()])

    assert found.description == "must have at most 300 characters for bluesky; has 312"


def test_what_is_folded_before_a_text_counts_with_it() -> None:
    folded = {"mastodon": {"spoiler_text": "b" * 100}}

    assert _wrong(MASTODON, caption="a" * 400, platform_options=folded) == []
    assert _wrong(MASTODON, caption="a" * 401, platform_options=folded) == ["caption"]
    assert _wrong(BLUESKY, caption="a" * 300, platform_options=folded) == []


MEDIA = {
    # (platform, media, the fields that are wrong)
    "four images": (BLUESKY, _media("1.jpg", "2.png", "3.gif", "4.webp"), []),
    "five images": (BLUESKY, _media("1.jpg", "2.jpg", "3.jpg", "4.jpg", "5.jpg"), ["media"]),
    "five that nobody knows": (BLUESKY, _media("1", "2", "3", "4", "5"), ["media"]),
    "a video": (BLUESKY, _media("1.mp4"), []),
    "two videos": (BLUESKY, _media("1.mp4", "2.mp4"), ["media"]),
    "a video and an image": (BLUESKY, _media("1.jpg", "2.mp4"), ["media"]),
    "a video and something": (BLUESKY, _media("1.mp4", "2"), ["media"]),
    "a video and an image, where they mix": (SANDBOX, _media("1.jpg", "2.mp4"), []),
    "a type that is not taken": (BLUESKY, _media("1.jpg", "2.MOV?size=9#x"), ["media", "media[1].url"]),
    "neither image nor video": (MASTODON, _media("1.pdf", "2.mp3"), ["media[0].url", "media[1].url"]),
    "an end that says nothing": (BLUESKY, _media("picture.php", "of.me", "photo", ".jpg/"), []),
    "a name before the path": (BLUESKY, [{"url": "https://pdf.example.pdf"}], []),
    "an alt text of an image": (MASTODON, _media("1.jpg", alt_text="a" * 1500), []),
    "one too long": (MASTODON, _media("0.jpg", alt_text="a" * 1501), ["media[0].alt_text"]),
    "one of an image without limit": (BLUESKY, _media("1.jpg", alt_text="a" * 2000), []),
    "one of a video": (BLUESKY, _media("1.mp4", alt_text="a" * 1001), ["media[0].alt_text"]),
    "one of graphemes": (BLUESKY, _media("1.mp4", alt_text=FAMILY * 1000), []),
    "one of what may be an image": (BLUESKY, _media("1", alt_text="a" * 2000), []),
}


@pytest.mark.parametrize(("platform", "media", "wrong"), MEDIA.values(), ids=MEDIA)
def test_media_are_what_their_platform_takes(
    platform: int, media: list[dict[str, str]], wrong: list[str]
) -> None:
    assert _wrong(platform, media=media) == wrong
    follow_up = {"caption": "", "media": media, "delay": 0, "place": 0}
    assert _wrong(platform, follow_ups=[follow_up]) == [f"follow_ups[0].{field}" for field in wrong]


POLL = "platform_options.mastodon.poll"
POLLS = {
    "two options": (_poll("yes", "no"), [], []),
    "five options": (_poll(*"abcde"), [], [f"{POLL}.options"]),
    "an option of 51": (_poll("yes", "n" * 51), [], [f"{POLL}.options[1]"]),
    "an option of 50 graphemes": (_poll("yes", FAMILY * 50), [], []),
    "no duration": ({"mastodon": {"poll": {"options": ["yes", "no"]}}}, [], [f"{POLL}.duration"]),
    "too short": (_poll("yes", "no", duration="299.999999s"), [], [f"{POLL}.duration"]),
    "short": (_poll("yes", "no", duration="300s"), [], []),
    "too long": (_poll("yes", "no", duration="2629747s"), [], [f"{POLL}.duration"]),
    "with media": (_poll("yes", "no"), _media("1.jpg"), [POLL]),
    "everything": (
        _poll(*"abcd", "e" * 51, duration="1s"),
        _media("1.jpg"),
        [POLL, f"{POLL}.options", f"{POLL}.options[4]", f"{POLL}.duration"],
    ),
}


@pytest.mark.parametrize(("options", "media", "wrong"), POLLS.values(), ids=POLLS)
def test_a_poll_is_what_its_platform_takes(
    options: dict[str, Any], media: list[dict[str, str]], wrong: list[str]
) -> None:
    assert _wrong(MASTODON, platform_options=options, media=media) == wrong
    assert _wrong(BLUESKY, platform_options=options, media=media) == []


def test_what_a_server_has_said_of_an_account_counts() -> None:
    more = {"most_characters": 5000, "most_media": 6, "most_images": 6, "poll_options": 8}
    less = {"most_characters": 4, "image_types": ["image/png"], "url_counts_as": 3}
    six = _media(*(f"{number}.jpg" for number in range(6)))

    assert _wrong(MASTODON, more, caption="a" * 5000, media=six) == []
    assert _wrong(MASTODON, more, caption="a" * 5001) == ["caption"]
    assert _wrong(MASTODON, more, platform_options=_poll(*"abcdefgh")) == []
    assert _wrong(MASTODON, less, caption=LINK) == []
    assert _wrong(MASTODON, less, media=six[:1]) == ["caption", "media[0].url"]


ACCOUNTS = {
    "connected": (_account(), None),
    "refused tokens": (_account(state=NEEDS_REAUTH), "must be connected again"),
    "disconnected": (_account(state=DISCONNECTED), "must be connected again"),
    "a platform without limits": (_account(platform=X), "can't be published to"),
    "nobody knows the scopes": (_account(platform=MASTODON), None),
    "all that is needed": (_account(platform=MASTODON, scopes=("write:statuses", "write:media")), None),
    "more than that": (_account(platform=MASTODON, scopes=("read", "write")), None),
    "reads only": (_account(platform=MASTODON, scopes=("read",)), "write:statuses and write:media"),
    "no media": (_account(platform=MASTODON, scopes=("write:statuses",)), "permission write:media"),
    "the sandbox": (_account(platform=SANDBOX, scopes=("profile.read",)), "permission posts.write"),
    "all of the protocol": (_account(scopes=("atproto", "transition:generic")), None),
    "nothing of it": (_account(scopes=("atproto", "transition:email")), "permission transition:generic"),
    "posts": (_account(scopes=("atproto", "repo:app.bsky.feed.post?action=create", "blob:*/*")), None),
    "all records": (_account(scopes=("atproto", "repo:*")), None),
    "records of others": (_account(scopes=("atproto", "repo:app.bsky.feed.like")), "transition:generic"),
}


@pytest.mark.parametrize(("account", "wanted"), ACCOUNTS.values(), ids=ACCOUNTS)
def test_an_account_must_be_able_to_publish(account: Sendable, wanted: str | None) -> None:
    found = problems(_content("zero", "one", media=_media("1.jpg")), [account])

    assert len(found) == (0 if wanted is None else 1)
    for problem in found:
        assert problem.field == "social_post.social_account_ids[1]"
        assert wanted is not None
        assert wanted in problem.description


def test_a_post_without_media_needs_no_permission_for_them() -> None:
    account = _account(platform=MASTODON, scopes=("write:statuses",))
    follow_up = {"caption": "", "media": _media("1.jpg"), "delay": 0, "place": 0}

    assert problems(_content(), [account]) == []
    assert len(problems(_content(follow_ups=[follow_up]), [account])) == 1


def test_an_override_is_checked_in_the_place_of_what_it_replaces() -> None:
    long, five = "a" * 301, _media(*(f"{number}.jpg" for number in range(5)))
    overrides = {"two": ("short", None), "one": (None, five), "three": (long, _media("1.mov"))}
    accounts = [_account("one"), _account("two"), _account("three"), _account("four", MASTODON)]

    found = problems(_content("one", "two", "three", "four", caption=long, overrides=overrides), accounts)

    assert [(problem.social_account_id, problem.field.removeprefix("social_post.")) for problem in found] == [
        ("one", "caption"),
        ("one", "account_overrides[1].media"),
        ("three", "account_overrides[2].caption"),
        ("three", "account_overrides[2].media[0].url"),
    ]


def test_platforms_are_checked_without_accounts() -> None:
    content = _content("one", caption="a" * 301, overrides={"one": ("short", None)})

    found = problems(content, [_account()], [BLUESKY, MASTODON, X])

    assert [(problem.social_account_id, problem.platform, problem.field) for problem in found] == [
        ("", BLUESKY, "social_post.caption"),
        ("", X, "platforms[2]"),
    ]


# Where it is asked.

ALL_AT_ONCE = (
    "social_post.caption",
    "social_post.social_account_ids[1]",
    "social_post.media[0].url",
    "social_post.account_overrides[0].caption",
    f"social_post.{POLL}",
    "social_post.follow_ups[0].caption",
)


def _unsendable(client: Client) -> dict[str, Any]:
    """A post with one thing wrong in each of its parts."""
    sky, mastodon = (_imported(client, f"PLATFORM_{name}") for name in ("BLUESKY", "MASTODON"))
    client("SocialAccountService/DisconnectSocialAccount", social_account_id=mastodon)
    other = _imported(client, "PLATFORM_BLUESKY")
    return {
        "caption": "a" * 400,
        "social_account_ids": [sky, mastodon, other],
        "media": [{"url": "https://cdn.example/1.pdf"}],
        "account_overrides": [{"social_account_id": other, "caption": "b" * 301}],
        "platform_options": {"mastodon": {"poll": {"options": ["yes", "no"], "duration": {"seconds": 300}}}},
        "follow_ups": [{"caption": "a" * 301}],
    }


def _imported(client: Client, platform: str, **fields: Any) -> str:
    request = import_request(unique("profile"), platform=platform, **fields)
    account = client("SocialAccountService/ImportSocialAccount", request).social_account
    return str(account.id)


def test_a_draft_may_be_anything(client: Client) -> None:
    draft = client(CREATE, social_post=_unsendable(client)).social_post

    assert draft.state == 1


def test_what_is_scheduled_is_told_everything_at_once(client: Client) -> None:
    post = _unsendable(client)

    failed = client.fails(CREATE, social_post={**post, "scheduled_time": SUMMER})

    assert failed.what == ("INVALID_ARGUMENT", "FIELD_INVALID")
    assert tuple(dict.fromkeys(failed.fields)) == ALL_AT_ONCE
    assert len(client("SocialPostService/ListSocialPosts").social_posts) == 0


def test_what_an_update_schedules_is_told_the_same(client: Client) -> None:
    draft = client(CREATE, social_post=_unsendable(client)).social_post

    failed = client.fails(UPDATE, social_post={"id": draft.id, "scheduled_time": SUMMER})

    assert tuple(dict.fromkeys(failed.fields)) == ALL_AT_ONCE
    assert client("SocialPostService/GetSocialPost", social_post_id=draft.id).social_post == draft


def test_a_scheduled_post_stays_one_that_can_be_sent(client: Client) -> None:
    account = _imported(client, "PLATFORM_BLUESKY")
    post = client.draft(account, scheduled_time=SUMMER)

    failed = client.fails(UPDATE, social_post={"id": post.id, "caption": "a" * 301})
    client("SocialAccountService/DisconnectSocialAccount", social_account_id=account)
    later = client.fails(UPDATE, social_post={"id": post.id, "external_id": "spring"})

    assert failed.fields == ("social_post.caption",)
    assert later.fields == ("social_post.social_account_ids[0]",)
    cleared = client(UPDATE, social_post={"id": post.id}, update_mask={"paths": ["scheduled_time"]})
    assert cleared.social_post.state == 1


def test_an_account_that_is_not_there_or_not_theirs_comes_before_all_that(client: Client) -> None:
    theirs = client.connect(external_id="bob").id
    missing = "sa_" + "0" * 26
    post = {"caption": "a" * 301, "scheduled_time": SUMMER}
    mine = _imported(client, "PLATFORM_BLUESKY", external_id="alice")

    unknown = client.fails(CREATE, social_post={**post, "social_account_ids": [mine, missing]})
    confined = client.as_owner("alice").fails(
        CREATE, social_post={**post, "social_account_ids": [mine, theirs]}
    )

    assert unknown.what == ("NOT_FOUND", "SOCIAL_ACCOUNT_NOT_FOUND")
    assert confined.what == ("PERMISSION_DENIED", "OWNER_MISMATCH")


def test_limits_that_an_account_has_of_its_own_are_read(client: Client, sql: Any) -> None:
    account = _imported(client, "PLATFORM_MASTODON")
    sql("UPDATE social_account SET limits = '{\"most_characters\": 2000}' WHERE id = %s", account)

    assert client.draft(account, caption="a" * 2000, scheduled_time=SUMMER).state == 2
    failed = client.fails(
        CREATE,
        social_post={"caption": "a" * 2001, "social_account_ids": [account], "scheduled_time": SUMMER},
    )
    assert failed.fields == ("social_post.caption",)
