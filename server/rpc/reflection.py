"""grpc.reflection: tells tools such as grpcurl which services there are, and of what messages they are made.

The protocol has two versions, v1 and v1alpha, whose messages are the same bytes: one `Reflection` answers
both. Decision 14 says why it isn't grpcio's.
"""

from collections.abc import Iterable, Iterator

import grpc
from google.protobuf import text_format
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha import reflection_pb2 as pb

from server.rpc.call import Listener, Stream
from server.rpc.layers import refuse


def _v1() -> FileDescriptor:
    """The file of v1, which grpcio-reflection lacks: v1alpha's by another name, and not deprecated."""
    alpha = text_format.MessageToString(FileDescriptorProto.FromString(pb.DESCRIPTOR.serialized_pb))
    file = text_format.Parse(alpha.replace("v1alpha", "v1"), FileDescriptorProto())
    file.options.ClearField("deprecated")
    return DescriptorPool().AddSerializedFile(file.SerializeToString())


MAX_REQUEST_BYTES = 65_536
VERSIONS = (_v1(), pb.DESCRIPTOR)


class Reflection:
    """Knows some files, all that they import, and itself; lists the services of the files themselves."""

    def __init__(self, files: Iterable[FileDescriptor]) -> None:
        roots = [*files, *VERSIONS]
        known = {file.name: file for root in roots for file in _with_imports(root)}
        self._files = known
        self._symbols = {name: file for file in known.values() for name in _symbols(file)}
        # By the message that is extended, and by number.
        self._extensions = {
            message.full_name: {
                extension.number: self._symbols[extension.full_name]
                for extension in file.pool.FindAllExtensions(message)
                if extension.full_name in self._symbols
            }
            for file in known.values()
            for message in _messages(file)
        }
        self._services = sorted(
            service.full_name for file in roots for service in file.services_by_name.values()
        )

    def answer(self, request: bytes) -> bytes:
        """The ServerReflectionResponse to a ServerReflectionRequest, for instance with an error_response."""
        try:
            asked = pb.ServerReflectionRequest.FromString(request)
        except DecodeError:
            return bytes(_invalid("The request is no ServerReflectionRequest.").SerializeToString())
        answer = self._answer(asked)
        answer.valid_host = asked.host
        answer.original_request.CopyFrom(asked)
        return bytes(answer.SerializeToString())

    def streams(self) -> Iterator[Stream]:
        """The services' methods."""
        for file in VERSIONS:
            for service in file.services_by_name.values():
                for method in service.methods:
                    path = f"/{service.full_name}/{method.name}"
                    yield Stream(path, many=True, hear=self._hear, refuse=refuse)

    def _hear(self, request: bytes, client: Listener) -> None:
        # An answer repeats its request, and has to fit.
        if len(request) > MAX_REQUEST_BYTES:
            client.end(grpc.StatusCode.INVALID_ARGUMENT, f"a request has at most {MAX_REQUEST_BYTES} bytes")
        else:
            client.send(self.answer(request))

    def _answer(self, asked: pb.ServerReflectionRequest) -> pb.ServerReflectionResponse:
        match asked.WhichOneof("message_request"):
            case "list_services":
                services = [pb.ServiceResponse(name=name) for name in self._services]
                return pb.ServerReflectionResponse(
                    list_services_response=pb.ListServiceResponse(service=services)
                )
            case "file_by_filename":
                return _file(self._files.get(asked.file_by_filename))
            case "file_containing_symbol":
                return _file(self._symbols.get(asked.file_containing_symbol))
            case "file_containing_extension":
                wanted = asked.file_containing_extension
                return _file(self._extensions.get(wanted.containing_type, {}).get(wanted.extension_number))
            case "all_extension_numbers_of_type":
                return self._extension_numbers(asked.all_extension_numbers_of_type)
            case _:
                return _invalid("The request asks for nothing that this server knows of.")

    def _extension_numbers(self, message: str) -> pb.ServerReflectionResponse:
        extensions = self._extensions.get(message)
        if extensions is None:
            return _not_found()
        numbers = pb.ExtensionNumberResponse(base_type_name=message, extension_number=sorted(extensions))
        return pb.ServerReflectionResponse(all_extension_numbers_response=numbers)


def _file(file: FileDescriptor | None) -> pb.ServerReflectionResponse:
    """The file and all that it imports, itself first."""
    if file is None:
        return _not_found()
    needed = {each.name: each.serialized_pb for each in _with_imports(file)}
    found = pb.FileDescriptorResponse(file_descriptor_proto=needed.values())
    return pb.ServerReflectionResponse(file_descriptor_response=found)


def _not_found() -> pb.ServerReflectionResponse:
    return _failure(grpc.StatusCode.NOT_FOUND, "Nothing here has this name; list_services says what is.")


def _invalid(message: str) -> pb.ServerReflectionResponse:
    return _failure(grpc.StatusCode.INVALID_ARGUMENT, message)


def _failure(code: grpc.StatusCode, message: str) -> pb.ServerReflectionResponse:
    error = pb.ErrorResponse(error_code=code.value[0], error_message=message)
    return pb.ServerReflectionResponse(error_response=error)


def _with_imports(file: FileDescriptor) -> Iterator[FileDescriptor]:
    """A file that is imported on several ways comes several times."""
    yield file
    for imported in file.dependencies:
        yield from _with_imports(imported)


def _symbols(file: FileDescriptor) -> Iterator[str]:
    """The full names of all that the file declares."""
    for message in _messages(file):
        yield message.full_name
        yield from (field.full_name for field in message.fields)
        yield from (oneof.full_name for oneof in message.oneofs)
    for enum in _enums(file):
        yield enum.full_name
        # A value is a sibling of its enum, but tools look for it inside.
        for scope in (enum.full_name.removesuffix(enum.name), f"{enum.full_name}."):
            yield from (scope + value.name for value in enum.values)
    yield from (extension.full_name for extension in _extensions(file))
    for service in file.services_by_name.values():
        yield service.full_name
        yield from (f"{service.full_name}.{method.name}" for method in service.methods)


def _messages(file: FileDescriptor) -> Iterator[Descriptor]:
    """The file's messages, and those nested in them."""
    left = list(file.message_types_by_name.values())
    while left:
        message = left.pop()
        left += message.nested_types
        yield message


def _enums(file: FileDescriptor) -> Iterator[EnumDescriptor]:
    yield from file.enum_types_by_name.values()
    for message in _messages(file):
        yield from message.enum_types


def _extensions(file: FileDescriptor) -> Iterator[FieldDescriptor]:
    yield from file.extensions_by_name.values()
    for message in _messages(file):
        yield from message.extensions
