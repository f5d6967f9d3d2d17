"""A service whose methods stream, since no method of the contract does yet."""

import threading
from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto, MethodOptions
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from server.base import errors
from server.base.identity import Caller

INT32, READS = 5, MethodOptions.NO_SIDE_EFFECTS
# Who counts to these fails at the end.
KNOWN, DEFECT = 66, 99


def _file() -> FileDescriptorProto:
    file = FileDescriptorProto(name="counter.proto", package="test.v1", syntax="proto3")
    for name in ("CountRequest", "CountResponse"):
        message = file.message_type.add(name=name)
        message.field.add(name="number", number=1, type=INT32, label=1)
    service = file.service.add(name="Counter")
    for name in ("Count", "Add"):
        method = service.method.add(
            name=name,
            input_type=".test.v1.CountRequest",
            output_type=".test.v1.CountResponse",
            server_streaming=True,
        )
        if name == "Count":
            method.options.idempotency_level = READS
    return file


SERVICE = DescriptorPool().AddSerializedFile(_file().SerializeToString()).services_by_name["Counter"]
Request, Response = (
    GetMessageClass(SERVICE.file.message_types_by_name[name]) for name in ("CountRequest", "CountResponse")
)


class Counter:
    """Counts up to the request's number."""

    def __init__(self) -> None:
        self.callers: list[Caller] = []
        self.ended = threading.Event()
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def Count(self, request: Any, caller: Caller) -> Iterator[Any]:
        self.callers.append(caller)
        try:
            for number in range(request.number):
                assert self.may_go_on.wait(20)
                yield Response(number=number)
            if request.number == KNOWN:
                raise errors.OwnedByAnother(platform="sandbox")
            if request.number == DEFECT:
                raise RuntimeError("a defect")
        finally:
            self.ended.set()

    Add = Count
