"""The lines of calls: gathered, written in order by one thread, whole, bounded, and never waited for."""

import json
import logging
import os
from collections.abc import Iterator
from datetime import datetime, timedelta
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


@pytest.fixture
def configured(tmp_path: Path) -> Iterator[Path]:
    """The process's log, for now in this file."""
    before, path = logs._Log.stream, tmp_path / "log"
    with path.open("w") as stream:
        logs.configure("INFO", stream)
        yield path
        logs.configure("INFO", before)


def test_lines_of_every_kind_have_one_order(configured: Path) -> None:
    log = logging.getLogger("server.kinds")
    log.info("plain")
    log.warning("more", extra={"cause": "that", "name_of": "it"})
    logging.getLogger("somebody.else").error("foreign %s", "line")
    try:
        raise ValueError("why")
    except ValueError:
        log.exception("broken", extra={"kind": "k"})
    logs.debug(True)
    log.debug("little")
    logs.debug(False)
    logs.calls({"method": "m", "code": "OK"})
    logs.calls._lose(1)
    assert logs.calls.flush()
    logs.calls._tell_lost()
    lines = [json.loads(line) for line in configured.read_text().splitlines()]
    assert {tuple(line)[:5] for line in lines} == {("time", "level", "logger", "process", "message")}
    kinds = {line["message"]: line for line in lines}
    lost = "lines of calls were lost"
    assert {"plain", "more", "foreign line", "broken", "little", "call", lost} <= set(kinds)
    assert all(datetime.fromisoformat(line["time"]).utcoffset() == timedelta(0) for line in lines)
    assert list(kinds["more"])[5:] == ["cause", "name_of"]
    assert list(kinds["call"])[5:] == ["method", "code"]
    assert "ValueError: why" in kinds["broken"]["exc_info"]


@pytest.mark.parametrize(("level", "calls"), [("INFO", True), ("WARNING", False)])
def test_a_level_changes_for_calls_too_and_comes_back(configured: Path, level: str, calls: bool) -> None:
    with configured.open("a") as stream:
        logs.configure(level, stream)
        for on in (None, True, False):
            if on is not None:
                logs.debug(on)
            logs.calls({"number": on})
            logging.getLogger("server.some").debug("%s", on)
        assert logs.calls.flush()
        lines = [json.loads(line) for line in configured.read_text().splitlines()]
        assert [line["number"] for line in lines if line["message"] == "call"] == (
            [None, True, False] if calls else [True]
        )
        assert [line["message"] for line in lines if line["level"] == "DEBUG"] == ["True"]
        changes = [line["to"] for line in lines if line["message"] == "the level of the log changes"]
        assert changes == ["DEBUG", level]
        logs.configure("INFO", stream)
