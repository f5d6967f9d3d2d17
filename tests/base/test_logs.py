"""The lines of calls: gathered, written in order by one thread, whole, bounded, and never waited for."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from server.base import logs
from server.base.logs import CallLog
from tests.kit.servers import eventually


class Pipe:
    """A pipe as a log, which is read only when asked."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()

    def fileno(self) -> int:
        return self.writer

    def read(self) -> bytes:
        return os.read(self.reader, 1 << 20)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    # The writer may be at it: closed by the reader's side first, so that it gets an error.
    os.close(made.reader)


def numbers(text: bytes) -> list[int]:
    """The numbers of the calls whose lines are whole: the last may still be being written."""
    whole = text[: text.rfind(b"\n") + 1]
    return [line["number"] for line in map(json.loads, whole.splitlines()) if line["message"] == "call"]


def log_to(stream: Any) -> CallLog:
    log = CallLog()
    log.write_to(stream)
    return log


def test_lines_are_written_without_being_asked_for_and_in_order(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as stream:
        log = log_to(stream)
        for number in range(500):
            log({"number": number})
        eventually("all are there", lambda: len(numbers((tmp_path / "log").read_bytes())) == 500, every=0.01)
    assert numbers((tmp_path / "log").read_bytes()) == list(range(500))


def test_a_flush_writes_all_that_came_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "FLUSH_SECONDS", 60.0)
    with (tmp_path / "log").open("w") as stream:
        log = log_to(stream)
        for number in range(500):
            log({"number": number})
        assert log.flush()
    assert numbers((tmp_path / "log").read_bytes()) == list(range(500))


@pytest.mark.parametrize("blocking", [True, False])
def test_a_reader_that_is_slow_holds_no_call_and_loses_only_what_is_counted(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch, blocking: bool
) -> None:
    os.set_blocking(pipe.writer, blocking)
    monkeypatch.setattr(logs, "MAX_WAITING", 1_000)
    log = log_to(pipe)
    # More than the pipe and the bound have room for, while nobody reads.
    for number in range(5_000):
        log({"number": number, "filling": "x" * 100})
    assert not log.flush(0.05)
    text = b""

    def all_are_accounted_for() -> bool:
        nonlocal text
        text += pipe.read()
        whole = text[: text.rfind(b"\n") + 1].splitlines()
        lost = sum(json.loads(line).get("lost", 0) for line in whole)
        return lost > 0 and len(numbers(text)) + lost == 5_000

    eventually("all are there or counted", all_are_accounted_for, every=0)
    assert numbers(text) == sorted(numbers(text))


def test_what_is_taken_in_part_is_written_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    with (tmp_path / "log").open("w") as stream:
        log = log_to(stream)
        monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:7]))
        for number in range(20):
            log({"number": number})
        assert log.flush()
    assert numbers((tmp_path / "log").read_bytes()) == list(range(20))


def test_no_write_is_longer_than_a_pipe_takes_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[bytes] = []
    monkeypatch.setattr(os, "write", lambda _, data: written.append(data) or len(data))
    with (tmp_path / "log").open("w") as stream:
        log = log_to(stream)
        for number in range(500):
            log({"number": number})
        assert log.flush()
    assert numbers(b"".join(written)) == list(range(500))
    assert all(len(data) <= 4096 and data.endswith(b"\n") for data in written)
