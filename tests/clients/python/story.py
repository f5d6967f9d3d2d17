"""The story of tests/cases/story.yaml in Python: what a backend does on its first day.

Run with HITCHPOST_ADDRESS, HITCHPOST_TLS_ADDRESS, HITCHPOST_CA_FILE, HITCHPOST_WEB_URL, HITCHPOST_KEY and
HITCHPOST_STORY set.
"""

import json
import os
import secrets
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import grpc
import httpx2
import yaml
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from generated.hitchpost.v1 import platform_pb2
from generated.hitchpost.v1 import social_account_service_pb2 as accounts_pb
from generated.hitchpost.v1 import social_account_service_pb2_grpc as accounts_grpc
from generated.hitchpost.v1 import social_post_service_pb2 as posts_pb
from generated.hitchpost.v1 import social_post_service_pb2_grpc as posts_grpc
from tools.person import Person

Seen = dict[str, Any]

# Calls that may be repeated: they only read, or carry a request_id.
RETRIES = {
    "methodConfig": [
        {
            "name": [
                {"service": "hitchpost.v1.SocialAccountService", "method": "GetSocialAccount"},
                {"service": "hitchpost.v1.SocialAccountService", "method": "ListSocialAccounts"},
                {"service": "hitchpost.v1.SocialAccountService", "method": "ImportSocialAccount"},
                {"service": "hitchpost.v1.SocialPostService", "method": "GetSocialPost"},
                {"service": "hitchpost.v1.SocialPostService", "method": "ListSocialPosts"},
                {"service": "hitchpost.v1.SocialPostService", "method": "CreateSocialPost"},
            ],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
            },
        }
    ]
}


class Story:
    """One client of one server; each step is a method that returns what it saw."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.accounts = accounts_grpc.SocialAccountServiceStub(channel)
        self.posts = posts_grpc.SocialPostServiceStub(channel)
        self.health_checks = health_pb2_grpc.HealthStub(channel)
        self.key = (("authorization", f"Bearer {os.environ['HITCHPOST_KEY']}"),)
        run = secrets.token_hex(4)
        self.owner, self.other, self.third = f"owner-{run}", f"other-{run}", f"third-{run}"
        self.handle, self.tag, self.request_id = f"person.{run}", f"tag-{run}", f"request-{run}"
        self.fourth, self.code = f"fourth-{run}", ""
        self.url = ""
        self.account = accounts_pb.SocialAccount()

    def auth_url(self) -> Seen:
        request = accounts_pb.CreateAuthUrlRequest(
            platform=platform_pb2.PLATFORM_SANDBOX, external_id=self.owner
        )
        self.url = self.accounts.CreateAuthUrl(request, metadata=self.key, timeout=10).url
        return {}

    def browser(self) -> Seen:
        with Person(self.handle) as person:
            return {"http_status": person.open(person.agree(self.url)).status_code}

    def list_by_external_id(self) -> Seen:
        request = accounts_pb.ListSocialAccountsRequest(external_ids=[self.owner])
        found = self.accounts.ListSocialAccounts(request, metadata=self.key, timeout=10).social_accounts
        self.account = found[0]
        assert self.account.username == self.handle
        return {"accounts": len(found)}

    def hijack_refused(self) -> Seen:
        self._import(self.account.platform_user_id, self.other)
        return {}

    def confirmation_required(self) -> Seen:
        status, self.code = self._brought_back()
        request = accounts_pb.ListSocialAccountsRequest(external_ids=[self.fourth])
        found = self.accounts.ListSocialAccounts(request, metadata=self.key, timeout=10).social_accounts
        return {"status": status, "accounts": len(found)}

    def confirmed(self) -> Seen:
        return {"accounts": self._confirm(self.code, self.fourth)}

    def confirmed_once(self) -> Seen:
        return {"accounts": self._confirm(self.code, self.fourth)}

    def wrong_person(self) -> Seen:
        _, code = self._brought_back()
        return {"accounts": self._confirm(code, self.other)}

    def wrong_fields(self) -> Seen:
        request = accounts_pb.ImportSocialAccountRequest(
            platform=platform_pb2.PLATFORM_SANDBOX, external_id="", scopes=["s"] * 51
        )
        self.accounts.ImportSocialAccount(request, metadata=self.key, timeout=10)
        return {}

    def idempotent_retry(self) -> Seen:
        first, second = self._post("hello"), self._post("hello")
        assert first == second
        return {"posts": self._posts_tagged(self.request_id)}

    def request_id_reused(self) -> Seen:
        self._post("something else")
        return {}

    def paging(self) -> Seen:
        for number in range(5):
            self._import(f"{self.third}-{number}", self.third)
        request = accounts_pb.ListSocialAccountsRequest(external_ids=[self.third], page_size=2)
        pages, seen = 0, set()
        while True:
            page = self.accounts.ListSocialAccounts(request, metadata=self.key, timeout=10)
            pages += 1
            seen |= {account.id for account in page.social_accounts}
            request.page_token = page.next_page_token
            if not request.page_token:
                return {"pages": pages, "accounts": len(seen)}

    def post_found_by_tag(self) -> Seen:
        post = posts_pb.SocialPost(
            external_id=self.tag,
            caption="hello",
            social_account_ids=[self.account.id],
            scheduled_time=datetime(2100, 1, 1, tzinfo=UTC),
        )
        request = posts_pb.CreateSocialPostRequest(social_post=post, request_id=secrets.token_hex(16))
        self.posts.CreateSocialPost(request, metadata=self.key, timeout=10)
        return {"posts": self._posts_tagged(self.tag)}

    def owner_scope(self) -> Seen:
        request = accounts_pb.GetSocialAccountRequest(social_account_id=self.account.id)
        confined = (*self.key, ("x-external-id", self.other))
        self.accounts.GetSocialAccount(request, metadata=confined, timeout=10)
        return {}

    def no_key(self) -> Seen:
        self.accounts.ListSocialAccounts(accounts_pb.ListSocialAccountsRequest(), timeout=10)
        return {}

    def deadline(self) -> Seen:
        self.accounts.ListSocialAccounts(
            accounts_pb.ListSocialAccountsRequest(), metadata=self.key, timeout=-1
        )
        return {}

    def cancellation(self) -> Seen:
        answers = self.health_checks.Watch(health_pb2.HealthCheckRequest(), timeout=10)
        next(answers)
        answers.cancel()
        next(answers)
        return {}

    def health(self) -> Seen:
        request = health_pb2.HealthCheckRequest(service="hitchpost.v1.SocialAccountService")
        answer = self.health_checks.Check(request, timeout=10)
        return {"status": health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)}

    def tls(self) -> Seen:
        return self._over_tls(Path(os.environ["HITCHPOST_CA_FILE"]).read_bytes())

    def tls_without_ca(self) -> Seen:
        return self._over_tls(None)

    def published(self) -> Seen:
        picture = posts_pb.Media(
            url=f"{os.environ['HITCHPOST_WEB_URL']}/sandbox/pictures/sunrise.png", alt_text="A sunrise"
        )
        post = posts_pb.SocialPost(
            caption="Good morning!", media=[picture], social_account_ids=[self.account.id]
        )
        post.scheduled_time.FromDatetime(datetime.now(UTC) + timedelta(seconds=2))
        request = posts_pb.CreateSocialPostRequest(social_post=post, request_id=secrets.token_hex(16))
        post = self.posts.CreateSocialPost(request, metadata=self.key, timeout=10).social_post
        until = time.monotonic() + 60
        while post.state != posts_pb.SOCIAL_POST_STATE_PUBLISHED and time.monotonic() < until:
            time.sleep(0.2)
            wanted = posts_pb.GetSocialPostRequest(social_post_id=post.id)
            post = self.posts.GetSocialPost(wanted, metadata=self.key, timeout=10).social_post
        seen = httpx2.get(post.targets[0].platform_post_url, trust_env=False)
        return {"state": posts_pb.SocialPostState.Name(post.state), "http_status": seen.status_code}

    def _over_tls(self, ca: bytes | None) -> Seen:
        credentials = grpc.ssl_channel_credentials(ca)
        with grpc.secure_channel(os.environ["HITCHPOST_TLS_ADDRESS"], credentials) as channel:
            stub = accounts_grpc.SocialAccountServiceStub(channel)
            stub.ListSocialAccounts(
                accounts_pb.ListSocialAccountsRequest(page_size=1), metadata=self.key, timeout=10
            )
        return {}

    def _brought_back(self) -> tuple[str, str]:
        """What a browser brings to the redirect_url of an attempt: status and code."""
        request = accounts_pb.CreateAuthUrlRequest(
            platform=platform_pb2.PLATFORM_SANDBOX,
            external_id=self.fourth,
            redirect_url=f"{os.environ['HITCHPOST_WEB_URL']}/",
            require_confirmation=True,
        )
        url = self.accounts.CreateAuthUrl(request, metadata=self.key, timeout=10).url
        with Person(f"{self.handle}.4") as person:
            location = person.open(person.agree(url)).headers["location"]
        query = parse_qs(urlsplit(location).query)
        return query["status"][0], query["confirmation_code"][0]

    def _confirm(self, code: str, owner: str) -> int:
        request = accounts_pb.ConfirmAuthRequest(confirmation_code=code, external_id=owner)
        return len(self.accounts.ConfirmAuth(request, metadata=self.key, timeout=10).connected_accounts)

    def _import(self, platform_user_id: str, owner: str) -> None:
        request = accounts_pb.ImportSocialAccountRequest(
            platform=platform_pb2.PLATFORM_SANDBOX,
            platform_user_id=platform_user_id,
            external_id=owner,
            access_token="example",
            request_id=secrets.token_hex(16),
        )
        self.accounts.ImportSocialAccount(request, metadata=self.key, timeout=10)

    def _post(self, caption: str) -> Any:
        post = posts_pb.SocialPost(
            external_id=self.request_id, caption=caption, social_account_ids=[self.account.id]
        )
        request = posts_pb.CreateSocialPostRequest(social_post=post, request_id=self.request_id)
        return self.posts.CreateSocialPost(request, metadata=self.key, timeout=10)

    def _posts_tagged(self, tag: str) -> int:
        request = posts_pb.ListSocialPostsRequest(external_ids=[tag])
        return len(self.posts.ListSocialPosts(request, metadata=self.key, timeout=10).social_posts)


def failure(error: Any) -> Seen:
    """What an error says: code, and from its google.rpc details reason, metadata and fields."""
    seen: Seen = {"code": error.code().name}
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if detail.Unpack(info):
            seen |= {"reason": info.reason.removeprefix("ERROR_REASON_"), "metadata": dict(info.metadata)}
        elif detail.Unpack(bad_request):
            seen["fields"] = [violation.field for violation in bad_request.field_violations]
    return seen


def play(step: Callable[[], Seen]) -> Seen:
    """What a step saw; success is code OK."""
    try:
        return {"code": "OK"} | step()
    except grpc.RpcError as error:
        return failure(error)


def main() -> None:
    """Plays every step, and prints each that went as the story wants it."""
    story = yaml.safe_load(Path(os.environ["HITCHPOST_STORY"]).read_text())
    options = [("grpc.service_config", json.dumps(RETRIES))]
    with grpc.insecure_channel(os.environ["HITCHPOST_ADDRESS"], options) as channel:
        client = Story(channel)
        for chapter in story:
            seen = play(getattr(client, chapter["step"]))
            wrong = {
                name: seen.get(name) for name, value in chapter["want"].items() if seen.get(name) != value
            }
            if wrong:
                sys.exit(f"step {chapter['step']}: saw {wrong}, wanted {chapter['want']}")
            print(f"step {chapter['step']} ok", flush=True)


if __name__ == "__main__":
    main()
