"""No answer is larger than the 4 MiB that clients accept: what a post, an account and a page may hold."""

import json
import random
import string
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from server.storage.database import Database
from tests.conftest import Running
from tests.kit.platforms import Sandbox
from tests.kit.support import Client, import_request, unique, whole_lines
from tests.kit.web import serving

CLIENTS_ACCEPT = 4 * 1024 * 1024
WIDE = "😀"  # four bytes of UTF-8
LONGEST = 65_536
MOST = 1_000_000
CREATE, GET = "SocialPostService/CreateSocialPost", "SocialPostService/GetSocialPost"
UPDATE, DELETE = "SocialPostService/UpdateSocialPost", "SocialPostService/DeleteSocialPost"
LIST, ACCOUNTS = "SocialPostService/ListSocialPosts", "SocialAccountService/ListSocialAccounts"
Sql = Callable[..., list[tuple[Any, ...]]]


def pages_of(client: Client, method: str, **fields: Any) -> Iterator[Any]:
    """Every answer of a walk through a list; each is one that clients accept."""
    token = ""
    for _ in range(300):
        answer = client(method, page_token=token, **fields)
        assert answer.ByteSize() <= CLIENTS_ACCEPT
        yield answer
        token = answer.next_page_token
        if not token:
            return
    raise AssertionError("a walk that does not end")


def pages(client: Client, method: str, **fields: Any) -> Iterator[list[str]]:
    """Every page as ids."""
    for answer in pages_of(client, method, **fields):
        yield [row.id for row in (answer.social_accounts if method == ACCOUNTS else answer.social_posts)]


def newest_first(ids: list[str]) -> list[str]:
    return sorted(ids, reverse=True)


# Pages.


@pytest.mark.parametrize("page_size", [0, 1000])
def test_a_page_of_long_captions_ends_early_and_a_walk_finds_all(client: Client, page_size: int) -> None:
    account = client.connect().id
    # Short ones before, between and after the long ones.
    captions = ["x", *[WIDE * LONGEST] * 10, "x", *[WIDE * LONGEST] * 8, *["x"] * 60]
    made = [client.draft(account, caption=caption).id for caption in captions]
    found = list(pages(client, LIST, page_size=page_size))
    assert list(chain(*found)) == newest_first(made)
    assert all(found)
    assert len(found[0]) == (page_size and 60 + 8) or 50


def test_a_page_of_the_largest_accounts_ends_early_and_a_walk_finds_all(client: Client) -> None:
    made = [client("SocialAccountService/ImportSocialAccount", largest_import()) for _ in range(20)]
    sizes = {len(answer.SerializeToString()) for answer in made}
    assert max(sizes) < 300_000
    found = list(pages(client, ACCOUNTS))
    assert list(chain(*found)) == newest_first([answer.social_account.id for answer in made])
    assert len(found) > 1


def largest_import() -> Any:
    """An import with as much in every field as may be there."""
    profile = unique("largest")
    return import_request(
        profile + WIDE * (255 - len(profile)),
        WIDE * 255,
        username=WIDE * 255,
        display_name=WIDE * 255,
        profile_photo_url="https://a.example/" + WIDE * 2030,
        scopes=[WIDE * 255] * 50,
        metadata={f"{number:02}" + WIDE * 62: WIDE * 1024 for number in range(50)},
    )


def test_a_page_of_many_targets_fits_though_an_answer_names_each_thrice(client: Client, sql: Sql) -> None:
    """What a page may take is counted in PostgreSQL, as JSON: here an answer is larger than that."""
    accounts = [client.connect().id for _ in range(100)]
    first = client.draft(*accounts).id
    copies = (
        "INSERT INTO social_post SELECT left(id, 3) || lpad(number::text, 26, '0'), project_id, external_id,"
        " caption, media, scheduled_time, state, platform_options, version, create_time, update_time"
        " FROM social_post, generate_series(1, 449) number WHERE id = %s RETURNING id"
    )
    made = [first, *(id_ for (id_,) in sql(copies, first))]
    sql(
        "INSERT INTO social_post_target (project_id, social_post_id, social_account_id, position, state,"
        " caption) SELECT %s, id, account, place, 1, 'x'"
        " FROM unnest(%s) id, unnest(%s) WITH ORDINALITY accounts(account, place)"
        " ON CONFLICT (project_id, social_post_id, social_account_id) DO UPDATE SET caption = 'x'",
        client.project_id,
        made,
        accounts,
    )
    found = list(pages(client, LIST, page_size=1000))
    assert list(chain(*found)) == newest_first(made)
    assert len(found[0]) > 200


def test_a_page_of_any_mixture_goes_on_where_it_ended(client: Client, sql: Sql) -> None:
    """Rows of a byte to half a megabyte, among them page sizes that need several statements."""
    account, chosen = client.connect().id, random.Random(3)
    made = [client.draft(account).id for _ in range(230)]
    for id_ in chosen.sample(made, 60):
        size = chosen.choice([20_000, 44_000, 46_000, 200_000, 500_000])
        sql("UPDATE social_post SET caption = repeat('é', %s) WHERE id = %s", size // 2, id_)
    for page_size in (1, 7, 50, 51, 100, 101, 150, 229, 230, 1000):
        found = list(pages(client, LIST, page_size=page_size))
        assert list(chain(*found)) == newest_first(made), page_size
        assert max(map(len, found)) <= page_size
        assert all(found)


def test_a_usual_page_is_one_statement(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    account = client.connect().id
    for _ in range(51):
        client.draft(account)
    client(LIST)
    ran: list[str] = []
    run = Database.run

    def counted(self: Database, statement: Any, arguments: Any) -> Any:
        ran.append(statement.name)
        return run(self, statement, arguments)

    monkeypatch.setattr(Database, "run", counted)
    for method in (LIST, ACCOUNTS):
        ran.clear()
        client(method)
        assert len(ran) == 1, method


# Posts.


def text_of(size: int) -> tuple[str, list[str]]:
    """A caption and captions of overrides that are so many bytes together."""
    parts = []
    while size:
        taken = min(size, 4 * LONGEST)
        parts.append(WIDE * (taken // 4) + "x" * (taken % 4))
        size -= taken
    return parts[0], parts[1:]


def post_of(client: Client, size: int) -> dict[str, Any]:
    """A post with so many bytes of text."""
    caption, others = text_of(size)
    ids = [client.connect().id for _ in others]
    overrides = [{"social_account_id": id_, "caption": text} for id_, text in zip(ids, others, strict=True)]
    return {"caption": caption, "social_account_ids": ids, "account_overrides": overrides}


def test_a_post_of_the_largest_size_is_read_wherever_it_is_answered(client: Client) -> None:
    post = post_of(client, MOST)
    request = {"social_post": post, "request_id": unique("request")}
    made = client(CREATE, **request).social_post
    assert client(CREATE, **request).social_post == made
    assert client(GET, social_post_id=made.id).social_post == made
    assert list(client(LIST).social_posts) == [made]
    assert client(UPDATE, social_post={"id": made.id, "external_id": "tag"}).social_post.caption


def test_a_post_whose_text_doubles_on_its_way_is_listed_too(client: Client) -> None:
    """JSON, in which PostgreSQL gives us rows, writes a quotation mark as two characters."""
    ids = [client.connect(external_id=f'{number:03}"' + '"' * 251).id for number in range(100)]
    media = [{"url": "http://a", "alt_text": ""}] * 35
    overrides = [
        {"social_account_id": id_, "caption": '"' * (9_000 if number else 61_000), "media": media}
        for number, id_ in enumerate(ids)
    ]
    full = {"social_account_ids": ids, "account_overrides": overrides, "caption": '"' * 20_000}
    made = client(CREATE, social_post=full).social_post
    assert [post.id for post in client(LIST).social_posts] == [made.id]
    assert client(GET, social_post_id=made.id).social_post == made


def test_what_follows_a_post_counts_as_its_text_does(client: Client) -> None:
    media = [{"url": "http://a.example/", "alt_text": "x"}]
    follow_ups = [{"caption": WIDE * 9_990, "media": media} for _ in range(25)]
    size = len("x") + 25 * (4 * 9_990 + len("http://a.example/") + 1)
    post = {"caption": "x", "social_account_ids": [client.connect().id], "follow_ups": follow_ups}
    made = client(CREATE, social_post=post).social_post
    assert list(client(LIST).social_posts) == [made]
    follow_ups[0]["caption"] += "x" * (MOST - size)
    client(CREATE, social_post=post)
    follow_ups[0]["caption"] += "x"
    failed = client.fails(CREATE, social_post=post)
    assert (failed.code, failed.fields) == ("INVALID_ARGUMENT", ("social_post",))
    assert "1,000,001" in failed.message
    longer = {"id": made.id, "caption": "x" * (MOST - size + 2)}
    assert client.fails(UPDATE, social_post=longer).fields == ("social_post",)


def test_pages_of_follow_ups_that_nobody_has_begun_fit(client: Client, sql: Sql) -> None:
    """An answer shows each of them for each account, though hardly anything of them is stored."""
    accounts = [client.connect().id for _ in range(100)]
    overrides = [{"social_account_id": account, "caption": ""} for account in accounts]
    media, follow_ups = [{"url": "http://a"}], [{"caption": "x"}] * 25
    fields = {"media": media, "account_overrides": overrides, "follow_ups": follow_ups}
    first = client.draft(*accounts, caption="", **fields).id
    copies = (
        "INSERT INTO social_post SELECT left(id, 3) || lpad(number::text, 26, '0'), project_id, external_id,"
        " caption, media, scheduled_time, state, platform_options, version, create_time, update_time,"
        " follow_ups FROM social_post, generate_series(1, 249) number WHERE id = %s RETURNING id"
    )
    made = [first, *(id_ for (id_,) in sql(copies, first))]
    sql(
        "INSERT INTO social_post_target (project_id, social_post_id, social_account_id, position, state,"
        " caption) SELECT %s, id, account, place, 1, ''"
        " FROM unnest(%s) id, unnest(%s) WITH ORDINALITY accounts(account, place) ON CONFLICT DO NOTHING",
        *(client.project_id, made, accounts),
    )
    assert list(chain(*pages(client, LIST, page_size=1000))) == newest_first(made)


def test_every_limit_but_overrides_at_once_is_within_the_whole(client: Client) -> None:
    media = [{"url": "https://a.example/" + WIDE * 2030, "alt_text": WIDE * 2000}] * 35
    post = client.draft(client.connect().id, caption=WIDE * LONGEST, media=media)
    # That is why posts without overrides are not measured.
    assert post.ByteSize() < MOST
    assert client(GET, social_post_id=post.id).social_post == post


def test_a_post_that_is_larger_is_refused_with_its_size_and_the_limit(client: Client) -> None:
    failed = client.fails(CREATE, social_post=post_of(client, MOST + 1))
    assert (failed.code, failed.fields) == ("INVALID_ARGUMENT", ("social_post",))
    assert "1,000,001" in failed.message
    assert "1,000,000" in failed.message
    assert not client(LIST).social_posts


def test_a_post_does_not_grow_too_large_by_updates_of_its_parts(client: Client) -> None:
    made = client(CREATE, social_post={**post_of(client, MOST + 1), "caption": "x"}).social_post
    failed = client.fails(UPDATE, social_post={"id": made.id, "caption": WIDE * LONGEST})
    assert (failed.code, failed.fields) == ("INVALID_ARGUMENT", ("social_post",))
    assert client(GET, social_post_id=made.id).social_post == made
    client(UPDATE, social_post={"id": made.id, "caption": WIDE * (LONGEST - 1)})


# What an earlier version has stored.


def grown(client: Client, sql: Sql, size: int, **fields: Any) -> str:
    """A post with more than is accepted today."""
    account = client.connect().id
    overrides = [{"social_account_id": account, "caption": "small"}]
    post = client.draft(account, account_overrides=overrides, **fields)
    sql("UPDATE social_post_target SET caption = repeat('x', %s) WHERE social_post_id = %s", size, post.id)
    return str(post.id)


def test_a_post_that_was_stored_too_large_says_so_and_can_be_mended(client: Client, sql: Sql) -> None:
    large = grown(client, sql, 5_000_000)
    failed = client.fails(GET, social_post_id=large)
    assert failed.what == ("FAILED_PRECONDITION", "ANSWER_TOO_LARGE")
    assert int(failed.metadata["bytes"]) > 5_000_000
    unmended = client.fails(UPDATE, social_post={"id": large, "caption": "y"})
    assert (unmended.code, unmended.fields) == ("INVALID_ARGUMENT", ("social_post",))
    account = client.connect().id
    override = {"social_account_id": account, "caption": "short"}
    client(
        UPDATE, social_post={"id": large, "social_account_ids": [account], "account_overrides": [override]}
    )
    assert client(GET, social_post_id=large).social_post.account_overrides[0].caption == "short"
    deleted = grown(client, sql, 5_000_000)
    client(DELETE, social_post_id=deleted)
    assert [post.id for post in client(LIST).social_posts] == [large]


def test_a_post_that_is_too_large_for_today_but_not_for_clients_is_still_read(
    client: Client, sql: Sql
) -> None:
    large = grown(client, sql, 3_900_000)
    assert len(client(GET, social_post_id=large).social_post.account_overrides[0].caption) == 3_900_000


@pytest.mark.parametrize("page_size", [0, 1, 2, 1000])
def test_lists_go_on_past_a_post_that_was_stored_too_large(
    client: Client, sql: Sql, page_size: int, log_file: Any
) -> None:
    made, large = [], []
    for _ in range(3):
        large += [grown(client, sql, 5_000_000), grown(client, sql, 2_300_000)]
        made += [client.draft(client.connect().id).id for _ in range(2)]
    large.append(grown(client, sql, 5_000_000))
    found = list(pages(client, LIST, page_size=page_size))
    assert list(chain(*found)) == newest_first(made)
    logged = [json.loads(line) for line in whole_lines(log_file) if "too large for a list" in line]
    assert set(large) <= {line["id"] for line in logged}


def test_an_answer_that_was_stored_too_large_says_so_when_it_is_asked_for_again(
    client: Client, sql: Sql
) -> None:
    post = {"caption": "hello", "social_account_ids": [client.connect().id]}
    request = {"social_post": post, "request_id": unique("request")}
    client(CREATE, **request)
    sql(
        "UPDATE idempotent_request SET response = %s WHERE request_id = %s",
        b"\x0a" * (CLIENTS_ACCEPT + 1),
        request["request_id"],
    )
    assert client.fails(CREATE, **request).what == ("FAILED_PRECONDITION", "ANSWER_TOO_LARGE")


# What a platform describes.


class Boastful:
    """A platform, over real HTTP, whose profiles are as a test wants them."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.profiles: list[dict[str, Any]] = []
        self.scope = "read"

    def answer(self, request: Any) -> Response:
        if request.url.path.endswith("/token"):
            return JSONResponse({"access_token": "token", "token_type": "bearer", "scope": self.scope})
        return JSONResponse({"data": self.profiles})

    def attempt(self) -> dict[str, str]:
        """The fields of a CompleteAuth after an attempt that the person has ended well."""
        started = self.client("SocialAccountService/CreateAuthUrl", platform="PLATFORM_SANDBOX")
        return {"callback_url": f"https://app.example/back?code=c&state={started.state}"}


@pytest.fixture
def boastful(running: Running, client: Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[Boastful]:
    platform = Boastful(client)
    routes = [Route("/{path:path}", platform.answer, methods=["GET", "POST"])]
    with serving(Starlette(routes=routes)) as url:
        monkeypatch.setattr(running.app.attempts, "_platforms", Sandbox(url).platforms)
        yield platform


COMPLETE = "SocialAccountService/CompleteAuth"


def test_what_a_platform_says_at_length_is_cut_to_what_an_import_may_say(
    client: Client, boastful: Boastful
) -> None:
    # Such that no index could hold it either.
    name = "".join(random.Random(1).choices(string.ascii_letters + string.punctuation, k=20_000))
    boastful.scope = " ".join(["x" * 300, *(f"scope{number}" for number in range(80))])
    profile = {"id": "1", "username": name, "name": WIDE * 3_000_000, "picture": "https://a/" + "x" * 5000}
    boastful.profiles = [profile]
    [account] = client(COMPLETE, **boastful.attempt()).connected_accounts
    assert account.username == name[:255]
    assert account.display_name == WIDE * 255
    assert account.profile_photo_url == ""
    assert list(account.scopes) == [f"scope{number}" for number in range(50)]
    assert list(client(ACCOUNTS).social_accounts) == [account]


def test_an_id_that_is_too_long_is_not_cut_since_it_could_be_another_profiles(
    client: Client, boastful: Boastful
) -> None:
    boastful.profiles = [{"id": "1" * 256, "username": "mia"}]
    assert client.fails(COMPLETE, **boastful.attempt()).what == ("ABORTED", "AUTH_INTERRUPTED")
    assert not client(ACCOUNTS).social_accounts


def test_a_login_with_more_accounts_than_an_answer_holds_connects_them_all(
    client: Client, boastful: Boastful
) -> None:
    metadata = dict(largest_import().metadata)
    boastful.profiles = [{"id": unique("page"), "username": "mia"} for _ in range(20)]
    first = client(COMPLETE, **boastful.attempt()).connected_accounts
    assert len(first) == 20
    for account in first:
        changes = {"id": account.id, "metadata": metadata}
        client("SocialAccountService/UpdateSocialAccount", social_account=changes)
    again = client(COMPLETE, **boastful.attempt())
    assert 0 < len(again.connected_accounts) < 20
    assert again.ByteSize() <= CLIENTS_ACCEPT
    assert {row.etag for page in pages_of(client, ACCOUNTS) for row in page.social_accounts} == {"3"}


def test_a_profile_that_is_refused_is_no_larger_than_one_that_is_not(
    client: Client, boastful: Boastful
) -> None:
    theirs, free = unique("page"), unique("page")
    client.connect(theirs, "alice")
    boastful.profiles = [{"id": id_, "username": WIDE * 20_000} for id_ in (theirs, free)]
    answer = client(COMPLETE, **boastful.attempt())
    assert [row.platform_user_id for row in answer.rejected_accounts] == [theirs]
    assert answer.rejected_accounts[0].username == answer.connected_accounts[0].username == WIDE * 255
