"""The registry has every method that the contract has, each with all that has to be known of it."""

import pytest
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.message_factory import GetMessageClass

from generated.hitchpost.v1 import admin_service_pb2 as admin_pb
from generated.hitchpost.v1 import platform_app_service_pb2 as apps_pb
from generated.hitchpost.v1 import social_account_service_pb2 as accounts_pb
from generated.hitchpost.v1 import social_post_service_pb2 as posts_pb
from server.rpc.registry import ROWS, RPCS, SERVICES, WAITS_FOR_PLATFORM, Rpc
from server.rpc.validation import CHECKS
from tests.kit.support import PROTOS

FILES: tuple[FileDescriptor, ...] = (
    accounts_pb.DESCRIPTOR,
    posts_pb.DESCRIPTOR,
    apps_pb.DESCRIPTOR,
    admin_pb.DESCRIPTOR,
)


def test_every_method_of_the_contract_is_there() -> None:
    services = [service for file in FILES for service in file.services_by_name.values()]
    contract = "".join(path.read_text() for path in PROTOS.rglob("*.proto"))
    assert sorted(service.name for service in services) == sorted(
        line.split()[1] for line in contract.splitlines() if line.startswith("service ")
    )
    paths = {f"/{service.full_name}/{method.name}" for service in services for method in service.methods}
    assert RPCS.keys() == paths
    assert set(SERVICES) == set(services)


@pytest.mark.parametrize("rpc", RPCS.values(), ids=lambda rpc: rpc.descriptor.name)
def test_a_method_is_served_checked_and_has_a_lane(rpc: Rpc) -> None:
    assert callable(getattr(rpc.servicer, rpc.descriptor.name))
    assert rpc.checks is CHECKS[GetMessageClass(rpc.descriptor.input_type)]
    reads = rpc.descriptor.name.startswith(("Get", "List", "Validate"))
    assert rpc.writes != reads
    assert rpc.lane == ("platform" if rpc.waits_for_platform else "read" if reads else "write")
    assert not rpc.streams


def test_nothing_is_said_of_methods_that_there_are_not() -> None:
    names = {rpc.descriptor.name for rpc in RPCS.values()}
    assert names >= ROWS.keys() | WAITS_FOR_PLATFORM
    assert {GetMessageClass(rpc.descriptor.input_type) for rpc in RPCS.values()} == CHECKS.keys()
    for servicer in SERVICES.values():
        assert {name for name in vars(servicer) if name[0].isupper()} <= names
