"""What a server's metrics say."""

from collections.abc import Mapping

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from server.base import metrics


class Scraped:
    """What was scraped at one moment."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.samples = [
            sample for family in text_string_to_metric_families(text) for sample in family.samples
        ]

    def value(self, name: str, **labels: str) -> float:
        """The sum of all series of this name that have these labels; 0 when there is none."""
        return sum(value for found, value in self.series(name) if labels.items() <= found.items())

    def series(self, name: str) -> list[tuple[Mapping[str, str], float]]:
        """Labels and value of each series of `hitchpost_` and this name."""
        return [
            (sample.labels, sample.value) for sample in self.samples if sample.name == f"hitchpost_{name}"
        ]


def scraped(address: str) -> Scraped:
    """What the process at host:port tells."""
    answer = httpx2.get(f"http://{address}/metrics", trust_env=False, timeout=20)
    assert answer.status_code == 200, answer
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return Scraped(answer.text)


def here() -> Scraped:
    """What this process tells."""
    return Scraped(metrics.text().decode())


class Growth:
    """How much this process has counted since."""

    def __init__(self) -> None:
        self._before = here()

    def of(self, name: str, **labels: str) -> float:
        """Of this counter."""
        return here().value(name, **labels) - self._before.value(name, **labels)

    def new_series(self) -> list[tuple[str, Mapping[str, str]]]:
        """Those that there were not: names without their prefix, and labels."""
        known = {(sample.name, tuple(sorted(sample.labels.items()))) for sample in self._before.samples}
        return [
            (sample.name.removeprefix("hitchpost_"), sample.labels)
            for sample in here().samples
            if (sample.name, tuple(sorted(sample.labels.items()))) not in known
        ]
