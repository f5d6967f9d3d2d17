"""Every method that there is, in one place: who serves it, what checks its requests, whether it writes,
whether it answers once or streams, which lane its calls take, and the rows that they may have to wait for.

What the contract says of a method is read from its descriptor; the table has the rest.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from generated.hitchpost.v1 import admin_service_pb2 as admin_pb
from generated.hitchpost.v1 import platform_app_service_pb2 as apps_pb
from generated.hitchpost.v1 import platform_pb2
from generated.hitchpost.v1 import social_account_service_pb2 as accounts_pb
from generated.hitchpost.v1 import social_post_service_pb2 as posts_pb
from server.rpc.admin import AdminServicer
from server.rpc.checks import Check
from server.rpc.platform_apps import PlatformAppServicer
from server.rpc.social_accounts import SocialAccountServicer
from server.rpc.social_posts import SocialPostServicer
from server.rpc.validation import CHECKS

# The rows of a project that a request may have to wait for, because another call is changing them.
Rows = Callable[[Any], Collection[str]]


@dataclass(frozen=True)
class Rpc:
    """What is known of a method before it is called."""

    descriptor: MethodDescriptor
    servicer: type
    checks: tuple[Check, ...]
    rows: Rows | None = None
    waits_for_platform: bool = False

    @cached_property
    def path(self) -> str:
        """`/hitchpost.v1.SocialPostService/GetSocialPost`."""
        return f"/{self.descriptor.containing_service.full_name}/{self.descriptor.name}"

    @cached_property
    def streams(self) -> bool:
        """Whether it answers with any number of messages."""
        return bool(self.descriptor.server_streaming)

    @cached_property
    def writes(self) -> bool:
        """Whether a read-only key may not call it."""
        return bool(self.descriptor.GetOptions().idempotency_level != MethodOptions.NO_SIDE_EFFECTS)

    @cached_property
    def admin(self) -> bool:
        """Whether it takes admin keys, and no others."""
        return self.servicer is AdminServicer

    @cached_property
    def lane(self) -> str:
        """Whose threads serve it."""
        if self.streams:
            return "stream"
        if self.waits_for_platform:
            return "platform"
        return "write" if self.writes else "read"

    @cached_property
    def decode(self) -> Callable[[bytes], Message]:
        """Reads a request. Raises DecodeError."""
        decode: Callable[[bytes], Message] = GetMessageClass(self.descriptor.input_type).FromString
        return decode


# Who serves each service.
SERVICES: Mapping[ServiceDescriptor, type] = {
    accounts_pb.DESCRIPTOR.services_by_name["SocialAccountService"]: SocialAccountServicer,
    posts_pb.DESCRIPTOR.services_by_name["SocialPostService"]: SocialPostServicer,
    apps_pb.DESCRIPTOR.services_by_name["PlatformAppService"]: PlatformAppServicer,
    admin_pb.DESCRIPTOR.services_by_name["AdminService"]: AdminServicer,
}
# Whoever changes a project's apps waits for the others who do.
PLATFORM_APPS = "platform apps"
# A test goes red for a method that writes and is in neither.
WAITS_FOR_PLATFORM = frozenset(
    {"CreateAuthUrl", "CompleteAuth", "ConnectWithAppPassword", "ValidateSocialPost"}
)
ROWS: Mapping[str, Rows] = {
    # Whose server a platform is at, strangers may have said: one that is slow leaves threads to the others.
    "CreateAuthUrl": lambda request: (f"platform {request.platform}",),
    "ConnectWithAppPassword": lambda _: (f"platform {platform_pb2.PLATFORM_BLUESKY}",),
    "ConfirmAuth": lambda request: (request.confirmation_code,),
    "ImportSocialAccount": lambda request: (request.platform_user_id,),
    "UpdateSocialAccount": lambda request: (request.social_account.id,),
    "TransferSocialAccount": lambda request: (request.social_account_id,),
    "DisconnectSocialAccount": lambda request: (request.social_account_id,),
    "DeleteSocialAccount": lambda request: (request.social_account_id,),
    "CreateSocialPost": lambda request: request.social_post.social_account_ids,
    "UpdateSocialPost": lambda request: (request.social_post.id, *request.social_post.social_account_ids),
    "DeleteSocialPost": lambda request: (request.social_post_id,),
    "PublishSocialPost": lambda request: (request.social_post_id,),
    "CancelSocialPost": lambda request: (request.social_post_id,),
    "RetrySocialPost": lambda request: (request.social_post_id,),
    "ResolveSocialPostTarget": lambda request: (request.social_post_id,),
    "SetPlatformApp": lambda _: (PLATFORM_APPS,),
    "DeletePlatformApp": lambda _: (PLATFORM_APPS,),
    "CreateProject": lambda request: (request.name,),
    "AddRedirectUrl": lambda request: (request.project_id,),
    "RemoveRedirectUrl": lambda request: (request.project_id,),
    "CreateApiKey": lambda request: (request.project_id,),
    "RevokeApiKey": lambda request: (request.api_key_id,),
}


def _rpcs() -> Iterator[Rpc]:
    for service, servicer in SERVICES.items():
        for method in service.methods:
            yield Rpc(
                method,
                servicer,
                CHECKS[GetMessageClass(method.input_type)],
                ROWS.get(method.name),
                method.name in WAITS_FOR_PLATFORM,
            )


RPCS: Mapping[str, Rpc] = {rpc.path: rpc for rpc in _rpcs()}
