"""What a caller hears whose key is right, but not sent as `authorization: Bearer <key>`."""

import grpc
import pytest

from tests.kit.support import Client, failure

OTHER_FORMS = {
    "no scheme": "{key}",
    "another scheme": "Basic {key}",
    "scheme and key run together": "Bearer{key}",
    "colon": "Bearer: {key}",
    "no key": "Bearer",
}


@pytest.mark.parametrize("form", OTHER_FORMS.values(), ids=OTHER_FORMS)
def test_a_right_key_without_bearer_is_told_what_is_missing(form: str, client: Client) -> None:
    assert client.key
    authorization = form.format(key=client.key)
    with pytest.raises(grpc.RpcError) as refused:
        client.with_key(None).with_call(
            "SocialAccountService/ListSocialAccounts", extra=[("authorization", authorization)]
        )
    failed = failure(refused.value)
    assert failed.code == "UNAUTHENTICATED"
    assert 'send "authorization: Bearer <key>"' in failed.message
    assert "unknown or revoked" not in failed.message
    assert client.key not in failed.message
