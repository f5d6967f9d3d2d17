"""Server reflection: both versions of the protocol, every kind of symbol, and the tools that live on it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_database import DescriptorDatabase
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection_pb2 as pb

from server.rpc.reflection import Reflection
from tests.conftest import Running
from tests.kit.support import Client

VERSIONS = ("v1", "v1alpha")
SERVICES = {
    "hitchpost.v1.SocialAccountService",
    "hitchpost.v1.SocialPostService",
    "hitchpost.v1.PlatformAppService",
    "hitchpost.v1.AdminService",
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
}
ACCOUNTS = "hitchpost/v1/social_account_service.proto"
SYMBOLS = {
    "service": ("hitchpost.v1.SocialAccountService", ACCOUNTS),
    "method": ("hitchpost.v1.SocialAccountService.GetSocialAccount", ACCOUNTS),
    "message": ("hitchpost.v1.SocialAccount", ACCOUNTS),
    "field": ("hitchpost.v1.SocialAccount.username", ACCOUNTS),
    "oneof": ("hitchpost.v1.SocialAccount._external_id", ACCOUNTS),
    "enum": ("hitchpost.v1.Platform", "hitchpost/v1/platform.proto"),
    "enum value": ("hitchpost.v1.PLATFORM_SANDBOX", "hitchpost/v1/platform.proto"),
    "nested message": ("google.rpc.BadRequest.FieldViolation", "google/rpc/error_details.proto"),
    "nested field": ("google.rpc.BadRequest.FieldViolation.field", "google/rpc/error_details.proto"),
    "nested enum": ("grpc.health.v1.HealthCheckResponse.ServingStatus", "grpc_health/v1/health.proto"),
    "nested enum's value": ("grpc.health.v1.HealthCheckResponse.SERVING", "grpc_health/v1/health.proto"),
    "of an import": ("google.protobuf.Timestamp.seconds", "google/protobuf/timestamp.proto"),
    "reason": ("hitchpost.v1.ERROR_REASON_OVERLOADED", "hitchpost/v1/error_reason.proto"),
}


def ask(channel: grpc.Channel, version: str, *requests: Any) -> list[Any]:
    """The answers on one stream: the messages of v1 are those of v1alpha."""
    rpc = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=pb.ServerReflectionRequest.SerializeToString,
        response_deserializer=pb.ServerReflectionResponse.FromString,
    )
    return list(rpc(iter(requests), timeout=30))


def files_of(answer: Any) -> list[FileDescriptorProto]:
    return [
        FileDescriptorProto.FromString(file) for file in answer.file_descriptor_response.file_descriptor_proto
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_reflection_lists_every_service(version: str, running: Running) -> None:
    [answer] = ask(running.channel, version, pb.ServerReflectionRequest(list_services="*", host="any"))
    assert {service.name for service in answer.list_services_response.service} == SERVICES
    assert (answer.valid_host, answer.original_request.list_services) == ("any", "*")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("symbol", "file"), SYMBOLS.values(), ids=SYMBOLS)
def test_reflection_resolves_every_kind_of_symbol(
    symbol: str, file: str, version: str, running: Running
) -> None:
    request = pb.ServerReflectionRequest(file_containing_symbol=symbol)
    [answer] = ask(running.channel, version, request)
    assert answer.original_request == request
    names = [found.name for found in files_of(answer)]
    assert names[0] == file
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("version", VERSIONS)
def test_reflection_answers_with_all_that_a_file_imports(version: str, running: Running) -> None:
    services = [pb.ServerReflectionRequest(file_containing_symbol=name) for name in sorted(SERVICES)]
    answers = ask(running.channel, version, *services, pb.ServerReflectionRequest(file_by_filename=ACCOUNTS))
    for answer in answers:
        files, database = files_of(answer), DescriptorDatabase()
        for file in files:
            database.Add(file)
        # The pool takes what a file imports from the database, and from nowhere else.
        assert DescriptorPool(database).FindFileByName(files[0].name).services_by_name
    assert files_of(answers[-1])[0].name == ACCOUNTS


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("code", "request_"),
    [
        ("NOT_FOUND", {"file_containing_symbol": "hitchpost.v1.Nothing"}),
        ("NOT_FOUND", {"file_containing_symbol": "hitchpost.v1"}),
        ("NOT_FOUND", {"file_containing_symbol": ""}),
        # In this process, and not in the contract.
        ("NOT_FOUND", {"file_containing_symbol": "google.protobuf.FileDescriptorProto"}),
        ("NOT_FOUND", {"file_by_filename": "google/protobuf/descriptor.proto"}),
        ("NOT_FOUND", {"all_extension_numbers_of_type": "hitchpost.v1.Nothing"}),
        (
            "NOT_FOUND",
            {"file_containing_extension": {"containing_type": "google.rpc.ErrorInfo", "extension_number": 9}},
        ),
        ("INVALID_ARGUMENT", {}),
    ],
)
def test_reflection_says_what_it_can_not_answer_and_goes_on(
    code: str, request_: dict[str, Any], version: str, running: Running
) -> None:
    request = pb.ServerReflectionRequest(**request_)
    failed, next_one = ask(running.channel, version, request, pb.ServerReflectionRequest(list_services=""))
    assert failed.error_response.error_code == grpc.StatusCode[code].value[0]
    assert len(failed.error_response.error_message.split()) > 3
    assert failed.original_request == request
    assert len(next_one.list_services_response.service) == len(SERVICES)


def test_reflection_answers_bytes_that_are_no_request() -> None:
    answer = pb.ServerReflectionResponse.FromString(Reflection([]).answer(b"\xff"))
    assert answer.error_response.error_code == grpc.StatusCode.INVALID_ARGUMENT.value[0]


def extending() -> Reflection:
    """Reflection of a file with extensions, which the contract has none of."""
    file = FileDescriptorProto(name="base.proto", package="shop")
    base = file.message_type.add(name="Base")
    base.extension_range.add(start=100, end=200)
    file.message_type.add(name="Plain")
    other = FileDescriptorProto(name="more.proto", package="shop", dependency=["base.proto"])
    kind = {
        "extendee": ".shop.Base",
        "type": FieldDescriptorProto.TYPE_INT32,
        "label": FieldDescriptorProto.LABEL_OPTIONAL,
    }
    other.extension.add(name="colour", number=102, **kind)
    other.message_type.add(name="Scope").extension.add(name="size", number=101, **kind)
    pool = DescriptorPool()
    for each in (file, other):
        pool.Add(each)
    return Reflection([pool.FindFileByName("more.proto")])


def test_reflection_knows_extensions() -> None:
    reflection = extending()

    def ask(**fields: Any) -> Any:
        request = pb.ServerReflectionRequest(**fields).SerializeToString()
        return pb.ServerReflectionResponse.FromString(reflection.answer(request))

    numbers = ask(all_extension_numbers_of_type="shop.Base").all_extension_numbers_response
    assert (numbers.base_type_name, list(numbers.extension_number)) == ("shop.Base", [101, 102])
    none = ask(all_extension_numbers_of_type="shop.Plain").all_extension_numbers_response
    assert (none.base_type_name, list(none.extension_number)) == ("shop.Plain", [])
    wanted = {"containing_type": "shop.Base", "extension_number": 101}
    for answer in (
        ask(file_containing_extension=wanted),
        ask(file_containing_symbol="shop.Scope.size"),
        ask(file_containing_symbol="shop.colour"),
    ):
        assert [file.name for file in files_of(answer)] == ["more.proto", "base.proto"]


# The tools. ghz is in tests/clients, since Go builds it.


@pytest.fixture
def tool(running: Running) -> Callable[..., str]:
    """Runs a program of the environment, and returns what it printed."""

    def run(name: str, *arguments: str) -> str:
        program = shutil.which(name, path=str(Path(sys.executable).parent))
        assert program, f"{name} is not in this environment"
        ran = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    return run


@pytest.mark.parametrize(
    ("symbol", "kind"),
    [
        ("hitchpost.v1.SocialAccountService", "a service"),
        ("hitchpost.v1.SocialAccountService.GetSocialAccount", "a method"),
        ("hitchpost.v1.SocialAccount", "a message"),
        ("hitchpost.v1.SocialAccount.username", "a field"),
        ("hitchpost.v1.Platform", "an enum"),
        ("hitchpost.v1.Platform.PLATFORM_SANDBOX", "an enum value"),
        ("grpc.reflection.v1.ServerReflection.ServerReflectionInfo", "a method"),
    ],
)
def test_grpcurl_describes_every_kind_of_symbol(
    symbol: str, kind: str, tool: Callable[..., str], running: Running
) -> None:
    described = tool("grpcurl", "-plaintext", running.settings.grpc_address, "describe", symbol)
    assert described.startswith(f"{symbol} is {kind}:"), described


def test_grpcurl_describes_all_that_is_listed(tool: Callable[..., str], running: Running) -> None:
    listed = tool("grpcurl", "-plaintext", running.settings.grpc_address, "list")
    assert set(listed.split()) == SERVICES
    described = tool("grpcurl", "-plaintext", running.settings.grpc_address, "describe")
    assert all(f"{service} is a service:" in described for service in SERVICES)


def test_buf_curl_calls_by_reflection(tool: Callable[..., str], running: Running, client: Client) -> None:
    account = client.connect()
    url = f"http://{running.settings.grpc_address}"
    over_http2 = ("--protocol", "grpc", "--http2-prior-knowledge")
    methods = tool("buf", "curl", *over_http2, "--list-methods", url).split()
    assert {method.rpartition("/")[0] for method in methods} == SERVICES
    for protocol in ("grpc-v1", "grpc-v1alpha"):
        answer = tool(
            "buf",
            "curl",
            *over_http2,
            *("--reflect-protocol", protocol),
            *("--header", f"authorization: Bearer {client.key}"),
            *("--data", json.dumps({"social_account_id": account.id})),
            f"{url}/hitchpost.v1.SocialAccountService/GetSocialAccount",
        )
        assert json.loads(answer)["socialAccount"]["id"] == account.id
