"""The load generators, none of them Python: h2load for throughput, ghz for latency, pgbench for queries."""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import field_mask_pb2, timestamp_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from generated.hitchpost.v1 import platform_pb2, social_account_service_pb2

ROOT = Path(__file__).resolve().parent.parent
GHZ_VERSION = "v0.93.0"
GHZ_FOLDER = ROOT / "benchmarks" / ".bin"
CONNECTIONS = 32


class LoadFailed(Exception):
    """The load did not come through, or other answers came back than were asked for."""


@dataclass(frozen=True)
class Request:
    """What h2load sends, over and over; `reply_bytes` is what each answer's body weighs."""

    path: str
    body: Path | None
    headers: Mapping[str, str]
    reply_bytes: int
    http1: bool = False


@dataclass(frozen=True)
class Throughput:
    """Requests per second, and the cores that the generator itself took."""

    rate: float
    generator_cores: float


def h2load(
    port: int,
    request: Request,
    seconds: float | None = None,
    calls: int | None = None,
    connections: int = CONNECTIONS,
) -> Throughput:
    """Sends for so many seconds, or so many calls, with 32 under way at once by all connections together.

    Raises LoadFailed unless every answer is right: a gRPC error is an HTTP success without a body, so that
    the weight of the bodies tells it.
    """
    amount = [f"--duration={seconds:g}"] if calls is None else ["-n", str(calls)]
    headers = [argument for pair in request.headers.items() for argument in ("-H", ": ".join(pair))]
    body = ["-d", str(request.body)] if request.body else []
    http1 = ["--h1"] if request.http1 else []
    before = _children_seconds()
    output = _run(
        [
            *(
                "h2load",
                "-c",
                str(connections),
                "-m",
                str(CONNECTIONS // connections),
                *amount,
                *http1,
                *body,
                *headers,
            ),
            f"http://127.0.0.1:{port}{request.path}",
        ]
    )
    done, succeeded = map(int, _find(r"(\d+) done, (\d+) succeeded", output))
    took, unit, rate = _find(r"finished in ([\d.]+)(ms|s|m), ([\d.]+) req/s", output)
    [weight] = _find(r"\((\d+)\) data", output)
    # When the time is over, the answers that are on their way are counted, but not weighed.
    on_their_way = CONNECTIONS if calls is None else 0
    if done != succeeded or abs(int(weight) / request.reply_bytes - done) > 0.05 * done + on_their_way:
        raise LoadFailed(f"{request.path}: {done} answers, {succeeded} succeeded, {weight} bytes\n{output}")
    wall = float(took) * {"ms": 0.001, "s": 1, "m": 60}[unit]
    return Throughput(float(rate), (_children_seconds() - before) / wall)


def pgbench(url: str, statement: str, variables: Mapping[str, str], seconds: float, folder: Path) -> float:
    """Transactions per second of one prepared statement, `:name` in it for each variable."""
    script = folder / "statement.sql"
    script.write_text(statement.strip() + ";\n")
    defined = [argument for pair in variables.items() for argument in ("-D", "=".join(pair))]
    output = _run(
        [
            *("pgbench", "-n", "-M", "prepared", "-c", "8", "-j", "2", "-T", f"{seconds:.0f}"),
            *(*defined, "-f", str(script), url),
        ]
    )
    return float(_find(r"tps = ([\d.]+)", output)[0])


def ghz(
    port: int, method: str, bodies: Sequence[Mapping[str, object]], key: str, calls: int, folder: Path
) -> float:
    """The median latency in milliseconds of calls with these bodies in turn, two at a time."""
    # Its own parser of .proto files does not know `optional`.
    (folder / "hitchpost.protoset").write_bytes(_descriptors().SerializeToString())
    output = _run(
        [
            *(str(_ghz()), "--insecure", "--format=json", "--concurrency=2", f"--total={calls}"),
            f"--protoset={folder / 'hitchpost.protoset'}",
            f"--call=hitchpost.v1.SocialAccountService.{method}",
            f"--data={json.dumps(bodies)}",
            *("--metadata", json.dumps({"authorization": f"Bearer {key}"}), f"127.0.0.1:{port}"),
        ]
    )
    report = json.loads(output)
    if report["statusCodeDistribution"] != {"OK": calls}:
        raise LoadFailed(f"{method}: {report['statusCodeDistribution']}")
    [median] = [point["latency"] for point in report["latencyDistribution"] if point["percentage"] == 50]
    return float(median) / 1e6


def missing() -> list[str]:
    """The programs that have to be installed before."""
    return [program for program in ("h2load", "pgbench") if shutil.which(program) is None]


def has_go() -> bool:
    """Whether what needs Go can be measured: ghz, and grpc-go with pgx."""
    return shutil.which("go") is not None


def _descriptors() -> FileDescriptorSet:
    files = FileDescriptorSet()
    for imported in (timestamp_pb2, field_mask_pb2, platform_pb2, social_account_service_pb2):
        imported.DESCRIPTOR.CopyToProto(files.file.add())
    return files


def _ghz() -> Path:
    path = GHZ_FOLDER / "ghz"
    if not path.exists():
        print("building ghz…", file=sys.stderr)
        subprocess.run(
            ["go", "install", f"github.com/bojand/ghz/cmd/ghz@{GHZ_VERSION}"],
            env={**os.environ, "GOBIN": str(GHZ_FOLDER)},
            check=True,
        )
    return path


def _run(command: list[str]) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, timeout=900)
    if ran.returncode != 0:
        raise LoadFailed(f"{command[0]} failed: {ran.stderr or ran.stdout}")
    return ran.stdout


def _find(pattern: str, text: str) -> tuple[str, ...]:
    found = re.search(pattern, text)
    if found is None:
        raise LoadFailed(f"can't read the generator's report:\n{text}")
    return found.groups()


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
