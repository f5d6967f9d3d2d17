"""The limits: a bare gRPC server that returns the same bytes from memory, with --loop served by Hitchpost's
loop, and with --statement nothing but the one statement of GetSocialAccount before it."""

import argparse
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import psycopg2

from server.rpc.call import Method
from server.rpc.call_loop import CallLoop
from server.rpc.lanes import Lane
from server.rpc.registry import RPCS

THREADS = 4
Behaviour = Callable[[bytes, object], bytes]


class AnyMethod(grpc.GenericRpcHandler):
    """Serves every method by one behaviour, bytes to bytes."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._handler = grpc.unary_unary_rpc_method_handler(behaviour)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        return self._handler


def from_memory(folder: Path) -> Behaviour:
    """Answers each NAME.request of the folder with its NAME.reply."""
    replies = {
        path.read_bytes(): path.with_suffix(".reply").read_bytes() for path in folder.glob("*.request")
    }
    return lambda request, _: replies[request]


def after_statement(url: str, prepare: str, execute: str, behaviour: Behaviour) -> Behaviour:
    """The same, once the statement has run on the thread's connection and its rows are fetched."""
    thread = threading.local()

    def cursor() -> psycopg2.extensions.cursor:
        if not hasattr(thread, "cursor"):
            connection = psycopg2.connect(url)
            connection.autocommit = True
            thread.cursor = connection.cursor()
            thread.cursor.execute(prepare)
        return thread.cursor

    def answer(request: bytes, context: object) -> bytes:
        cursor().execute(execute)
        cursor().fetchall()
        return behaviour(request, context)

    return answer


def _bare_method(path: str, behaviour: Behaviour) -> Method:
    return Method(
        path=path,
        lane="calls",
        admit=lambda call, then: then(),
        rows=lambda request, call: (),
        serve=behaviour,
        refuse=lambda call, why: None,
        ended=lambda call: None,
    )


def serve(port: int, behaviour: Behaviour, *, loop: bool) -> None:
    """Serves until SIGTERM."""
    server = grpc.server(ThreadPoolExecutor(THREADS), options=[("grpc.so_reuseport", 1)])
    server.add_insecure_port(f"127.0.0.1:{port}")
    if loop:
        calls = CallLoop(server, {"calls": Lane("calls", THREADS, 1000)}, 4 * 1024 * 1024)
        for path in RPCS:
            calls.add(_bare_method(path, behaviour))
        calls.start()
    else:
        server.add_generic_rpc_handlers((AnyMethod(behaviour),))
        server.start()
    signal.signal(signal.SIGTERM, lambda *_: server.stop(0))
    server.wait_for_termination()


def main() -> None:
    """One process, and with --processes further ones that end with it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--pin", action="store_true", help="keep each process on one core")
    parser.add_argument("--loop", action="store_true", help="serve calls by Hitchpost's loop")
    parser.add_argument("--replies", type=Path, required=True)
    parser.add_argument("--statement", nargs=2, metavar=("PREPARE", "EXECUTE"))
    arguments = parser.parse_args()
    # The last --processes counts; whoever is started stays on the core that its parent is on just then.
    given = [argument for argument in sys.argv[1:] if argument != "--pin"]
    another = [sys.executable, "-m", "benchmarks.contenders.bare", *given, "--processes", "1"]
    cores = sorted(os.sched_getaffinity(0))
    others = []
    for number in reversed(range(arguments.processes)):
        if arguments.pin:
            os.sched_setaffinity(0, {cores[number % len(cores)]})
        if number:
            others.append(subprocess.Popen(another))
    behaviour = from_memory(arguments.replies)
    if arguments.statement:
        behaviour = after_statement(os.environ["BENCH_DATABASE_URL"], *arguments.statement, behaviour)
    serve(arguments.port, behaviour, loop=arguments.loop)
    for other in others:
        other.terminate()
        other.wait()


if __name__ == "__main__":
    main()
