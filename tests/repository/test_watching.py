"""deploy/prometheus and deploy/grafana: what they name is there, and each alert has a line in the runbook."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from server.base import metrics
from tests.kit.dashboard import DASHBOARD, queries
from tests.kit.servers import REPOSITORY

PROMTOOL = shutil.which("promtool")
PROMETHEUS = REPOSITORY / "deploy" / "prometheus"
RULES = [
    rule
    for group in yaml.safe_load((PROMETHEUS / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="needs promtool, of Debian's package prometheus")


def known() -> set[str]:
    """The names of all series that there can be."""
    names = {"up"}
    for family in metrics.REGISTRY.collect():
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}.get(family.type, [""])
        names |= {family.name + suffix for suffix in suffixes}
    return names


def checked(*arguments: str) -> None:
    """promtool finds nothing wrong."""
    ran = subprocess.run(
        [str(PROMTOOL), "check", *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_runbook_has_a_line_for_each_alert_and_no_other() -> None:
    runbook = (REPOSITORY / "docs" / "runbook.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", runbook, re.MULTILINE) == [rule["alert"] for rule in RULES]


def test_each_alert_is_fired_by_a_test() -> None:
    tests = (REPOSITORY / "tests" / "alerts" / "test_alerts.py").read_text()
    assert [rule["alert"] for rule in RULES if f'"{rule["alert"]}"' not in tests] == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_an_alert_says_what_is_wrong(rule: dict[str, Any]) -> None:
    assert rule["labels"] == {"severity": "page"}
    assert rule["annotations"]["summary"].endswith(".")


def test_alerts_and_panels_name_only_metrics_that_there_are() -> None:
    expressions = [*(rule["expr"] for rule in RULES), *(query.expression for query in queries())]
    named = {name for text in expressions for name in re.findall(r"\b(?:hitchpost_\w+|up)\b", text)}
    assert named - known() == set()


def test_the_dashboard_shows_every_metric() -> None:
    shown = " ".join(query.expression for query in queries())
    missing = {family.name for family in metrics.REGISTRY.collect() if family.name not in shown}
    assert missing == set()


def test_every_panel_asks_the_chosen_prometheus() -> None:
    assert [each["name"] for each in DASHBOARD["templating"]["list"]] == ["datasource", "instance"]
    for panel in DASHBOARD["panels"]:
        for asking in [panel, *panel.get("targets", ())] if "targets" in panel else ():
            assert asking["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, panel["title"]


def test_no_two_panels_lie_on_each_other() -> None:
    cells = [
        (panel["gridPos"]["x"] + right, panel["gridPos"]["y"] + down)
        for panel in DASHBOARD["panels"]
        for right in range(panel["gridPos"]["w"])
        for down in range(panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


@needs_promtool
def test_prometheus_takes_the_example_and_the_alerts() -> None:
    checked("config", str(PROMETHEUS / "prometheus.yaml"))
    checked("rules", str(PROMETHEUS / "alerts.yaml"))


@needs_promtool
def test_prometheus_understands_every_panel(tmp_path: Path) -> None:
    asked = [query.expression for query in queries()]
    rules = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate(asked)]
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    checked("rules", str(file))
