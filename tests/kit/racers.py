"""Clients that call at the same moment, over several connections to each worker."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import grpc
from google.protobuf.message import Message

from tests.kit.support import MESSAGES, Client

# The call's code, and its answer if it has one.
Outcome = tuple[str, Any]


def _outcome(call: grpc.Future) -> Outcome:
    error = call.exception(timeout=60)
    if error is None:
        return "OK", call.result()
    assert isinstance(error, grpc.RpcError)
    return error.code().name, None  # type: ignore[attr-defined]


class Racers:
    """The clients: those of one channel start their calls in a thread of their own."""

    def __init__(self, channels: Sequence[grpc.Channel], client: Client) -> None:
        self._channels = channels
        self._metadata = client.metadata
        self._pool = ThreadPoolExecutor(len(channels))
        self._start = Barrier(len(channels))

    def race(self, method: str, requests: Sequence[Message]) -> list[Outcome]:
        """What each of these calls got; all of them start at once."""
        lanes = len(self._channels)
        running = [self._pool.submit(self._lane, n, method, requests[n::lanes]) for n in range(lanes)]
        return [outcome for lane in running for outcome in lane.result(timeout=120)]

    def _lane(self, number: int, method: str, requests: Sequence[Message]) -> list[Outcome]:
        descriptor = MESSAGES[method]
        rpc = self._channels[number].unary_unary(
            f"/{descriptor.containing_service.full_name}/{descriptor.name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=descriptor.output_type._concrete_class.FromString,
        )
        self._start.wait(60)
        calls = [rpc.future(request, metadata=self._metadata, timeout=60) for request in requests]
        return [_outcome(call) for call in calls]

    def close(self) -> None:
        """When there are no more races."""
        self._pool.shutdown()
