"""Every metric is described, none has a label that a caller could fill, and processes tell them together."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from server.base import metrics
from tests.kit.metrics import Scraped, here
from tests.kit.servers import REPOSITORY

PAGE = REPOSITORY / "docs" / "metrics.md"
ROW = re.compile(r"^\| `(hitchpost_\w+)` \| (\w+) \|([^|]*)\|", re.MULTILINE)
# What a label may be: words of ours, of which there are few.
LABELS = {
    *("version", "method", "wire", "code", "reason", "lane", "direction", "statement", "error", "role"),
    *("kind", "outcome", "platform", "state", "category", "file"),
}
# A process that counts, and says how many calls are open; then it tells, or dies.
PROCESS = """
import os, sys
from server.base import metrics
metrics.call_ended("S/M", "grpc", "OK", "", 0.002)
metrics.statement_ran("posts.get", 0.002)
metrics.calls_open.set(5)
metrics.certificate_expiry.labels("certificate").set(int(sys.argv[1]))
print(metrics.text().decode(), flush=True)
os._exit(int(sys.argv[2]))
"""


def registered() -> dict[str, tuple[str, set[str]]]:
    """Type and labels of each metric."""
    found = {}
    for collector in metrics.REGISTRY._collector_to_names:
        [family] = collector.describe()
        ending = "_total" if family.type == "counter" else ""
        found[family.name + ending] = (family.type, set(collector._labelnames))
    return found


def test_docs_have_every_metric_with_its_type_and_labels() -> None:
    described = {
        name: (kind, set(re.findall(r"`(\w+)`", labels)))
        for name, kind, labels in ROW.findall(PAGE.read_text())
    }
    assert described == registered()


def test_no_label_is_of_an_owner_an_id_or_a_secret() -> None:
    labels = set().union(*(labels for _, labels in registered().values()))
    assert labels == LABELS


def run_process(folder: Path, name: str, end: int = 0, dies: int = 0) -> Scraped:
    """What a process says that has this name on the node."""
    ran = subprocess.run(
        [sys.executable, "-c", PROCESS, str(end), str(dies)],
        cwd=REPOSITORY,
        env={**os.environ, **metrics.environment(folder, name)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == dies, ran.stderr
    return Scraped(ran.stdout)


def told(folder: Path) -> Scraped:
    """What somebody tells who only reads the folder."""
    return Scraped(metrics.text(folder).decode())


def test_processes_of_a_node_are_told_together(tmp_path: Path) -> None:
    run_process(tmp_path, "0", end=300)
    second = run_process(tmp_path, "1", end=200)
    for scraped in (second, told(tmp_path)):
        assert scraped.value("calls_total", method="S/M", wire="grpc", code="OK", reason="") == 2
        assert scraped.value("call_duration_seconds_count", method="S/M") == 2
        assert scraped.value("statement_duration_seconds_bucket", statement="posts.get", le="0.0025") == 2
        assert scraped.value("statement_duration_seconds_bucket", statement="posts.get", le="0.001") == 0
        assert scraped.value("calls_open") == 10
        # The first that ends is what somebody has to renew.
        assert scraped.value("tls_certificate_expiry_seconds", file="certificate") == 200


def test_one_that_died_has_nothing_open_and_another_goes_on_counting(tmp_path: Path) -> None:
    run_process(tmp_path, "0")
    run_process(tmp_path, "1", end=7, dies=9)
    metrics.forget_process(tmp_path, "1")
    scraped = told(tmp_path)
    assert (scraped.value("calls_total"), scraped.value("calls_open")) == (2, 5)
    files = {path.name for path in tmp_path.iterdir()}
    for _ in range(3):
        run_process(tmp_path, "1", dies=9)
        metrics.forget_process(tmp_path, "1")
    assert told(tmp_path).value("calls_total") == 5
    assert {path.name for path in tmp_path.iterdir()} == files


def test_what_is_switched_off_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics._noted, "on", False)
    metrics.call_ended("Switched/Off", "grpc", "OK", "", 0.1)
    metrics.statement_ran("switched.off", 0.1)
    text = metrics.text().decode()
    assert "Switched/Off" not in text
    assert "switched.off" not in text


def test_what_many_threads_note_is_counted_once_while_it_is_counted() -> None:
    threads, each, rounds = 8, 500, 100
    assert threads * each < metrics.MOST_NOTED

    def note(number: int) -> None:
        for _ in range(each):
            metrics.call_ended("Noted/Often", "grpc", "OK", "", 0.002)
            metrics.statement_ran(f"noted.{number}", 0.002)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(threads) as pool:
            for _ in range(rounds):
                noting = [pool.submit(note, number) for number in range(threads)]
                while not all(done.done() for done in noting):
                    metrics.count()
                for done in noting:
                    done.result()
    finally:
        sys.setswitchinterval(interval)
    scraped = here()
    assert scraped.value("calls_total", method="Noted/Often") == threads * each * rounds
    assert scraped.value("call_duration_seconds_count", method="Noted/Often") == threads * each * rounds
    for number in range(threads):
        ran = scraped.value("statement_duration_seconds_count", statement=f"noted.{number}")
        assert ran == each * rounds, number
