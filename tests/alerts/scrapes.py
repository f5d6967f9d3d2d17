"""What was scraped of a real server, as the input of `promtool test rules`."""

import json
import re
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx2
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.kit.servers import REPOSITORY

RULES = REPOSITORY / "deploy" / "prometheus" / "alerts.yaml"
PROMTOOL = shutil.which("promtool")
# How long each scrape is taken to last: longer than any alert waits, and any of its ranges.
PHASE_MINUTES = 75
Labels = tuple[tuple[str, str], ...]


class Scrape:
    """What a node has told at one moment; one that does not answer has told nothing, and is not up."""

    def __init__(self, *addresses: str) -> None:
        self.time = time.time()
        self.values: dict[tuple[str, Labels], float] = {}
        self.counters: set[str] = set()
        for number, address in enumerate(addresses):
            labels = (("instance", f"node-{number}"), ("job", "hitchpost"))
            text = _told(address)
            # Prometheus itself says this of each scrape.
            self.values["up", labels] = 0 if text is None else 1
            self._read(text or "", labels)

    def value(self, name: str, **labels: str) -> float:
        """The sum of all series of this name that have these labels; 0 when there is none."""
        return sum(
            value
            for (found, theirs), value in self.values.items()
            if found == f"hitchpost_{name}" and labels.items() <= dict(theirs).items()
        )

    def _read(self, text: str, node: Labels) -> None:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = tuple(sorted((*node, *sample.labels.items())))
                self.values[sample.name, labels] = sample.value
                if family.type in ("counter", "histogram"):
                    self.counters.add(sample.name)


def _told(address: str) -> str | None:
    try:
        answer = httpx2.get(f"http://{address}/metrics", trust_env=False, timeout=20)
    except httpx2.HTTPError:
        return None
    assert answer.status_code == 200, answer
    return answer.text


class Story:
    """Three scrapes, of a sound node, of one in trouble, and of the same when that is mended.

    Time is stretched: each scrape's gauges hold for PHASE_MINUTES, and its counters come to its values evenly
    from those of the scrape before. Times of the clock are told from the first scrape on, since promtool's
    time begins at 0. No value is made up.
    """

    def __init__(self, sound: Scrape, trouble: Scrape, mended: Scrape) -> None:
        self._scrapes = (sound, trouble, mended)

    def firing(self, folder: Path) -> tuple[set[str], ...]:
        """The alerts that fire at the end of each phase."""
        # What is not wanted is told with all that it is. The label, which none has, tells phases apart.
        none_wanted = [
            {
                "expr": f'ALERTS{{alertstate="firing", phase!="{phase}"}}',
                "eval_time": f"{(phase + 1) * PHASE_MINUTES - 1}m",
                "exp_samples": [],
            }
            for phase in range(len(self._scrapes))
        ]
        document = {
            "rule_files": [str(RULES)],
            "evaluation_interval": "1m",
            "tests": [
                {"interval": "1m", "input_series": list(self._series()), "promql_expr_test": none_wanted}
            ],
        }
        path = folder / f"{uuid.uuid4()}.yaml"
        path.write_text(json.dumps(document))
        ran = subprocess.run(
            [str(PROMTOOL), "test", "rules", str(path)],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        said = ran.stdout + ran.stderr
        told = dict(re.findall(r'phase!=\\"(\d)(.*?)(?=expr:|$)', said, re.DOTALL))
        # Any other failure is none of an alert.
        assert ran.returncode == 0 or told, said
        return tuple(
            set(re.findall(r'alertname="(\w+)', told.get(str(phase), "")))
            for phase in range(len(self._scrapes))
        )

    def _series(self) -> Iterator[Mapping[str, str]]:
        rules = RULES.read_text()
        known = dict.fromkeys(
            key for scrape in self._scrapes for key in scrape.values if re.search(rf"\b{key[0]}\b", rules)
        )
        for name, labels in known:
            values = [self._value(scrape, name, labels) for scrape in self._scrapes]
            quoted = ",".join(f"{label}={json.dumps(value)}" for label, value in labels)
            yield {"series": f"{name}{{{quoted}}}", "values": " ".join(self._phases(name, values))}

    def _value(self, scrape: Scrape, name: str, labels: Labels) -> float | None:
        value = scrape.values.get((name, labels))
        if value is not None and name.endswith("_expiry_seconds"):
            return value - self._scrapes[0].time
        return value

    def _phases(self, name: str, values: list[float | None]) -> Iterator[str]:
        counter = any(name in scrape.counters for scrape in self._scrapes)
        before = values[0]
        for value in values:
            if value is None:
                # The first says that it is gone, as a scrape without it does.
                yield f"stale _x{PHASE_MINUTES - 1}"
            else:
                # One that is new, or has begun anew, has been 0.
                start = (before if before is not None and before <= value else 0.0) if counter else value
                yield f"{start:f}+{(value - start) / PHASE_MINUTES:.9f}x{PHASE_MINUTES - 1}"
            before = value


def names() -> list[str]:
    """Every alert there is."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule["alert"] for group in groups for rule in group["rules"]]
