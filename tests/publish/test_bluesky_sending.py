"""From a scheduled post to the record at Bluesky's own server, by a worker, also when one dies."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from generated.hitchpost.v1 import social_post_service_pb2 as pb
from server.publish.bluesky import BlueskyPublisher
from server.publish.publisher import Sending, Step, Values
from tests.conftest import Running
from tests.kit.bluesky import BlueskyAccount, Pds
from tests.kit.bluesky_posts import records
from tests.kit.due import work_off
from tests.kit.media import Site, mp4, png, site
from tests.kit.publishing import Crash, Posting, Sql, target_state
from tests.kit.support import Client

SERVICE = "SocialAccountService"


@pytest.fixture(scope="module")
def files() -> Iterator[Site]:
    with site() as served:
        yield served


@pytest.fixture
def person(pds: Pds) -> BlueskyAccount:
    return pds.new_account()


def by_app_password(client: Client, pds: Pds, person: BlueskyAccount) -> str:
    """Connects the account, and gives its id."""
    password = pds.new_app_password(person)
    answer = client(f"{SERVICE}/ConnectWithAppPassword", handle=person.did, app_password=password)
    return str(answer.social_account.id)


def by_oauth(client: Client, pds: Pds, person: BlueskyAccount) -> str:
    """The same as a person does it in a browser."""
    options = {"bluesky": {"handle": person.did}}
    begun = client(f"{SERVICE}/CreateAuthUrl", platform="PLATFORM_BLUESKY", platform_options=options)
    url = pds.agree(begun.url, person)
    [account] = client(f"{SERVICE}/CompleteAuth", callback_url=url).connected_accounts
    return str(account.id)


@pytest.fixture(params=[by_app_password, by_oauth], ids=["app_password", "oauth"])
def account(request: pytest.FixtureRequest, client: Client, pds: Pds, person: BlueskyAccount) -> str:
    connect: Callable[[Client, Pds, BlueskyAccount], str] = request.param
    return connect(client, pds, person)


@pytest.fixture
def posting(client: Client, sql: Sql, running: Running) -> Posting:
    """A project, and a worker as this server has it."""
    return Posting(client, sql, running.app.sender)


def test_a_scheduled_post_becomes_a_record(
    posting: Posting, account: str, pds: Pds, person: BlueskyAccount, files: Site
) -> None:
    post = posting.post(
        account,
        text=f"@{person.handle} #tag",
        media=[{"url": files.put("/i", png(4, 3)), "alt_text": "four by three"}],
        platform_options={"bluesky": {"languages": ["en"], "self_labels": ["nudity"]}},
    )
    posting.work()
    assert (posting.state(post), posting.states(post)) == ("PUBLISHED", ["PUBLISHED"])
    [there] = records(pds, person)
    target = posting.target(post)
    rkey = there["uri"].rpartition("/")[2]
    assert target.platform_post_id == there["uri"]
    assert target.platform_post_url == f"https://bsky.app/profile/{person.did}/post/{rkey}"
    value = there["value"]
    assert (value["text"], value["langs"]) == (f"@{person.handle} #tag", ["en"])
    assert value["embed"]["images"][0]["alt"] == "four by three"
    assert value["facets"][0]["features"][0]["did"] == person.did
    assert value["labels"]["values"] == [{"val": "nudity"}]


def test_a_draft_is_published_at_once(
    posting: Posting, client: Client, account: str, pds: Pds, person: BlueskyAccount
) -> None:
    draft = client.draft(account, caption="now")
    client("SocialPostService/PublishSocialPost", social_post_id=draft.id)
    posting.work()
    assert posting.states(draft.id) == ["PUBLISHED"]
    assert [one["value"]["text"] for one in records(pds, person)] == ["now"]


def test_a_video_and_a_card_follow_in_a_thread(
    posting: Posting, account: str, pds: Pds, person: BlueskyAccount, files: Site
) -> None:
    url = files.page("/page", "<title>A page</title>")
    post = posting.post(
        account,
        text="1/3",
        follow_ups=[
            {"caption": "2/3", "media": [{"url": files.put("/v", mp4()), "alt_text": "moving"}]},
            {"caption": f"3/3 {url}"},
            {"caption": "a comment", "place": "FOLLOW_UP_PLACE_COMMENT"},
        ],
    )
    posting.work()
    follow_ups = posting.target(post).follow_ups
    assert [target_state(one) for one in follow_ups] == ["PUBLISHED"] * 3
    comment, third, second, first = (one["value"] for one in records(pds, person))
    names = [{"uri": one["uri"], "cid": one["cid"]} for one in reversed(records(pds, person))]
    assert "reply" not in first
    assert second["reply"] == {"root": names[0], "parent": names[0]}
    assert third["reply"] == {"root": names[0], "parent": names[1]}
    assert comment["reply"] == {"root": names[0], "parent": names[0]}
    assert second["embed"]["alt"] == "moving"
    assert third["embed"]["external"]["title"] == "A page"
    assert [one.platform_post_id for one in follow_ups] == [name["uri"] for name in names[1:]]


STEPS = ["mentions", "media/0", "processed", "publish"]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", STEPS)
def test_a_worker_dies_at_any_step(
    name: str,
    when: str,
    monkeypatch: pytest.MonkeyPatch,
    posting: Posting,
    client: Client,
    pds: Pds,
    person: BlueskyAccount,
    files: Site,
) -> None:
    """Once, just before the server is asked or just after it has answered; another worker goes on."""
    run, calls = BlueskyPublisher.run, []

    def dying(self: BlueskyPublisher, step: Step, sending: Sending) -> Values:
        calls.append(step.name)
        dies = step.name == name and calls.count(name) == 1
        if dies and when == "before":
            raise Crash
        result = run(self, step, sending)
        if dies:
            raise Crash
        return result

    monkeypatch.setattr(BlueskyPublisher, "run", dying)
    account = by_app_password(client, pds, person)
    media = [{"url": files.put("/i", png()), "alt_text": "x"}]
    post = posting.post(account, text=f"@{person.handle}", media=media)
    with pytest.raises(Crash):
        posting.work()
    assert posting.states(post) == ["SENDING"]
    assert len(records(pds, person)) == (name == "publish" and when == "after")
    posting.pass_time()
    posting.work()
    assert posting.states(post) == ["PUBLISHED"]
    [there] = records(pds, person)
    assert posting.target(post).platform_post_id == there["uri"]
    # What was done before it died is not done again, nor what was accepted.
    again = not (name == "publish" and when == "after")
    assert calls == [*STEPS[: STEPS.index(name) + 1], *STEPS[STEPS.index(name) + (not again) :]]


def test_new_tokens_are_asked_for_before_old_ones_are_sent(
    posting: Posting, running: Running, account: str, pds: Pds, person: BlueskyAccount
) -> None:
    posting.sql(
        "UPDATE social_account SET access_token_expire_time = now() - interval '1 hour' WHERE id = %s",
        account,
    )
    post = posting.post(account)
    posting.work()
    assert posting.states(post) == ["PENDING"]
    work_off(running.app)
    posting.pass_time()
    posting.work()
    assert posting.states(post) == ["PUBLISHED"]
    assert len(records(pds, person)) == 1


def test_whoever_lets_nobody_in_any_more_is_told_so(
    posting: Posting, account: str, pds: Pds, person: BlueskyAccount
) -> None:
    pds.call("com.atproto.server.deactivateAccount", person, json={})
    post = posting.post(account)
    posting.work()
    error = posting.target(post).error
    assert posting.states(post) == ["FAILED"]
    assert (error.category, error.code) == (pb.PUBLISH_ERROR_CATEGORY_AUTH, "AccountDeactivated")


def test_nothing_of_the_tokens_is_kept_in_steps(
    posting: Posting, account: str, pds: Pds, person: BlueskyAccount, files: Site
) -> None:
    post = posting.post(account, media=[{"url": files.put("/v", mp4()), "alt_text": ""}])
    posting.work()
    [(steps,)] = posting.sql("SELECT steps FROM social_post_target WHERE social_post_id = %s", post)
    assert set(steps) >= {"0/media/0", "0/processed", "0/publish"}
    shown: Any = str(steps)
    assert "eyJ" not in shown
