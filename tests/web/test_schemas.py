"""JSON Schema of what callers send, by the words of JSON Schema's own validator."""

import jsonschema
import pytest
from google.protobuf.json_format import MessageToDict

from server.rpc.registry import RPCS
from server.web import schemas
from tests.kit.support import Client
from tests.kit.valid_requests import valid_request


@pytest.mark.parametrize("path", RPCS)
def test_valid_requests_are_as_described(path: str, client: Client) -> None:
    rpc = RPCS[path]
    request = valid_request(client, path.rpartition(".")[2])
    described = schemas.sent(rpc.descriptor.input_type, schemas.bounds(rpc))
    jsonschema.Draft202012Validator.check_schema(described)
    as_json = MessageToDict(request, preserving_proto_field_name=True)
    jsonschema.validate(as_json, described)
    with pytest.raises(jsonschema.ValidationError, match="Additional properties"):
        jsonschema.validate({**as_json, "no_such_field": 1}, described)


@pytest.mark.parametrize("path", RPCS)
def test_what_the_contract_requires_is_required(path: str) -> None:
    rpc = RPCS[path]
    said = {
        field.name
        for field in rpc.descriptor.input_type.fields
        if schemas.COMMENTS[field.full_name].startswith("Required.")
    }
    assert set(schemas.bounds(rpc)["required"]) == said


def test_fields_are_described_in_the_contracts_words_and_the_checks_bounds() -> None:
    rpc = RPCS["/hitchpost.v1.SocialPostService/CreateSocialPost"]
    post = schemas.sent(rpc.descriptor.input_type, schemas.bounds(rpc))["properties"]["social_post"]
    words = "The text. At most 65,536 characters. Required when there is no media."
    caption = post["properties"]["caption"]
    assert (caption["description"], caption["maxLength"]) == (words, 65_536)


def test_types_are_those_of_proto3_json() -> None:
    rpc = RPCS["/hitchpost.v1.SocialAccountService/ImportSocialAccount"]
    kinds = schemas.sent(rpc.descriptor.input_type, schemas.bounds(rpc))["properties"]
    assert kinds["platform"]["type"] == "string"
    assert "PLATFORM_SANDBOX" in kinds["platform"]["enum"]
    assert kinds["access_token_expire_time"]["type"] == ["string", "null"]
    assert kinds["access_token_expire_time"]["format"] == "date-time"
    assert kinds["metadata"]["additionalProperties"]["type"] == "string"
    assert kinds["scopes"]["items"]["maxLength"] == 255
    listed = RPCS["/hitchpost.v1.SocialPostService/ListSocialPosts"]
    asked = schemas.sent(listed.descriptor.input_type, schemas.bounds(listed))["properties"]
    assert asked["page_size"]["type"] == ["integer", "null"]
