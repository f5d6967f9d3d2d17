"""SocialAccountService: translates between messages and use cases, nothing else."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import grpc

from generated.hitchpost.v1 import social_account_service_pb2 as pb
from generated.hitchpost.v1 import social_account_service_pb2_grpc as pb_grpc
from server import account_lists, accounts, convert, idempotency, pagination, sizes
from server.accounts import Accounts
from server.connections import Callback, Connections
from server.convert import optional
from server.identity import Clock
from server.interceptors import caller, deadline
from server.validation import ACCOUNT_MASK


class SocialAccountServicer(pb_grpc.SocialAccountServiceServicer):
    """See protos/hitchpost/v1/social_account_service.proto."""

    def __init__(self, accounts: Accounts, connections: Connections, clock: Clock) -> None:
        self._accounts = accounts
        self._connections = connections
        self._clock = clock

    def CreateAuthUrl(
        self, request: pb.CreateAuthUrlRequest, context: grpc.ServicerContext
    ) -> pb.CreateAuthUrlResponse:
        started = self._connections.start(
            caller(),
            request.platform,
            optional(request, "external_id"),
            redirect_url=request.redirect_url,
            permissions=request.permissions,
            options=convert.auth_options(request.platform_options),
            social_account_id=optional(request, "social_account_id"),
        )
        return pb.CreateAuthUrlResponse(url=started.url, state=started.state, expire_time=started.expire_time)

    def CompleteAuth(
        self, request: pb.CompleteAuthRequest, context: grpc.ServicerContext
    ) -> pb.CompleteAuthResponse:
        finished = self._connections.finish(
            Callback.from_query(urlsplit(request.callback_url).query),
            caller=caller(),
            external_id=optional(request, "external_id"),
            deadline=deadline(),
        )
        return pb.CompleteAuthResponse(
            connected_accounts=sizes.fitting(
                (pb.SocialAccount(**convert.account(row)) for row in finished.connected), sizes.PAGE_BYTES
            ),
            rejected_accounts=sizes.fitting(
                map(convert.rejected_account, finished.rejected), sizes.REJECTED_BYTES
            ),
        )

    def ImportSocialAccount(
        self, request: pb.ImportSocialAccountRequest, context: grpc.ServicerContext
    ) -> pb.ImportSocialAccountResponse:
        owner = accounts.scoped_owner(caller(), optional(request, "external_id"))

        def perform() -> pb.ImportSocialAccountResponse:
            row = self._accounts.claim(
                caller().project_id,
                request.platform,
                owner,
                convert.profile(request),
                dict(request.metadata),
            )
            return pb.ImportSocialAccountResponse(social_account=convert.account(row))

        return idempotency.once(caller(), request, self._clock(), perform, pb.ImportSocialAccountResponse)

    def GetSocialAccount(
        self, request: pb.GetSocialAccountRequest, context: grpc.ServicerContext
    ) -> pb.GetSocialAccountResponse:
        row = accounts.get(caller(), request.social_account_id)
        return pb.GetSocialAccountResponse(social_account=convert.account(row))

    def ListSocialAccounts(
        self, request: pb.ListSocialAccountsRequest, context: grpc.ServicerContext
    ) -> pb.ListSocialAccountsResponse:
        filters: dict[str, Sequence[Any]] = {
            "external_ids": request.external_ids,
            "platforms": request.platforms,
            "usernames": request.usernames,
            "social_account_ids": request.social_account_ids,
            "states": request.states,
        }
        page = pagination.page(
            caller(), request, lambda after, size: account_lists.list_page(caller(), filters, after, size)
        )
        return pb.ListSocialAccountsResponse(
            social_accounts=[convert.account(row) for row in page.rows], next_page_token=page.next_token
        )

    def UpdateSocialAccount(
        self, request: pb.UpdateSocialAccountRequest, context: grpc.ServicerContext
    ) -> pb.UpdateSocialAccountResponse:
        account = request.social_account
        paths = convert.updated_paths(account, request.update_mask.paths, ACCOUNT_MASK)
        row = self._accounts.update(
            caller(), account.id, account.etag, convert.account_changes(account, paths)
        )
        return pb.UpdateSocialAccountResponse(social_account=convert.account(row))

    def TransferSocialAccount(
        self, request: pb.TransferSocialAccountRequest, context: grpc.ServicerContext
    ) -> pb.TransferSocialAccountResponse:
        row = self._accounts.transfer(
            caller(),
            request.social_account_id,
            request.from_external_id,
            request.to_external_id,
            request.etag,
        )
        return pb.TransferSocialAccountResponse(social_account=convert.account(row))

    def DisconnectSocialAccount(
        self, request: pb.DisconnectSocialAccountRequest, context: grpc.ServicerContext
    ) -> pb.DisconnectSocialAccountResponse:
        row = self._accounts.disconnect(caller(), request.social_account_id, request.etag, deadline())
        return pb.DisconnectSocialAccountResponse(social_account=convert.account(row))

    def DeleteSocialAccount(
        self, request: pb.DeleteSocialAccountRequest, context: grpc.ServicerContext
    ) -> pb.DeleteSocialAccountResponse:
        self._accounts.delete(caller(), request.social_account_id, request.etag, deadline())
        return pb.DeleteSocialAccountResponse()
