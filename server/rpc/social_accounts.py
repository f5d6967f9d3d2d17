"""SocialAccountService: translates between messages and use cases, nothing else."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from generated.hitchpost.v1 import social_account_service_pb2 as pb
from server.accounts.accounts import Accounts
from server.accounts.app_passwords import AppPasswords
from server.accounts.attempts import Attempts
from server.accounts.callbacks import Callback
from server.accounts.confirmations import Confirmations
from server.base.identity import Caller, Clock
from server.rpc import convert, idempotency, pagination
from server.rpc.convert import optional
from server.rpc.validation import ACCOUNT_MASK


class SocialAccountServicer:
    """See protos/hitchpost/v1/social_account_service.proto."""

    def __init__(
        self,
        accounts: Accounts,
        attempts: Attempts,
        confirmations: Confirmations,
        app_passwords: AppPasswords,
        clock: Clock,
    ) -> None:
        self._accounts = accounts
        self._attempts = attempts
        self._confirmations = confirmations
        self._app_passwords = app_passwords
        self._clock = clock

    def CreateAuthUrl(self, request: pb.CreateAuthUrlRequest, caller: Caller) -> pb.CreateAuthUrlResponse:
        begun = self._attempts.begin(
            caller,
            request.platform,
            optional(request, "external_id"),
            redirect_url=request.redirect_url,
            permissions=request.permissions,
            options=convert.auth_options(request.platform_options),
            social_account_id=optional(request, "social_account_id"),
            require_confirmation=request.require_confirmation,
        )
        return pb.CreateAuthUrlResponse(url=begun.url, state=begun.state, expire_time=begun.expire_time)

    def CompleteAuth(self, request: pb.CompleteAuthRequest, caller: Caller) -> pb.CompleteAuthResponse:
        outcome = self._attempts.complete(
            Callback.from_query(urlsplit(request.callback_url).query),
            caller=caller,
            external_id=optional(request, "external_id"),
            deadline=caller.deadline,
        )
        return pb.CompleteAuthResponse(
            **convert.outcome(outcome), confirmation_code=outcome.confirmation_code
        )

    def ConfirmAuth(self, request: pb.ConfirmAuthRequest, caller: Caller) -> pb.ConfirmAuthResponse:
        outcome = self._confirmations.confirm(
            caller, request.confirmation_code, optional(request, "external_id")
        )
        return pb.ConfirmAuthResponse(**convert.outcome(outcome))

    def ImportSocialAccount(
        self, request: pb.ImportSocialAccountRequest, caller: Caller
    ) -> pb.ImportSocialAccountResponse:
        def perform() -> pb.ImportSocialAccountResponse:
            row = self._accounts.import_profile(
                caller,
                request.platform,
                optional(request, "external_id"),
                convert.profile(request),
                dict(request.metadata),
            )
            return pb.ImportSocialAccountResponse(social_account=convert.account(row))

        return idempotency.once(caller, request, self._clock(), perform, pb.ImportSocialAccountResponse)

    def ConnectWithAppPassword(
        self, request: pb.ConnectWithAppPasswordRequest, caller: Caller
    ) -> pb.ConnectWithAppPasswordResponse:
        answer = pb.ConnectWithAppPasswordResponse
        if before := idempotency.answered(caller, request, answer):
            return before
        with self._app_passwords.signed_in(
            caller,
            optional(request, "external_id"),
            request.handle,
            request.app_password,
            request.service_url,
        ) as claim:
            return idempotency.once(
                caller,
                request,
                self._clock(),
                lambda: answer(social_account=convert.account(claim())),
                answer,
            )

    def GetSocialAccount(
        self, request: pb.GetSocialAccountRequest, caller: Caller
    ) -> pb.GetSocialAccountResponse:
        row = self._accounts.get(caller, request.social_account_id)
        return pb.GetSocialAccountResponse(social_account=convert.account(row))

    def ListSocialAccounts(
        self, request: pb.ListSocialAccountsRequest, caller: Caller
    ) -> pb.ListSocialAccountsResponse:
        filters: dict[str, Sequence[Any]] = {
            "external_ids": request.external_ids,
            "platforms": request.platforms,
            "usernames": request.usernames,
            "social_account_ids": request.social_account_ids,
            "states": request.states,
        }
        page = pagination.page(
            caller, request, lambda after, size: self._accounts.list_page(caller, filters, after, size)
        )
        return pb.ListSocialAccountsResponse(
            social_accounts=[convert.account(row) for row in page.rows], next_page_token=page.next_token
        )

    def UpdateSocialAccount(
        self, request: pb.UpdateSocialAccountRequest, caller: Caller
    ) -> pb.UpdateSocialAccountResponse:
        account = request.social_account
        paths = convert.updated_paths(account, request.update_mask.paths, ACCOUNT_MASK)
        row = self._accounts.update(caller, account.id, account.etag, convert.account_changes(account, paths))
        return pb.UpdateSocialAccountResponse(social_account=convert.account(row))

    def TransferSocialAccount(
        self, request: pb.TransferSocialAccountRequest, caller: Caller
    ) -> pb.TransferSocialAccountResponse:
        row = self._accounts.transfer(
            caller,
            request.social_account_id,
            request.from_external_id,
            request.to_external_id,
            request.etag,
        )
        return pb.TransferSocialAccountResponse(social_account=convert.account(row))

    def DisconnectSocialAccount(
        self, request: pb.DisconnectSocialAccountRequest, caller: Caller
    ) -> pb.DisconnectSocialAccountResponse:
        row = self._accounts.disconnect(caller, request.social_account_id, request.etag)
        return pb.DisconnectSocialAccountResponse(social_account=convert.account(row))

    def DeleteSocialAccount(
        self, request: pb.DeleteSocialAccountRequest, caller: Caller
    ) -> pb.DeleteSocialAccountResponse:
        self._accounts.delete(caller, request.social_account_id, request.etag)
        return pb.DeleteSocialAccountResponse()
