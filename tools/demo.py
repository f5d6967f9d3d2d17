"""`make demo`: the product's story, played against a running server over real gRPC and HTTP.

Every call and its answer is printed. Exits with 0 only if the story went as told.
"""

import secrets
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import grpc
import httpx2
from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from generated.hitchpost.v1 import platform_pb2
from generated.hitchpost.v1 import social_account_service_pb2 as accounts_pb
from generated.hitchpost.v1 import social_account_service_pb2_grpc as accounts_grpc
from generated.hitchpost.v1 import social_post_service_pb2 as posts_pb
from generated.hitchpost.v1 import social_post_service_pb2_grpc as posts_grpc
from server.config import Settings
from server.run.embedded import dev_key_file
from tools.person import Person

# From when a post is created to when it is due, and how long it may take from there on.
AHEAD, PATIENCE_SECONDS = timedelta(seconds=3), 60.0


class Story:
    """Calls a server and prints what is said; `web_url` is where its pages are."""

    def __init__(self, channel: grpc.Channel, key: str, web_url: str) -> None:
        self.web_url = web_url
        self.accounts = accounts_grpc.SocialAccountServiceStub(channel)
        self.posts = posts_grpc.SocialPostServiceStub(channel)
        self.metadata = (("authorization", f"Bearer {key}"),)

    def tell(self, text: str) -> None:
        """A paragraph of the story."""
        print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}")

    def call(self, method: Any, request: Message) -> Any:
        """Makes a call that is expected to succeed."""
        print(f"  -> {type(request).__name__.removesuffix('Request')} {_json(request)}")
        answer = method(request, metadata=self.metadata, timeout=30)
        print(f"  <- OK {_json(answer)}")
        return answer

    def refused(self, method: Any, request: Message) -> str:
        """Makes a call that is expected to fail, and returns its reason."""
        try:
            self.call(method, request)
        except grpc.RpcError as error:
            reason = _reason(error)
            print(f"  <- {error.code().name} {reason}: {error.details()}")
            return reason
        raise SystemExit("the call succeeded, which it must not")


def _json(message: Message) -> str:
    return json_format.MessageToJson(message, preserving_proto_field_name=True, indent=None)


def _reason(error: Any) -> str:
    details = dict(error.trailing_metadata()).get("grpc-status-details-bin", b"")
    info = error_details_pb2.ErrorInfo()
    for detail in status_pb2.Status.FromString(details).details:
        if detail.Is(info.DESCRIPTOR):
            detail.Unpack(info)
    return info.reason


def connect(story: Story, handle: str, external_id: str) -> dict[str, list[str]]:
    """Sends a person through the connect flow, and returns what the browser brings back to the app."""
    started = story.call(
        story.accounts.CreateAuthUrl,
        accounts_pb.CreateAuthUrlRequest(
            platform=platform_pb2.PLATFORM_SANDBOX,
            external_id=external_id,
            redirect_url="http://localhost:3000/connected",
        ),
    )
    with Person(handle) as person:
        callback_url = person.agree(started.url)
        print(f"  .. a browser signs in as @{handle}, approves, and is sent to {urlsplit(callback_url).path}")
        back = person.open(callback_url).headers["location"]
    print(f"  .. which sends it on to {back}")
    return parse_qs(urlsplit(back).query)


def play(story: Story) -> None:
    """The story of an app with two users."""
    run = secrets.token_hex(3)
    mia, ben, campaign, handle = f"user_mia_{run}", f"user_ben_{run}", f"campaign_{run}", f"mia.{run}"

    story.tell(f"1. Your user {mia} connects a social account.")
    back = connect(story, handle, mia)
    assert back["status"] == ["connected"], back
    account_id = back["social_account_ids"][0]

    story.tell("2. Your app lists that user's accounts by your own id: no mapping table.")
    listed = story.call(
        story.accounts.ListSocialAccounts, accounts_pb.ListSocialAccountsRequest(external_ids=[mia])
    )
    assert [account.id for account in listed.social_accounts] == [account_id]

    story.tell(f"3. A post is tagged with {campaign}, and found by it.")
    post = posts_pb.SocialPost(external_id=campaign, caption="Hello!", social_account_ids=[account_id])
    created = story.call(story.posts.CreateSocialPost, posts_pb.CreateSocialPostRequest(social_post=post))
    found = story.call(story.posts.ListSocialPosts, posts_pb.ListSocialPostsRequest(external_ids=[campaign]))
    assert [post.id for post in found.social_posts] == [created.social_post.id]

    story.tell(f"4. Another user, {ben}, tries to connect the same profile.")
    back = connect(story, handle, ben)
    assert (back["status"], back["reason"]) == (["failed"], ["OWNED_BY_ANOTHER"]), back

    story.tell("5. Bringing tokens along does not help either.")
    hijack = accounts_pb.ImportSocialAccountRequest(
        platform=platform_pb2.PLATFORM_SANDBOX,
        platform_user_id=listed.social_accounts[0].platform_user_id,
        external_id=ben,
        access_token="stolen",
    )
    reason = story.refused(story.accounts.ImportSocialAccount, hijack)
    assert reason == "ERROR_REASON_OWNED_BY_ANOTHER", reason
    after = story.accounts.ListSocialAccounts(
        accounts_pb.ListSocialAccountsRequest(external_ids=[mia]), metadata=story.metadata
    )
    assert after == listed, "the account changed"
    story.tell(f"The hijack was refused; @{handle} is still {mia}'s, byte for byte.")
    publish(story, account_id, campaign, handle)


def publish(story: Story, account_id: str, campaign: str, handle: str) -> None:
    """A post with a picture and a first comment, from its schedule to the timeline."""
    story.tell(f"6. A post of {campaign} is scheduled, with a picture and a first comment.")
    post = posts_pb.SocialPost(
        external_id=campaign,
        caption="Good morning!",
        social_account_ids=[account_id],
        media=[
            {"url": f"{story.web_url}/sandbox/pictures/sunrise.png", "alt_text": "A sunrise over the sea"}
        ],
        follow_ups=[{"caption": "Breakfast is until eleven."}],
    )
    post.scheduled_time.FromDatetime(datetime.now(UTC) + AHEAD)
    created = story.call(story.posts.CreateSocialPost, posts_pb.CreateSocialPostRequest(social_post=post))

    story.tell("7. Its time comes, and everybody sees it.")
    print("  .. waiting until a worker has published it, and the comment")
    [target] = published(story, created.social_post.id).targets
    print(f"  <- {posts_pb.SocialPostTargetState.Name(target.state)} {_json(target)}")
    timeline = f"{story.web_url}/sandbox/timeline"
    shown = httpx2.get(timeline, headers={"Accept": "application/json"}, trust_env=False).json()["posts"]
    [seen] = [post for post in shown if post["handle"] == handle]
    assert seen["url"] == target.platform_post_url, (seen, target)
    assert [medium["alt_text"] for medium in seen["media"]] == ["A sunrise over the sea"], seen
    assert [reply["text"] for reply in seen["replies"]] == ["Breakfast is until eleven."], seen
    story.tell(f"It is on the timeline, with picture and comment: {timeline}")


def published(story: Story, post_id: str) -> posts_pb.SocialPost:
    """The post, once it and what follows on it are published."""
    until, wanted = time.monotonic() + PATIENCE_SECONDS, posts_pb.SOCIAL_POST_TARGET_STATE_PUBLISHED
    while time.monotonic() < until:
        request = posts_pb.GetSocialPostRequest(social_post_id=post_id)
        post = story.posts.GetSocialPost(request, metadata=story.metadata, timeout=30).social_post
        states = {part.state for target in post.targets for part in (target, *target.follow_ups)}
        if states == {wanted}:
            return post
        time.sleep(0.2)
    raise SystemExit(f"not published within {PATIENCE_SECONDS:g} s: {_json(post)}")


def main() -> None:
    """Finds the server that `make run` started, by the same settings."""
    settings = Settings()
    key_file = dev_key_file(settings.data_dir)
    if not key_file.exists():
        sys.exit(f"There is no {key_file}: start the server first, with make run in another terminal.")
    with grpc.insecure_channel(settings.grpc_address) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=5)
        except grpc.FutureTimeoutError:
            sys.exit(f"No server answers at {settings.grpc_address}: start it first, with make run.")
        play(Story(channel, key_file.read_text().strip(), settings.public_url))


if __name__ == "__main__":
    main()
