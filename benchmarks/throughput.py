"""Requests per second of every contender, in turn, several times over."""

import json
import random
import statistics
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import grpc
import httpx2
import psutil
import psycopg2
from google.protobuf.message import Message
from tqdm import tqdm

from benchmarks import contenders, load
from benchmarks.contenders import Running
from benchmarks.data import AGENCY, Dataset
from benchmarks.load import Request
from generated.hitchpost.v1 import platform_pb2
from generated.hitchpost.v1 import social_account_service_pb2 as accounts_pb
from generated.hitchpost.v1 import social_post_service_pb2 as posts_pb
from server.accounts import accounts
from server.accounts import lists as account_lists
from server.run.supervisor import GRPC_ENVIRONMENT
from server.storage import listing

# Short, and many: noise that lasts longer than a run then meets all contenders alike.
SECONDS = 1.0
WARM_UP_CALLS = 2000
CAMPAIGN = "benchmark"
ACCOUNTS = "/hitchpost.v1.SocialAccountService"
POSTS = "/hitchpost.v1.SocialPostService"
HITCHPOST, ONE_PROCESS, REST = "Hitchpost", "Hitchpost, one process", "Hitchpost, REST"
BARE, PINNED = "bare gRPC", "bare gRPC, pinned"
LOOP, STATEMENT = "bare, Hitchpost's loop, pinned", "the same + the statement of get"
FASTAPI, AIO, GO, PGBENCH = "FastAPI + SQLAlchemy", "grpc.aio + SQLAlchemy", "grpc-go + pgx", "pgbench"

CORES = psutil.cpu_count() or 1
DEFAULT = f"{CORES} processes, 4 threads, pinned (the default)"
PIN, NO_PIN = {"HITCHPOST_PIN_WORKERS": "true"}, {"HITCHPOST_PIN_WORKERS": "false"}
SETTINGS: dict[str, tuple[int, dict[str, str]]] = {
    DEFAULT: (CORES, {}),
    "the same, gRPC's own threads wait for the network": (
        CORES,
        {"GRPC_EXPERIMENTS": "event_engine_listener"},
    ),
    f"{CORES} processes, 4 threads": (CORES, NO_PIN),
    **{f"{CORES} processes, {n} threads, pinned": (CORES, {"HITCHPOST_THREADS": str(n)}) for n in (1, 2, 8)},
    f"{2 * CORES} processes, 2 threads, pinned": (2 * CORES, {"HITCHPOST_THREADS": "2", **PIN}),
    "1 process, 4 threads (its default)": (1, {}),
    "1 process, 4 threads, pinned": (1, PIN),
}


@dataclass
class Sample:
    """One run: requests per second, and CPU microseconds a request of the contender and of PostgreSQL."""

    rate: float
    cpu: float
    postgres_cpu: float
    generator_cores: float


@dataclass
class Case:
    """What is asked, in both spellings."""

    name: str
    path: str
    message: Message
    http_path: str
    http_body: dict[str, object] | None = None
    samples: dict[str, list[Sample]] = field(default_factory=dict)

    def median(self, contender: str) -> float:
        """Requests per second."""
        return statistics.median(sample.rate for sample in self.samples[contender])


def cases(dataset: Dataset) -> list[Case]:
    """The calls that are measured."""
    user = "user_0000007"
    with closing(psycopg2.connect(dataset.url)) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT id FROM social_account WHERE external_id = %s ORDER BY id", [user])
        ids = [row[0] for row in cursor.fetchall()]
        # A post to these is accepted: they are connected, and the sandbox can be published to.
        cursor.execute(
            "SELECT id FROM social_account WHERE external_id = %s AND platform = %s AND state = %s "
            "ORDER BY id LIMIT 2",
            [AGENCY, platform_pb2.PLATFORM_SANDBOX, accounts_pb.SOCIAL_ACCOUNT_STATE_CONNECTED],
        )
        posted = [row[0] for row in cursor.fetchall()]
    assert len(posted) == 2
    scheduled = datetime(2100, 1, 1, tzinfo=UTC)
    post = {"external_id": CAMPAIGN, "caption": "New in our shop: hand-made cups and bowls."}
    message = posts_pb.SocialPost(social_account_ids=posted, scheduled_time=scheduled, **post)
    body = {**post, "social_account_ids": posted, "scheduled_time": scheduled.isoformat()}
    accounts_path = "/v1/social-accounts"
    return [
        Case(
            "list 5",
            f"{ACCOUNTS}/ListSocialAccounts",
            accounts_pb.ListSocialAccountsRequest(external_ids=[user]),
            f"{accounts_path}?external_id={user}",
        ),
        Case(
            "get",
            f"{ACCOUNTS}/GetSocialAccount",
            accounts_pb.GetSocialAccountRequest(social_account_id=ids[0]),
            f"{accounts_path}/{ids[0]}",
        ),
        Case(
            "list 50",
            f"{ACCOUNTS}/ListSocialAccounts",
            accounts_pb.ListSocialAccountsRequest(external_ids=[AGENCY], page_size=50),
            f"{accounts_path}?external_id={AGENCY}&page_size=50",
        ),
        Case(
            "create post",
            f"{POSTS}/CreateSocialPost",
            posts_pb.CreateSocialPostRequest(social_post=message),
            "/v1/social-posts",
            body,
        ),
    ]


def measure(dataset: Dataset, folder: Path, rounds: int) -> list[Case]:
    """Every contender with every case, `rounds` times, one after the other within each round."""
    measured = cases(dataset)
    with _started(dataset, folder, measured) as running:
        _interleave("throughput", running, measured, dataset, folder, rounds)
    for case in measured[:3]:
        case.samples[PGBENCH] = [_pgbench(case, dataset, folder) for _ in range(rounds)]
    return measured


def settings(dataset: Dataset, folder: Path, rounds: int) -> list[Case]:
    """Hitchpost alone, with other numbers of processes and threads than it has by default."""
    measured = cases(dataset)[:2]
    with ExitStack() as stack:
        running = {
            name: stack.enter_context(contenders.hitchpost(dataset, workers, folder, **further))
            for name, (workers, further) in SETTINGS.items()
        }
        for case in measured:
            note(case, running[DEFAULT].port, dataset.key, folder / "replies")
        _interleave("processes and threads", running, measured, dataset, folder, rounds)
    return measured


def _interleave(
    title: str,
    running: Mapping[str, Running],
    measured: Sequence[Case],
    dataset: Dataset,
    folder: Path,
    rounds: int,
) -> None:
    with tqdm(total=rounds * len(measured) * len(running), desc=title, unit="run", disable=None) as bar:
        for number in range(rounds):
            for case in measured:
                # In another order each time, so that nobody always comes after the same one.
                for name, contender in random.Random(number).sample(list(running.items()), len(running)):
                    if name != STATEMENT or case.name == "get":
                        sample = _run(name, contender, case, dataset, folder)
                        case.samples.setdefault(name, []).append(sample)
                    bar.update()
                _forget_posts(dataset)


@contextmanager
def _started(dataset: Dataset, folder: Path, measured: list[Case]) -> Iterator[dict[str, Running]]:
    """All contenders at once: those that are not asked use no CPU."""
    replies = folder / "replies"
    replies.mkdir(exist_ok=True)
    with ExitStack() as stack:
        running = {
            HITCHPOST: stack.enter_context(contenders.hitchpost(dataset, CORES, folder)),
            ONE_PROCESS: stack.enter_context(contenders.hitchpost(dataset, 1, folder)),
            REST: stack.enter_context(contenders.rest(dataset, CORES, folder)),
        }
        for case in measured:
            note(case, running[HITCHPOST].port, dataset.key, replies)
        bare: tuple[str, ...] = ("--replies", str(replies))
        account_id = measured[1].message.social_account_id  # type: ignore[attr-defined]
        prepare, execute = _statement_of_get(dataset, account_id)
        running[BARE] = stack.enter_context(contenders.module("bare", dataset, CORES, folder, *bare))
        bare += ("--pin",)
        running[PINNED] = stack.enter_context(contenders.module("bare", dataset, CORES, folder, *bare))
        for name, further in ((LOOP, ("--loop",)), (STATEMENT, ("--statement", prepare, execute))):
            bare += further
            running[name] = stack.enter_context(
                contenders.module("bare", dataset, CORES, folder, *bare, **GRPC_ENVIRONMENT)
            )
        running[FASTAPI] = stack.enter_context(contenders.module("fastapi_app", dataset, CORES, folder))
        running[AIO] = stack.enter_context(contenders.module("grpc_aio", dataset, CORES, folder))
        if load.has_go():
            contenders.build_go()
            running[GO] = stack.enter_context(contenders.go(dataset, CORES, folder))
        yield running


def note(case: Case, port: int, key: str, replies: Path) -> None:
    """Notes the request and Hitchpost's reply, which the bare server gives back."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        request = case.message.SerializeToString()
        metadata = [("authorization", f"Bearer {key}")]
        reply = channel.unary_unary(case.path)(request, metadata=metadata, timeout=20, wait_for_ready=True)
    (replies / f"{case.name}.request").write_bytes(request)
    (replies / f"{case.name}.reply").write_bytes(reply)
    (replies / f"{case.name}.body").write_bytes(struct.pack(">BI", 0, len(request)) + request)
    if case.http_body is not None:
        (replies / f"{case.name}.json").write_text(json.dumps(case.http_body))


def _run(name: str, contender: Running, case: Case, dataset: Dataset, folder: Path) -> Sample:
    request = (
        _http(case, contender, dataset, folder)
        if name in (FASTAPI, REST)
        else grpc_request(case, dataset, folder)
    )
    try:
        if not case.samples.get(name):
            load.h2load(contender.port, request, calls=WARM_UP_CALLS)
        before = contender.cpu_seconds(), postgres_seconds()
        result = load.h2load(contender.port, request, seconds=SECONDS)
    except load.LoadFailed as error:
        raise load.LoadFailed(f"{name}, {case.name}: {error}; it said: {contender.said()}") from error
    after = contender.cpu_seconds(), postgres_seconds()
    used = [(end - start) / (result.rate * SECONDS) * 1e6 for start, end in zip(before, after, strict=True)]
    return Sample(result.rate, *used, result.generator_cores)


def grpc_request(case: Case, dataset: Dataset, folder: Path) -> Request:
    """What h2load sends to a gRPC server."""
    replies = folder / "replies"
    headers = {"content-type": "application/grpc", "te": "trailers", "authorization": f"Bearer {dataset.key}"}
    weight = 5 + (replies / f"{case.name}.reply").stat().st_size
    return Request(case.path, replies / f"{case.name}.body", headers, weight)


def _http(case: Case, contender: Running, dataset: Dataset, folder: Path) -> Request:
    headers = {"authorization": f"Bearer {dataset.key}", "content-type": "application/json"}
    url = f"http://127.0.0.1:{contender.port}{case.http_path}"
    answer = httpx2.request("POST" if case.http_body else "GET", url, headers=headers, json=case.http_body)
    answer.raise_for_status()
    body = folder / "replies" / f"{case.name}.json" if case.http_body else None
    return Request(case.http_path, body, headers, len(answer.content), http1=True)


def _statement_of_get(dataset: Dataset, account_id: str) -> tuple[str, str]:
    statement = accounts._GET
    with closing(psycopg2.connect(dataset.url)) as connection:
        values = {"id": account_id, "project": dataset.project_id}
        execute = connection.cursor().mogrify(statement.execute, statement.arguments(values)).decode()
    return statement.prepare, execute


def _pgbench(case: Case, dataset: Dataset, folder: Path) -> Sample:
    """The same statement, prepared, from pgbench."""
    request = case.message
    values: Mapping[str, object]
    if case.name == "get":
        statement, values = accounts._GET, {"id": request.social_account_id}  # type: ignore[attr-defined]
    else:
        filters = {"external_ids": list(request.external_ids)}  # type: ignore[attr-defined]
        shape, parameters = listing.shape(filters, None)
        statement, values = account_lists.list_statement(shape).small, {**parameters, "limit": 51}
    arguments = statement.arguments({**values, "project": dataset.project_id})
    text = statement.prepare.split(" AS ", 1)[1]
    variables = {f"p{number}": str(value) for number, value in enumerate(arguments, 1)}
    for number in range(len(arguments), 0, -1):
        text = text.replace(f"${number}", f":p{number}")
    return Sample(load.pgbench(dataset.url, text, variables, SECONDS, folder), 0.0, 0.0, 0.0)


def postgres_seconds() -> float:
    """The CPU that PostgreSQL's processes have used so far; the parent has that of those that have ended."""
    return sum(
        sum(process.info["cpu_times"][:4])
        for process in psutil.process_iter(["name", "cpu_times"])
        if process.info["name"] == "postgres" and process.info["cpu_times"]
    )


def _forget_posts(dataset: Dataset) -> None:
    with closing(psycopg2.connect(dataset.url)) as connection:
        connection.autocommit = True
        connection.cursor().execute("DELETE FROM social_post WHERE external_id = %s", [CAMPAIGN])
