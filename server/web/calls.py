"""A call that came by HTTP, or by a protocol on top of it: to its lane, and to its one answer."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import grpc

from server.base.errors import HitchpostError
from server.rpc.call import Call, Method, StreamingMethod
from server.rpc.handled import Client, Handled
from server.rpc.lanes import Lane
from server.rpc.layers import fail

Admit = Callable[[Call, Callable[[], None]], None]
Answer = TypeVar("Answer")


async def admitted(admit: Admit, call: Call) -> bool:
    """Whether the call may go on, once it is known whose it is; if not, it has ended."""
    loop, known, here = asyncio.get_running_loop(), asyncio.Event(), threading.get_ident()

    def then() -> None:
        # A key that was seen before is found at once, and the loop need not be woken.
        if threading.get_ident() == here:
            known.set()
        else:
            loop.call_soon_threadsafe(known.set)

    admit(call, then)
    await known.wait()
    return call.code is grpc.StatusCode.OK


async def begun(
    method: Method | StreamingMethod,
    lane: Lane,
    call: Call,
    read: Callable[[], Awaitable[bytes]],
    client: Client,
) -> bool:
    """Whether the call is on its way, whose end the client will hear of; if not, it has ended.

    `read` gives its request once it is known whose call it is, or says what is wrong with it.
    """
    message = b""
    if await admitted(method.admit, call):
        try:
            message = await read()
        except HitchpostError as error:
            fail(call, error)
    if call.code is not grpc.StatusCode.OK:
        method.ended(call)
        return False
    Handled(method, message, call, client).admitted(lane)
    return True


class Waiting(Generic[Answer]):
    """The client of a call that has one answer. See handled.Client."""

    def __init__(self, read: Callable[[bytes], Answer]) -> None:
        """`read` makes of the answer what is wanted, in the thread of the call."""
        self._read = read
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[Call] = self._loop.create_future()
        self.answer: Answer | None = None

    def is_active(self) -> bool:
        """See Client."""
        return not self._ended.cancelled()

    def send(self, answer: bytes) -> None:
        """See Client."""
        self.answer = self._read(answer)

    def end(self, call: Call) -> None:
        """See Client."""
        self._loop.call_soon_threadsafe(self._end, call)

    def _end(self, call: Call) -> None:
        if not self._ended.cancelled():
            self._ended.set_result(call)

    async def ended(self) -> Call:
        """How it ended; if well, `answer` is there."""
        return await self._ended
