"""What each request must look like: a table of checks by request type.

Only what can be told from the request alone is checked here; what depends on the time or on stored data
is checked where it is used.
"""

import re
from collections.abc import Iterable
from datetime import timedelta
from urllib.parse import urlsplit

from google.protobuf.message import Message

from generated.hitchpost.v1 import (
    admin_service_pb2,
    platform_app_service_pb2,
    platform_pb2,
    social_account_service_pb2,
    social_post_service_pb2,
)
from server.accounts.callbacks import Callback
from server.base.errors import FieldViolation, InvalidArgument
from server.base.sizes import TOKEN
from server.projects.projects import LONGEST_NAME, project_name
from server.projects.redirect_urls import redirect_url
from server.rpc.checks import (
    Check,
    defined,
    defined_or_default,
    duration,
    each,
    each_nested,
    either,
    field,
    labels,
    mask,
    matching,
    nested,
    not_negative,
    only_with,
    options_of_platform,
    present,
    printable_ascii,
    rule,
    storable_time,
    text,
    web_url,
)

MAX_FILTER = 1000
HANDLE = re.compile(r"[a-z0-9_.-]{1,30}")
ACCOUNT = re.compile(r"sa_[0-9A-HJKMNP-TV-Z]{26}")
HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
HOST_AND_PORT = re.compile(rf"{HOST.pattern}(:[1-9][0-9]{{0,4}})?")
POST = re.compile(r"sp_[0-9A-HJKMNP-TV-Z]{26}")
PROJECT = re.compile(r"proj_[0-9A-HJKMNP-TV-Z]{26}")
KEY = re.compile(r"key_[0-9A-HJKMNP-TV-Z]{26}")
APP = re.compile(r"pa_[0-9A-HJKMNP-TV-Z]{26}")
ETAG = re.compile(r"[0-9]{1,20}")
CALLBACK_URL = text(8192)
AT_NAME = re.compile(
    r"([a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.)+[a-zA-Z]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
    r"|did:plc:[a-z2-7]{24}|did:web:[a-z0-9.-]+(%3A[0-9]+)?"
)
APP_PASSWORD = re.compile(r"[a-z0-9]{4}(-[a-z0-9]{4}){3}")
SERVICE_URL = re.compile(r"https?://[a-zA-Z0-9.-]+(:[1-9][0-9]{0,4})?/?")


@rule(minLength=1, maxLength=8192)
def callback(value: str) -> str | None:
    """The address that a platform sent a browser back to."""
    if description := CALLBACK_URL(value):
        return description
    try:
        Callback.from_query(urlsplit(value).query)
    except ValueError as error:
        return str(error)
    return None


EXTERNAL_ID = text(255, shortest=1)
PLATFORM_TEXT = text(255)
SCOPE = text(255, shortest=1)
ACCOUNT_ID = matching(ACCOUNT, "must be the id of a social account: sa_ and 26 characters")
POST_ID = matching(POST, "must be the id of a social post: sp_ and 26 characters")
APP_ID = matching(APP, "must be the id of an app of a platform: pa_ and 26 characters")
PROJECT_ID = matching(PROJECT, "must be the id of a project: proj_ and 26 characters")
KEY_ID = matching(KEY, "must be the id of an API key: key_ and 26 characters")
ETAG_RULE = matching(ETAG, "must be an etag as it was returned")
AT_NAME_RULE = matching(AT_NAME, "must be a handle, such as alice.bsky.social, or a DID", 253)
REQUEST_ID = printable_ascii(128)
PLATFORM = defined(platform_pb2.Platform)
# Yes or no.
EITHER = rule()(lambda _: None)
CAPTION = text(65_536, lines=True)
LANGUAGE = matching(
    re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}"), "must be a language, such as en or pt-BR"
)
SELF_LABEL = re.compile(r"sexual|nudity|porn|graphic-media")

# A part of the grammar of redirect_urls.py, which has no simple pattern.
REDIRECT_PATTERN = r"^https?://[a-z][a-z0-9]{0,30}(\.[a-z][a-z0-9]{0,30}){0,5}(:[1-9][0-9]{0,3})?([/?#][A-Za-z0-9._~:/?#@!$&'()*+,;=-]*)?$"
REDIRECT_URL = rule(maxLength=2048, pattern=REDIRECT_PATTERN)(redirect_url)

PAGE = (
    field("page_size", not_negative),
    present("page_token", printable_ascii(256)),
)
MEDIA = (field("url", web_url), field("alt_text", text(2000, lines=True)))
PLATFORM_OPTIONS = (
    nested("sandbox", field("visibility", defined_or_default(social_post_service_pb2.SandboxVisibility))),
    nested(
        "bluesky",
        each("languages", 3, LANGUAGE, distinct=True),
        field("no_link_card", EITHER),
        each("self_labels", 4, matching(SELF_LABEL, "must be a label that authors give"), distinct=True),
    ),
    nested(
        "mastodon",
        field("visibility", defined_or_default(social_post_service_pb2.MastodonVisibility)),
        field("spoiler_text", text(2000, lines=True)),
        present("sensitive", EITHER),
        present("language", LANGUAGE),
        nested(
            "poll",
            each("options", 25, text(200, shortest=1), least=2, distinct=True),
            present("duration", duration(timedelta(seconds=1), timedelta(days=365))),
            field("multiple", EITHER),
            field("hide_totals", EITHER),
        ),
    ),
)
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
    nested("platform_options", *PLATFORM_OPTIONS),
    each_nested(
        "follow_ups",
        25,
        field("caption", CAPTION),
        each_nested("media", 35, *MEDIA),
        present("delay", duration(timedelta(0), timedelta(days=7))),
        field("place", defined_or_default(social_post_service_pb2.FollowUpPlace)),
    ),
)
# What names one post, to change it.
POST_CHANGE = (
    field("social_post_id", POST_ID),
    present("etag", ETAG_RULE),
    field("request_id", REQUEST_ID),
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
    "follow_ups",
)

PROJECT_NAME = rule(minLength=1, maxLength=LONGEST_NAME, pattern=r"^[!-~]+$")(
    lambda value: project_name(value) or text(LONGEST_NAME)(value)
)

_accounts, _posts, _apps = social_account_service_pb2, social_post_service_pb2, platform_app_service_pb2
_admin = admin_service_pb2
CHECKS: dict[type[Message], tuple[Check, ...]] = {
    _accounts.CreateAuthUrlRequest: (
        field("platform", PLATFORM),
        present("external_id", EXTERNAL_ID),
        present("redirect_url", REDIRECT_URL),
        each("permissions", 50, SCOPE),
        nested(
            "platform_options",
            nested("sandbox", present("login_hint", matching(HANDLE, "must be a handle of the sandbox"))),
            nested("bluesky", field("handle", AT_NAME_RULE)),
            nested(
                "mastodon",
                field("instance", matching(HOST_AND_PORT, "must be a host name, such as mastodon.example")),
            ),
            nested(
                "linkedin",
                field("connection_type", defined_or_default(_accounts.LinkedInConnectionType)),
            ),
            nested("instagram", field("login", defined_or_default(_accounts.InstagramLogin))),
            nested("x", field("short_lived", EITHER)),
        ),
        options_of_platform(
            "platform_options", "options", needs={"bluesky": "handle", "mastodon": "instance"}
        ),
        present("social_account_id", ACCOUNT_ID),
    ),
    _accounts.CompleteAuthRequest: (
        field("callback_url", callback),
        present("external_id", EXTERNAL_ID),
    ),
    _accounts.ConfirmAuthRequest: (
        field("confirmation_code", printable_ascii(128, shortest=1)),
        present("external_id", EXTERNAL_ID),
    ),
    _accounts.ImportSocialAccountRequest: (
        field("platform", PLATFORM),
        field("platform_user_id", text(255, shortest=1)),
        field("username", PLATFORM_TEXT),
        field("display_name", PLATFORM_TEXT),
        present("profile_photo_url", web_url),
        present("external_id", EXTERNAL_ID),
        field("access_token", printable_ascii(TOKEN, shortest=1)),
        field("refresh_token", printable_ascii(TOKEN)),
        present("access_token_expire_time", storable_time),
        each("scopes", 50, SCOPE),
        labels("metadata"),
        field("request_id", REQUEST_ID),
    ),
    _accounts.ConnectWithAppPasswordRequest: (
        field("handle", AT_NAME_RULE),
        field(
            "app_password",
            matching(APP_PASSWORD, "must be an app password, such as abcd-efgh-ijkl-mnop, not another one"),
        ),
        present("service_url", matching(SERVICE_URL, "must be a server, such as https://bsky.social", 255)),
        present("external_id", EXTERNAL_ID),
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
    _posts.PublishSocialPostRequest: POST_CHANGE,
    _posts.CancelSocialPostRequest: POST_CHANGE,
    _posts.RetrySocialPostRequest: (*POST_CHANGE, each("social_account_ids", 100, ACCOUNT_ID, distinct=True)),
    _posts.ResolveSocialPostTargetRequest: (
        *POST_CHANGE,
        field("social_account_id", ACCOUNT_ID),
        field("resolution", defined(_posts.SocialPostTargetResolution)),
        present("platform_post_url", web_url),
        field("platform_post_id", text(255)),
        only_with(
            "resolution",
            _posts.SocialPostTargetResolution,
            _posts.SOCIAL_POST_TARGET_RESOLUTION_PUBLISHED,
            "platform_post_url",
            "platform_post_id",
        ),
    ),
    _posts.ListSocialPostTargetsRequest: (
        *PAGE,
        each("external_ids", MAX_FILTER, EXTERNAL_ID),
        each("states", MAX_FILTER, defined(_posts.SocialPostTargetState)),
        each("platforms", MAX_FILTER, PLATFORM),
        each("social_account_ids", MAX_FILTER, ACCOUNT_ID),
        present("scheduled_after", storable_time),
        present("scheduled_before", storable_time),
    ),
    _posts.ValidateSocialPostRequest: (
        nested("social_post", *POST_FIELDS, required=True),
        each("platforms", 50, PLATFORM, distinct=True),
    ),
    _apps.SetPlatformAppRequest: (
        field("platform", PLATFORM),
        field("client_id", printable_ascii(512, shortest=1)),
        present("client_secret", printable_ascii(4096, shortest=1)),
        labels("settings", text(1024)),
        present("external_id", EXTERNAL_ID),
    ),
    _apps.ListPlatformAppsRequest: (
        *PAGE,
        each("external_ids", MAX_FILTER, EXTERNAL_ID),
        each("platforms", MAX_FILTER, PLATFORM),
    ),
    _apps.DeletePlatformAppRequest: (field("platform_app_id", APP_ID),),
    _admin.CreateProjectRequest: (field("name", PROJECT_NAME),),
    _admin.GetProjectRequest: (field("project_id", PROJECT_ID),),
    _admin.ListProjectsRequest: (*PAGE, each("names", MAX_FILTER, text(LONGEST_NAME, shortest=1))),
    _admin.AddRedirectUrlRequest: (field("project_id", PROJECT_ID), field("redirect_url", REDIRECT_URL)),
    _admin.RemoveRedirectUrlRequest: (
        field("project_id", PROJECT_ID),
        # Not of the grammar: an earlier version may have let in more.
        field("redirect_url", text(2048, shortest=1)),
    ),
    _admin.CreateApiKeyRequest: (
        present("project_id", PROJECT_ID),
        either("project_id", "admin"),
        field("name", text(LONGEST_NAME)),
        field("read_only", EITHER),
        field("admin", EITHER),
    ),
    _admin.ListApiKeysRequest: (*PAGE, each("project_ids", MAX_FILTER, PROJECT_ID)),
    _admin.RevokeApiKeyRequest: (field("api_key_id", KEY_ID),),
}


def check(request: Message, checks: Iterable[Check]) -> None:
    """Raises InvalidArgument with every violation that these checks find."""
    violations = [violation for check in checks for violation in check.find(request, "")]
    if violations:
        raise InvalidArgument(violations)


def owner_scope(value: str) -> str:
    """An owner from metadata. Raises InvalidArgument for what can't be an external_id."""
    if description := EXTERNAL_ID(value):
        raise InvalidArgument([FieldViolation("x-external-id", description)])
    return value
