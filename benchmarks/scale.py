"""What a call costs with 10,000, 1,000,000 and 10,000,000 accounts and posts, and what PostgreSQL reads."""

import json
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
from tqdm import tqdm

from benchmarks import contenders, load
from benchmarks.data import Dataset, ulid, users
from generated.hitchpost.v1 import social_account_service_pb2 as accounts_pb
from generated.hitchpost.v1 import social_account_service_pb2_grpc as accounts_grpc
from generated.hitchpost.v1 import social_post_service_pb2 as posts_pb
from server.accounts import lists as account_lists
from server.base.identity import utc_now
from server.posts import lists as post_lists
from server.storage import listing
from server.storage.database import database
from server.storage.statements import Statement

PAGE = 50
BODIES = 1000
LATENCY_CALLS = 4000
PAGE_CALLS = 300
FAR_PAGE = 1000


@dataclass(frozen=True)
class Plan:
    """EXPLAIN (ANALYZE, BUFFERS) of one list."""

    text: str
    returned: int
    scanned: int
    removed: int
    buffers: int
    milliseconds: float


def latencies(datasets: Mapping[str, Dataset], folder: Path, rounds: int) -> dict[str, list[float]]:
    """p50 in milliseconds of lists by one external_id, another owner each time, for each dataset in turn."""
    found: dict[str, list[float]] = {name: [] for name in datasets}
    with ExitStack() as stack:
        running = {
            name: stack.enter_context(contenders.hitchpost(dataset, 1, folder))
            for name, dataset in datasets.items()
        }
        for _ in tqdm(range(rounds + 1), desc="latency by size", unit="round", disable=None):
            for name, dataset in datasets.items():
                bodies = [{"external_ids": [owner]} for owner in _owners(dataset, BODIES)]
                median = load.ghz(
                    running[name].port, "ListSocialAccounts", bodies, dataset.key, LATENCY_CALLS, folder
                )
                found[name].append(median)
    # The first round warms connections and caches.
    return {name: medians[1:] for name, medians in found.items()}


def page_times(dataset: Dataset, folder: Path, rounds: int) -> dict[int, list[float]]:
    """Median server time in milliseconds of the first page and of page 1,000 of all accounts."""
    with contenders.hitchpost(dataset, 1, folder) as running:
        with grpc.insecure_channel(f"127.0.0.1:{running.port}") as channel:
            stub = accounts_grpc.SocialAccountServiceStub(channel)

            def page(token: str, request_id: str = "walk") -> str:
                metadata = [("authorization", f"Bearer {dataset.key}"), ("x-request-id", request_id)]
                request = accounts_pb.ListSocialAccountsRequest(page_size=PAGE, page_token=token)
                return str(stub.ListSocialAccounts(request, metadata=metadata, timeout=20).next_page_token)

            token = ""
            for _ in tqdm(range(FAR_PAGE - 1), desc=f"walk to page {FAR_PAGE}", unit="page", disable=None):
                token = page(token)
            for number in range(rounds):
                for _ in range(PAGE_CALLS):
                    page("", f"1-{number}")
                    page(token, f"{FAR_PAGE}-{number}")
        lines = [json.loads(line) for line in running.log.read_text().splitlines() if line.startswith("{")]
    times: dict[str, list[float]] = {}
    for line in lines:
        if line["message"] == "call":
            times.setdefault(line["request_id"], []).append(line["duration_ms"])
    return {
        number: [statistics.median(times[f"{number}-{turn}"]) for turn in range(rounds)]
        for number in (1, FAR_PAGE)
    }


def plans(dataset: Dataset) -> dict[str, Plan]:
    """How PostgreSQL answers the lists of the issue, planned as for a call that has come often before."""
    database.close()
    database.configure(dataset.url, timedelta(seconds=60))
    now = utc_now()
    scheduled = posts_pb.SOCIAL_POST_STATE_SCHEDULED
    far = f"sa_{ulid(dataset.rows - FAR_PAGE * PAGE)}" if dataset.rows > FAR_PAGE * PAGE else None
    lists: dict[str, tuple[Callable[..., tuple[Statement[Any], dict[str, Any]]], Any, str | None]] = {
        "one external_id": (_accounts, {"external_ids": _owners(dataset, 1)}, None),
        "100 external_ids": (_accounts, {"external_ids": _owners(dataset, 100)}, None),
        "first page": (_accounts, {}, None),
        "page 1,000": (_accounts, {}, far),
        "by state": (_accounts, {"states": [accounts_pb.SOCIAL_ACCOUNT_STATE_NEEDS_REAUTH]}, None),
        "due posts": (_posts, {"states": [scheduled], "scheduled_before": now}, None),
    }
    return {
        name: _explain(dataset, *statement(filters, after))
        for name, (statement, filters, after) in lists.items()
        if after is not None or name != "page 1,000"
    }


def _owners(dataset: Dataset, count: int) -> list[str]:
    chosen = random.Random(7)
    return [f"user_{chosen.randint(1, users(dataset.rows)):07}" for _ in range(count)]


def _accounts(
    filters: Mapping[str, Sequence[Any]], after: str | None
) -> tuple[Statement[Any], dict[str, Any]]:
    shape, values = listing.shape(filters, after)
    return account_lists.list_statement(shape).small, values


def _posts(filters: Mapping[str, Any], after: str | None) -> tuple[Statement[Any], dict[str, Any]]:
    shape, values = listing.shape(filters, after)
    return post_lists.list_statement(shape, due=True).small, values


def _explain(dataset: Dataset, statement: Statement[Any], values: dict[str, Any]) -> Plan:
    values = {**values, "project": dataset.project_id, "limit": PAGE + 1}
    # PostgreSQL chooses between one plan for all values and one for these after it has planned five times.
    for _ in range(7):
        returned = len(statement.all(**values))
    arguments = statement.arguments(values)
    explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT {{}}) {statement.execute}"
    [[[tree]]] = database.fetch(explain.format("JSON"), arguments)
    text = "\n".join(line for (line,) in database.fetch(explain.format("TEXT"), arguments))
    scans = [node for node in _nodes(tree["Plan"]) if "Relation Name" in node]
    return Plan(
        text=text,
        returned=returned,
        scanned=round(sum(node["Actual Rows"] * node["Actual Loops"] for node in scans)),
        removed=round(sum(node.get("Rows Removed by Filter", 0) * node["Actual Loops"] for node in scans)),
        buffers=tree["Plan"]["Shared Hit Blocks"] + tree["Plan"]["Shared Read Blocks"],
        milliseconds=tree["Execution Time"],
    )


def _nodes(node: dict[str, Any]) -> list[dict[str, Any]]:
    return [node, *(inner for child in node.get("Plans", ()) for inner in _nodes(child))]
