"""Grafana's dashboard in deploy/, as Grafana asks Prometheus for it."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.kit.servers import REPOSITORY

DASHBOARD: dict[str, Any] = json.loads((REPOSITORY / "deploy" / "grafana" / "hitchpost.json").read_text())


class Query(NamedTuple):
    """What a panel asks, of all nodes, and how it names what comes back."""

    panel: str
    expression: str
    legend: str


def queries(interval: str = "1m") -> Iterator[Query]:
    """Those of all panels; rates are of so long a time."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"].replace("$__rate_interval", interval).replace("$instance", ".*")
            yield Query(panel["title"], expression, target["legendFormat"])
