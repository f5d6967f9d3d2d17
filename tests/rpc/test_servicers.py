"""Servicers alone, without a port and without the layers around them: they translate, and nothing else."""

from collections.abc import Callable
from typing import Any

import grpc
import grpc_testing
import pytest
from google.protobuf.message import Message

from generated.hitchpost.v1 import social_account_service_pb2 as accounts_pb
from generated.hitchpost.v1 import social_post_service_pb2 as posts_pb
from server.base import errors
from server.base.identity import Caller
from server.rpc.social_accounts import SocialAccountServicer
from server.rpc.social_posts import SocialPostServicer
from tests.conftest import Running
from tests.kit.support import MESSAGES, Client, import_request

Invoke = Callable[[str, Message], Any]


class _Authenticated:
    """A servicer as it is called by this caller; the authenticate layer does this in a real server."""

    def __init__(self, servicer: object, caller: Caller) -> None:
        self._servicer = servicer
        self._caller = caller

    def __getattr__(self, method: str) -> Callable[[Message, grpc.ServicerContext], Message]:
        def behaviour(request: Message, context: grpc.ServicerContext) -> Message:
            answer: Message = getattr(self._servicer, method)(request, self._caller)
            return answer

        return behaviour


@pytest.fixture
def invoke(running: Running, client: Client) -> Invoke:
    """Calls a method by name and returns its response, or raises what the servicer raised."""
    app, caller = running.app, Caller(client.project_id, "key_test")
    servicers = {
        accounts_pb: SocialAccountServicer(
            app.accounts, app.attempts, app.confirmations, app.app_passwords, app.clock
        ),
        posts_pb: SocialPostServicer(app.posts, app.dispatch, app.rehearsal, app.clock),
    }
    server = grpc_testing.server_from_dictionary(
        {
            service: _Authenticated(servicer, caller)
            for module, servicer in servicers.items()
            for service in module.DESCRIPTOR.services_by_name.values()
        },
        grpc_testing.strict_real_time(),
    )

    def call(method: str, request: Message) -> Any:
        rpc = server.invoke_unary_unary(MESSAGES[method], (), request, None)
        response, _, code, details = rpc.termination()
        assert code is grpc.StatusCode.OK, details
        return response

    return call


def test_an_account_comes_back_as_it_was_imported(invoke: Invoke, client: Client) -> None:
    request = import_request("42", "alice", display_name="Mia", scopes=["a", "b"], metadata={"k": "v"})
    request.access_token_expire_time.seconds = 2_000_000_000
    account = invoke("SocialAccountService/ImportSocialAccount", request).social_account
    for name in ("platform", "platform_user_id", "username", "display_name", "external_id", "scopes"):
        assert getattr(account, name) == getattr(request, name), name
    assert account.metadata == request.metadata
    assert account.access_token_expire_time == request.access_token_expire_time
    assert (
        client("SocialAccountService/GetSocialAccount", social_account_id=account.id).social_account
        == account
    )


def test_absent_is_not_empty(invoke: Invoke) -> None:
    account = invoke("SocialAccountService/ImportSocialAccount", import_request("42")).social_account
    assert not account.HasField("external_id")
    assert not account.HasField("access_token_expire_time")
    post = posts_pb.SocialPost(caption="hello", social_account_ids=[account.id])
    created = invoke("SocialPostService/CreateSocialPost", posts_pb.CreateSocialPostRequest(social_post=post))
    assert not created.social_post.HasField("external_id")
    assert not created.social_post.HasField("scheduled_time")
    assert not created.social_post.HasField("platform_options")


def test_a_servicer_leaves_errors_to_the_layer_around_it(running: Running, client: Client) -> None:
    servicer = SocialPostServicer(
        running.app.posts, running.app.dispatch, running.app.rehearsal, running.app.clock
    )
    behaviour = _Authenticated(servicer, Caller(client.project_id, "key_test")).GetSocialPost
    with pytest.raises(errors.SocialPostNotFound):
        behaviour(posts_pb.GetSocialPostRequest(social_post_id="sp_" + "0" * 26), None)  # type: ignore[arg-type]
