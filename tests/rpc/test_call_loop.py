"""The loop that serves calls, with methods of its own on a real port: what it does at the edges of a call."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from typing import Any

import grpc
import pytest

from server.rpc import traffic
from server.rpc.call import Call, Listener, Method, Refusal, Stream
from server.rpc.call_loop import CallLoop
from server.rpc.lanes import Lane
from tests.kit.servers import eventually, local_channel
from tests.kit.support import code_of

pytestmark = pytest.mark.own_loop

Behaviour = Callable[[bytes, Call], bytes | None]
STREAM = "/test.Service/Stream"
ECHO, BLOCK, OTHER = "/test.Service/Echo", "/test.Service/Block", "/test.Service/Other"
MAX_WAITING = 3
CODES = {
    Refusal.OVERLOADED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Refusal.NO_MESSAGE: grpc.StatusCode.INVALID_ARGUMENT,
    Refusal.LATE_MESSAGE: grpc.StatusCode.DEADLINE_EXCEEDED,
}


@dataclass
class Service:
    """A server of Echo, Block, which waits until it may go on, and Other, which is each test's own."""

    server: CallLoop
    lane: Lane
    address: str
    may_go_on: threading.Event
    served: list[str] = field(default_factory=list)

    def channel(self) -> grpc.Channel:
        """A new connection."""
        return local_channel(self.address)


@contextmanager
def serving(
    other: Behaviour | None = None,
    threads: int = 1,
    others: Sequence[Method] = (),
    streams: Sequence[Stream] = (),
) -> Iterator[Service]:
    """A server that has started, stopped at the end."""
    inner = grpc.server(ThreadPoolExecutor(1))
    port = inner.add_insecure_port("127.0.0.1:0")
    lane = Lane("calls", threads, MAX_WAITING)
    server = CallLoop(inner, {"calls": lane}, 4 * 1024 * 1024)
    service = Service(server, lane, f"127.0.0.1:{port}", threading.Event())

    def block(request: bytes, call: Call) -> bytes:
        service.served.append(request.decode())
        assert service.may_go_on.wait(30)
        return echo(request, call)

    own = others or [method(OTHER, other or echo)]
    for served in (method(ECHO, echo), method(BLOCK, block), *own):
        service.server.add(served)
    for stream in streams:
        service.server.add_stream(stream)
    before = set(threading.enumerate())
    service.server.start()
    try:
        yield service
    finally:
        service.may_go_on.set()
        service.server.stop(5)
        eventually("all its threads end", lambda: set(threading.enumerate()) <= before)


def echo(request: bytes, call: Call) -> bytes:
    """The request, and in the trailers what came as metadata with a name of `mine…`."""
    call.trailers = tuple((name, value) for name, value in call.metadata if name.startswith("mine"))
    return request


def refuse(call: Call, why: Refusal) -> None:
    """What calls get that end without their method's work."""
    call.code, call.details = CODES[why], why.value


def method(path: str, serve: Behaviour) -> Method:
    """A method that is open to everybody; a request that begins with "row" waits for that row."""
    return Method(
        path=path,
        lane="calls",
        admit=lambda call, then: then(),
        rows=lambda request, call: [request.decode()] if request.startswith(b"row") else (),
        serve=serve,
        refuse=refuse,
        ended=lambda call: None,
    )


@pytest.fixture(autouse=True)
def no_errors(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing is logged but what a test expects, and clears."""
    yield
    assert not caplog.get_records("call")


def unary(channel: grpc.Channel, path: str) -> Any:
    """A call of bytes."""
    return channel.unary_unary(path)


def test_bytes_and_metadata_come_through() -> None:
    metadata = (("mine", "text"), ("mine-bin", b"\x00\xff"), ("other", "x"))
    with serving() as service, closing(service.channel()) as channel:
        for size in (0, 1, 70_000, 3_000_000):
            answer, call = unary(channel, ECHO).with_call(b"x" * size, metadata=metadata, timeout=20)
            assert answer == b"x" * size
            assert [tuple(pair) for pair in call.trailing_metadata()] == list(metadata[:2])


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compressed_requests_are_read(compression: grpc.Compression) -> None:
    with serving() as service, closing(service.channel()) as channel:
        assert unary(channel, ECHO)(b"x" * 10_000, compression=compression, timeout=10) == b"x" * 10_000


def test_many_calls_on_many_connections_each_get_their_own_answer() -> None:
    def several(number: int) -> list[bytes]:
        with closing(service.channel()) as channel:
            return [unary(channel, ECHO)(b"%d/%d" % (number, i), timeout=20) for i in range(50)]

    with serving(threads=4) as service, ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(several, range(30)))
    assert answers == [[b"%d/%d" % (number, i) for i in range(50)] for number in range(30)]


def test_requests_that_do_not_come_take_no_thread() -> None:
    """A client that opens calls and sends nothing on them keeps nobody else from being served."""
    never: SimpleQueue[bytes | None] = SimpleQueue()
    with serving() as service, closing(service.channel()) as silent, closing(service.channel()) as channel:
        idle = [silent.stream_unary(ECHO).future(iter(never.get, None)) for _ in range(50)]
        for _ in range(20):
            assert unary(channel, ECHO)(b"here", timeout=10) == b"here"
        assert not any(call.done() for call in idle)
        for call in idle:
            call.cancel()
            never.put(None)


def test_a_call_without_a_message_is_refused() -> None:
    with serving() as service, closing(service.channel()) as channel:
        assert code_of(lambda: channel.stream_unary(ECHO)(iter(()), timeout=10)) == "INVALID_ARGUMENT"
        assert unary(channel, ECHO)(b"next", timeout=10) == b"next"


def test_a_call_that_is_not_admitted_is_answered_before_its_message_has_come() -> None:
    never: SimpleQueue[bytes | None] = SimpleQueue()

    def admit(call: Call, then: Callable[[], None]) -> None:
        call.code, call.details = grpc.StatusCode.UNAUTHENTICATED, "nobody"
        # As after a look-up: on another thread, later.
        threading.Timer(0.05, then).start()

    strict = replace(method(OTHER, echo), admit=admit)
    with serving(others=[strict]) as service, closing(service.channel()) as channel:
        call = channel.stream_unary(OTHER).future(iter(never.get, None), timeout=20)
        assert (call.code(), call.details()) == (grpc.StatusCode.UNAUTHENTICATED, "nobody")
        assert unary(channel, ECHO)(b"next", timeout=10) == b"next"
        never.put(None)


def test_a_call_whose_message_does_not_come_in_time_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "REQUEST_SECONDS", 0.2)
    never: SimpleQueue[bytes | None] = SimpleQueue()
    with serving() as service, closing(service.channel()) as channel:
        call = channel.stream_unary(ECHO).future(iter(never.get, None), timeout=30)
        assert call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert call.details() == Refusal.LATE_MESSAGE.value, "the server's, not the client's own"
        never.put(None)
        eventually("nothing of it is left", lambda: service.server.traffic.calls == 0)


def test_calls_beyond_what_a_worker_may_have_open_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "MAX_CALLS", 3)
    monkeypatch.setattr(traffic, "FEW", 1)
    never: SimpleQueue[bytes | None] = SimpleQueue()
    with serving() as service, closing(service.channel()) as channel:
        idle = [channel.stream_unary(ECHO).future(iter(never.get, None), timeout=30) for _ in range(3)]
        eventually("they are open", lambda: service.server.traffic.calls == 3)
        assert code_of(lambda: unary(channel, ECHO)(b"", timeout=10)) == "RESOURCE_EXHAUSTED"
        for call in idle:
            call.cancel()
            never.put(None)
        eventually("they have ended", lambda: service.server.traffic.calls == 0)
        assert unary(channel, ECHO)(b"next", timeout=10) == b"next"


def test_calls_leave_no_count_behind_however_they_end() -> None:
    with serving(threads=2) as service, closing(service.channel()) as channel:
        for number in range(50):
            unary(channel, ECHO)(b"x" * 100_000, timeout=10)
            unary(channel, ECHO).future(b"x" * 100_000, timeout=10).cancel()
            with suppress(grpc.RpcError):
                unary(channel, ECHO)(b"x" * 100_000, timeout=0.0001 * number + 0.0001)
        server = service.server
        traffic = server.traffic
        eventually("no call is left", lambda: traffic.calls == 0)
        assert (traffic.bytes, traffic.untaken) == (0, 0)
        assert not server.traffic._connections
        assert not server.traffic._asking
        assert not server.traffic._answering


@dataclass
class Said:
    """A stream that says each message again, and keeps its clients."""

    clients: list[Listener] = field(default_factory=list)
    gone: list[Listener] = field(default_factory=list)

    def hear(self, message: bytes, client: Listener) -> None:
        """Answers."""
        if client not in self.clients:
            self.clients.append(client)
        if message == b"defect":
            raise RuntimeError("inner detail")
        client.send(message)

    def as_stream(self, *, many: bool) -> Stream:
        """The stream as the loop takes it."""
        return Stream(STREAM, many=many, hear=self.hear, refuse=refuse, gone=self.gone.append)


def test_a_stream_hears_message_by_message_and_ends_with_its_client() -> None:
    said = Said()
    with serving(streams=[said.as_stream(many=True)]) as service, closing(service.channel()) as channel:
        messages: SimpleQueue[bytes | None] = SimpleQueue()
        answers = channel.stream_stream(STREAM)(iter(messages.get, None), timeout=20)
        for message in (b"a", b"b" * 100_000, b""):
            messages.put(message)
            assert next(answers) == message
        messages.put(None)
        assert list(answers) == []
        assert answers.code() is grpc.StatusCode.OK
        eventually("the stream hears of it", lambda: said.gone == said.clients)


def test_a_stream_says_what_it_wants_to_whoever_still_listens() -> None:
    said = Said()
    with serving(streams=[said.as_stream(many=False)]) as service, closing(service.channel()) as channel:
        answers = channel.unary_stream(STREAM)(b"first", timeout=20)
        assert next(answers) == b"first"
        [client] = said.clients
        client.send(b"later")
        assert next(answers) == b"later"
        for number in range(1000):
            client.send(b"%d" % number)
        client.end()
        seen = [int(answer) for answer in answers]
        assert seen == sorted(seen)
        assert seen[-1] == 999, "the last one is never left out"
        client.send(b"too late")
        client.end()
        assert answers.code() is grpc.StatusCode.OK


def test_a_stream_hears_last_that_its_client_has_gone() -> None:
    said, order, gone = Said(), list[str](), threading.Event()

    def hear(message: bytes, client: Listener) -> None:
        assert gone.wait(20)
        order.append("heard")
        client.send(message)

    def left(client: Listener) -> None:
        order.append("gone")
        gone.set()

    slow = replace(said.as_stream(many=False), hear=hear, gone=left)
    with serving(streams=[slow]) as service, closing(service.channel()) as channel:
        call = channel.unary_stream(STREAM)(b"x", timeout=20)
        eventually("it is on its way", lambda: service.server._stream_traffic.bytes == 1)
        call.cancel()
        eventually("it is told again", lambda: order == ["gone", "heard", "gone"])


def test_idle_streams_keep_nobody_waiting() -> None:
    said, never = Said(), SimpleQueue[bytes | None]()
    with serving(streams=[said.as_stream(many=True)]) as service, closing(service.channel()) as channel:
        idle = [channel.stream_stream(STREAM)(iter(never.get, None), timeout=30) for _ in range(12)]
        for _ in range(3):
            answers = channel.stream_stream(STREAM)(iter([b"here"]), timeout=10)
            assert list(answers) == [b"here"]
            assert unary(channel, ECHO)(b"next", timeout=10) == b"next"
        for stream in idle:
            stream.cancel()
            never.put(None)


def test_a_stream_whose_client_says_nothing_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "REQUEST_SECONDS", 0.2)
    said, never = Said(), SimpleQueue[bytes | None]()
    with serving(streams=[said.as_stream(many=True)]) as service, closing(service.channel()) as channel:
        stream = channel.stream_stream(STREAM)(iter(never.get, None), timeout=30)
        assert stream.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert stream.details() == Refusal.LATE_MESSAGE.value
        never.put(None)


def test_a_defect_of_a_stream_ends_that_call_only(caplog: pytest.LogCaptureFixture) -> None:
    said = Said()
    with serving(streams=[said.as_stream(many=True)]) as service, closing(service.channel()) as channel:
        broken = channel.stream_stream(STREAM)(iter([b"defect"]), timeout=20)
        assert (broken.code(), broken.details()) == (grpc.StatusCode.INTERNAL, "internal error")
        assert list(channel.stream_stream(STREAM)(iter([b"next"]), timeout=20)) == [b"next"]
    assert "inner detail" in str(caplog.records[0].exc_info)
    caplog.clear()


def test_one_thread_takes_what_comes_from_the_network() -> None:
    """A second one would take from the network what the first has to deal with, and wake it for each call."""
    before = set(threading.enumerate())
    with serving() as service, closing(service.channel()) as channel:
        assert unary(channel, ECHO)(b"here", timeout=10) == b"here"
        begun = [
            thread.name for thread in set(threading.enumerate()) - before if "channel" not in thread.name
        ]
        [receiving] = set(begun) - {"calls_0", "stream_0", "overdue"}
        assert receiving.endswith("(_serve)"), begun


def test_a_defect_while_an_event_is_dealt_with_leaves_the_loop_to_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def leave(self: traffic.Traffic, exchange: object) -> None:
        monkeypatch.undo()
        raise ArithmeticError

    with serving() as service, closing(service.channel()) as channel:
        monkeypatch.setattr(traffic.Traffic, "leave", leave)
        for _ in range(3):
            assert unary(channel, ECHO)(b"here", timeout=10) == b"here"
        eventually("it is logged", lambda: "unexpected error in the loop that serves calls" in caplog.text)
    caplog.clear()


def test_a_method_that_nobody_added_is_unimplemented() -> None:
    with serving() as service, closing(service.channel()) as channel:
        assert code_of(lambda: unary(channel, "/test.Service/Unknown")(b"", timeout=10)) == "UNIMPLEMENTED"


def test_calls_that_can_not_wait_are_refused() -> None:
    with serving() as service, closing(service.channel()) as channel:
        calls = [unary(channel, BLOCK).future(b"0", timeout=30)]
        eventually("the only thread serves", lambda: service.served == ["0"])
        calls += [unary(channel, BLOCK).future(b"%d" % number, timeout=30) for number in range(1, 11)]
        eventually("seven are refused", lambda: sum(call.done() for call in calls) == 10 - MAX_WAITING)
        refused = [call for call in calls if call.done()]
        assert {call.code().name for call in refused} == {"RESOURCE_EXHAUSTED"}
        service.may_go_on.set()
        assert sum(call.code() is grpc.StatusCode.OK for call in calls) == 1 + MAX_WAITING
    assert len(service.served) == 1 + MAX_WAITING


def test_a_call_whose_client_has_gone_while_it_waited_is_not_served() -> None:
    with serving() as service, closing(service.channel()) as channel:
        first = unary(channel, BLOCK).future(b"first", timeout=30)
        eventually("the only thread serves", lambda: service.served == ["first"])
        # Long enough to come even when the cores are busy.
        late = unary(channel, BLOCK).future(b"late", timeout=3)
        cancelled = unary(channel, BLOCK).future(b"cancelled", timeout=30)
        assert late.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        cancelled.cancel()
        # The server has heard of both ends once it has answered something that was sent after them.
        last = unary(channel, BLOCK).future(b"last", timeout=30)
        eventually("both have ended at the server", lambda: service.lane.waiting == 3)
        service.may_go_on.set()
        assert (first.result(30), last.result(30)) == (b"first", b"last")
    assert service.served == ["first", "last"]


def test_a_client_that_goes_during_its_call_harms_nobody() -> None:
    with serving() as service, closing(service.channel()) as channel:
        assert code_of(lambda: unary(channel, BLOCK)(b"late", timeout=0.2)) == "DEADLINE_EXCEEDED"
        with closing(service.channel()) as gone:
            unary(gone, BLOCK).future(b"gone", timeout=30)
        service.may_go_on.set()
        assert unary(channel, ECHO)(b"next", timeout=10) == b"next"


def broken(request: bytes, call: Call) -> bytes:
    """A behaviour with a bug."""
    raise RuntimeError("inner detail")


def unsendable(request: bytes, call: Call) -> bytes:
    """A behaviour whose answer can't be written down."""
    call.trailers = (("mine", "\ud800 inner detail"),)
    return b""


@pytest.mark.parametrize("behaviour", [broken, unsendable])
def test_an_exception_around_a_call_ends_that_call_only(
    behaviour: Behaviour, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(behaviour) as service, closing(service.channel()) as channel:
        for _ in range(3):
            with pytest.raises(grpc.RpcError) as caught:
                unary(channel, OTHER)(b"", timeout=10)
            assert caught.value.code() is grpc.StatusCode.INTERNAL  # type: ignore[attr-defined]
            assert caught.value.details() == "internal error"  # type: ignore[attr-defined]
        assert unary(channel, ECHO)(b"next", timeout=10) == b"next"
    assert ["inner detail" in str(record.exc_info) for record in caplog.records] == [True] * 3
    caplog.clear()


def test_trailers_that_grpc_does_not_allow_end_that_call_only() -> None:
    def bad_name(request: bytes, call: Call) -> bytes:
        call.trailers = (("No Such Name", "x"),)
        return b""

    with serving(bad_name) as service, closing(service.channel()) as channel:
        assert code_of(lambda: unary(channel, OTHER)(b"", timeout=20)) == "INTERNAL"
        assert unary(channel, ECHO)(b"next", timeout=10) == b"next"


def test_stop_lets_calls_end_and_takes_no_more() -> None:
    with serving() as service, closing(service.channel()) as channel:
        begun = unary(channel, BLOCK).future(b"begun", timeout=30)
        eventually("it is served", lambda: service.served == ["begun"])
        waiting = unary(channel, BLOCK).future(b"waiting", timeout=30)
        eventually("the next one waits", lambda: service.lane.waiting == 1)
        stopping = threading.Thread(target=service.server.stop, args=(20,))
        stopping.start()
        with closing(service.channel()) as another:
            eventually(
                "no more are taken", lambda: code_of(lambda: unary(another, ECHO)(b"", timeout=1)) != "OK"
            )
        assert stopping.is_alive()
        service.may_go_on.set()
        assert (begun.result(30), waiting.result(30)) == (b"begun", b"waiting")
        stopping.join(30)
        assert not stopping.is_alive()


def test_stop_ends_calls_that_take_longer_than_it_waits() -> None:
    with serving() as service, closing(service.channel()) as channel:
        endless = unary(channel, BLOCK).future(b"endless", timeout=30)
        eventually("it is served", lambda: service.served == ["endless"])
        stopping = threading.Thread(target=service.server.stop, args=(0.2,))
        stopping.start()
        assert endless.code() in (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE)
        service.may_go_on.set()
        stopping.join(30)
        assert not stopping.is_alive()
