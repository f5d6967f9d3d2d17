"""A valid request for every method, for tests that go through all of them."""

from collections.abc import Callable, Sequence
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from server.storage.database import database
from tests.kit.support import MESSAGES, Client, import_request, secret, unique

# Runs a statement in the database of the server that is called: SQL, and its arguments.
Write = Callable[[str, Sequence[Any]], Any]


def failed_and_unconfirmed(client: Client, *account_ids: str, write: Write = database.fetch) -> Any:
    """A post that has failed for the first of these accounts, and is unconfirmed for the second."""
    post = client.draft(*account_ids, scheduled_time=Timestamp(seconds=4_000_000_000))
    for account_id, state in zip(account_ids, (4, 5), strict=True):
        write(
            "UPDATE social_post_target SET state = %s, due_time = NULL, attempt_count = 1, send_time = now(),"
            """ error = '{"category": 7, "code": "HTTP 500", "message": "It failed."}'"""
            " WHERE project_id = %s AND social_post_id = %s AND social_account_id = %s",
            (state, client.project_id, post.id, account_id),
        )
    write("UPDATE social_post SET state = 8 WHERE project_id = %s AND id = %s", (client.project_id, post.id))
    return post


def valid_fields(client: Client, write: Write = database.fetch) -> dict[str, dict[str, Any]]:
    """For every method a request that succeeds, with something in each list and each nested message.

    Where the server is not the one in this process, `write` is needed.
    """
    owner = unique("owner")
    first, last = client.connect(external_id=owner), client.connect(external_id=owner)
    media = [{"url": "https://cdn.example/1.jpg", "alt_text": "one"}, {"url": "https://cdn.example/2.jpg"}]
    post = {
        "external_id": "campaign",
        "caption": "hello",
        "social_account_ids": [first.id, last.id],
        "media": media,
        "scheduled_time": Timestamp(seconds=4_000_000_000),
        "account_overrides": [
            {"social_account_id": id_, "caption": "other", "media": media} for id_ in (first.id, last.id)
        ],
        "platform_options": {
            "sandbox": {"visibility": "SANDBOX_VISIBILITY_PUBLIC"},
            "bluesky": {"languages": ["en", "pt-BR"], "self_labels": ["nudity"], "no_link_card": True},
            "mastodon": {
                "visibility": "MASTODON_VISIBILITY_UNLISTED",
                "spoiler_text": "careful",
                "sensitive": True,
                "language": "en",
                "poll": {"options": ["yes", "no"], "duration": Duration(seconds=600)},
            },
        },
        "follow_ups": [{"caption": "and more", "media": media, "delay": Duration(seconds=60), "place": 2}]
        * 2,
    }
    stored = client("SocialPostService/CreateSocialPost", social_post=post).social_post
    spare_account, spare_post = client.connect(), client.draft(first.id)
    settled = failed_and_unconfirmed(client, first.id, last.id, write=write)
    times = {name: Timestamp(seconds=4_000_000_000) for name in ("scheduled_after", "scheduled_before")}
    filters = {"external_ids": [owner], "platforms": [1], "social_account_ids": [first.id], "states": [1]}
    imported = import_request(unique("profile"), owner, metadata={"plan": "pro"}, scopes=["read"])
    return {
        "SocialAccountService/CreateAuthUrl": {
            "platform": "PLATFORM_SANDBOX",
            "external_id": owner,
            "redirect_url": "http://localhost/done",
            "permissions": ["profile"],
            "platform_options": {"sandbox": {"login_hint": "alice"}},
            "social_account_id": first.id,
            "require_confirmation": True,
        },
        "SocialAccountService/CompleteAuth": {"callback_url": "https://app.example/back?state=s&code=c"},
        "SocialAccountService/ConfirmAuth": {"confirmation_code": "c" * 64, "external_id": owner},
        "SocialAccountService/ImportSocialAccount": {
            **{field.name: value for field, value in imported.ListFields()},
            "profile_photo_url": "https://cdn.example/face.jpg",
            "request_id": unique("request"),
        },
        # Nobody is there: what happens where somebody is, tests/accounts/test_app_passwords.py looks at.
        "SocialAccountService/ConnectWithAppPassword": {
            "handle": "alice.test",
            "app_password": "abcd-efgh-ijkl-mnop",
            "service_url": "http://127.0.0.1:9",
            "external_id": owner,
            "request_id": unique("request"),
        },
        "SocialAccountService/GetSocialAccount": {"social_account_id": first.id},
        "SocialAccountService/ListSocialAccounts": {**filters, "usernames": [first.username]},
        "SocialAccountService/UpdateSocialAccount": {
            "social_account": {"id": first.id, "metadata": {"plan": "pro"}, "etag": first.etag},
            "update_mask": FieldMask(paths=["metadata"]),
        },
        "SocialAccountService/TransferSocialAccount": {
            "social_account_id": last.id,
            "from_external_id": owner,
            "to_external_id": unique("owner"),
        },
        "SocialAccountService/DisconnectSocialAccount": {"social_account_id": spare_account.id},
        "SocialAccountService/DeleteSocialAccount": {"social_account_id": spare_account.id},
        "SocialPostService/CreateSocialPost": {"social_post": post, "request_id": unique("request")},
        "SocialPostService/GetSocialPost": {"social_post_id": stored.id},
        "SocialPostService/ListSocialPosts": {**filters, **times},
        "SocialPostService/UpdateSocialPost": {
            "social_post": {**post, "id": stored.id, "etag": stored.etag},
            "update_mask": FieldMask(paths=["*"]),
        },
        "SocialPostService/DeleteSocialPost": {"social_post_id": spare_post.id},
        "SocialPostService/PublishSocialPost": {
            "social_post_id": stored.id,
            "etag": stored.etag,
            "request_id": unique("request"),
        },
        "SocialPostService/CancelSocialPost": {
            "social_post_id": stored.id,
            "etag": stored.etag,
            "request_id": unique("request"),
        },
        "SocialPostService/RetrySocialPost": {
            "social_post_id": settled.id,
            "social_account_ids": [first.id],
            "etag": settled.etag,
            "request_id": unique("request"),
        },
        "SocialPostService/ResolveSocialPostTarget": {
            "social_post_id": settled.id,
            "social_account_id": last.id,
            "resolution": "SOCIAL_POST_TARGET_RESOLUTION_PUBLISHED",
            "platform_post_url": "https://sandbox.example/posts/1",
            "platform_post_id": "1",
            "etag": settled.etag,
            "request_id": unique("request"),
        },
        "SocialPostService/ListSocialPostTargets": {**filters, **times},
        "SocialPostService/ValidateSocialPost": {"social_post": post, "platforms": ["PLATFORM_SANDBOX"]},
        "PlatformAppService/SetPlatformApp": {
            "platform": "PLATFORM_PINTEREST",
            "client_id": unique("client"),
            "client_secret": secret(),
            "settings": {"region": "eu"},
            "external_id": owner,
        },
        "PlatformAppService/ListPlatformApps": {"external_ids": [owner], "platforms": ["PLATFORM_PINTEREST"]},
        "PlatformAppService/DeletePlatformApp": {"platform_app_id": client.app(owner).id},
        "AdminService/CreateProject": {"name": unique("project")},
        "AdminService/GetProject": {"project_id": client.project_id},
        "AdminService/ListProjects": {"names": [unique("project")]},
        "AdminService/AddRedirectUrl": {
            "project_id": client.project_id,
            "redirect_url": "https://app.example/done",
        },
        "AdminService/RemoveRedirectUrl": {
            "project_id": client.project_id,
            "redirect_url": "https://app.example/done",
        },
        "AdminService/CreateApiKey": {
            "project_id": client.project_id,
            "name": "backend",
            "read_only": True,
        },
        "AdminService/ListApiKeys": {"project_ids": [client.project_id]},
        "AdminService/RevokeApiKey": {"api_key_id": _spare_key(client)},
    }


def _spare_key(client: Client) -> str:
    """The id of a key that nobody calls with; of none, where the client may not make one."""
    if client.admin_key is None:
        return "key_" + "0" * 26
    made = client("AdminService/CreateApiKey", project_id=client.project_id, name="spare")
    return str(made.api_key.id)


def valid_request(client: Client, method: str) -> Message:
    fields = valid_fields(client)
    assert fields.keys() == MESSAGES.keys(), "a method needs a valid request here"
    return MESSAGES[method].input_type._concrete_class(**fields[method])
