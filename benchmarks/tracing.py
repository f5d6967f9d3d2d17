"""`make bench-traces`: what the hooks of traces cost a get, in nanoseconds: off, sampled, and not sampled.

A get meets four: its call begins, is served, runs one statement, and has ended. They are timed as the code
has them, without anything around them, in time of the processor. A get as a whole takes about 300 µs of a
worker (docs/performance.md), and off they may take 1 % of that. Spans go to a collector that takes all.
"""

import argparse
import contextlib
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from statistics import median

from server.base import tracing

ROUNDS, OFF_CALLS, ON_CALLS = 7, 200_000, 5_000
GET_NS, MOST = 300_000, 0.01
NAME = "hitchpost.v1.SocialPostService/GetSocialPost"
METADATA = [
    ("user-agent", "bench"),
    ("authorization", "Bearer hp_0"),
    ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
]


class _Call:
    span = None


def _statement() -> None:
    """What Database.run does with a statement."""


def _run() -> None:
    if tracing.on:
        with tracing.statement("posts.get"):
            return _statement()
    return _statement()


def _hooked(call: _Call) -> dict[str, object]:
    """A get's hooks, in their order."""
    if tracing.on:
        call.span = tracing.begin_call(NAME, METADATA)
    if tracing.on:
        tracing.enter(call.span)
    _run()
    trace: dict[str, str] = {}
    if tracing.on:
        trace = tracing.end_call(call.span, 0, None, "pj_0")
    return {**trace, "method": NAME, "code": "OK"}


def _bare(call: _Call) -> dict[str, object]:
    """The same without them."""
    _statement()
    return {"method": NAME, "code": "OK"}


def _nanoseconds(work: Callable[[_Call], object], calls: int) -> float:
    call, begun = _Call(), time.process_time_ns()
    for _ in range(calls):
        work(call)
    return (time.process_time_ns() - begun) / calls


def _cost(calls: int) -> float:
    """Of the hooks of one get: medians of rounds in turn."""
    rounds = [(_nanoseconds(_hooked, calls), _nanoseconds(_bare, calls)) for _ in range(ROUNDS)]
    return median(hooked for hooked, _ in rounds) - median(bare for _, bare in rounds)


class _Collector(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextlib.contextmanager
def _collecting() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Collector) as server:
        process = multiprocessing.get_context("fork").Process(target=server.serve_forever)
        process.start()
        yield f"http://127.0.0.1:{server.server_port}"
        process.terminate()
        process.join()


def _traced(sampler: str) -> float:
    with _collecting() as url:
        # A worker makes them less quickly than this, and loses none.
        queue = {"OTEL_BSP_MAX_QUEUE_SIZE": "100000"}
        os.environ |= queue | {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_TRACES_SAMPLER": sampler}
        tracing.start(os.environ)
        try:
            return _cost(ON_CALLS)
        finally:
            tracing.stop()


def main() -> int:
    """Prints the figures; 1 if the one that has a limit is not reached."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    off = _cost(OFF_CALLS)
    print(f"off: {off:,.0f} ns a get, {off / GET_NS:.2%} of {GET_NS / 1000:,.0f} µs; at most {MOST:.0%}")
    print(f"on, not sampled: {_traced('always_off') / 1000:,.0f} µs a get")
    print(f"on, sampled: {_traced('always_on') / 1000:,.0f} µs a get, sending included")
    return 0 if off < MOST * GET_NS else 1


if __name__ == "__main__":
    sys.exit(main())
