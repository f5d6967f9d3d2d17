"""Envoy in front of a server of a test's own, or of a stand-in."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import yaml

from tests.kit.certificates import Authority
from tests.kit.servers import eventually
from tests.kit.support import free_ports
from tools import edge


@dataclass(frozen=True)
class Edge:
    """A running Envoy: where it listens with TLS and without, and who signed its certificate."""

    address: str
    plain: str
    ca: Path
    _admin: str

    def healthy(self) -> int:
        """How many workers it would send calls to."""
        answer = httpx2.get(f"{self._admin}/clusters", params={"format": "json"}, trust_env=False, timeout=20)
        statuses = answer.json()["cluster_statuses"]
        [hosts] = [one.get("host_statuses", []) for one in statuses if one["name"] == "grpc"]
        return sum(host["health_status"] == {"eds_health_status": "HEALTHY"} for host in hosts)


@contextmanager
def running(
    folder: Path,
    workers: Sequence[str],
    web: str,
    *,
    tokens: int | None = None,
    upstream_ca: Path | None = None,
    checked: bool = True,
) -> Iterator[Edge]:
    """Runs Envoy until the end of the block. `tokens`: what each key has, for ever. Unless `checked`, workers
    are not asked for their health."""
    first = free_ports(3)
    authority = Authority("edge")
    identity = authority.identity("localhost")
    files = {"ca.pem": authority.certificate, "tls.crt": identity.certificate, "tls.key": identity.key}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    made = edge.configured(
        workers=workers,
        web=web,
        port=first,
        plain_port=first + 1,
        admin_port=first + 2,
        certificates=folder,
        upstream_ca=upstream_ca,
    )
    for listener in made["static_resources"]["listeners"]:
        _limit(edge.manager(listener), tokens)
    if not checked:
        del made["static_resources"]["clusters"][0]["health_checks"]
    configuration = folder / "envoy.yaml"
    configuration.write_text(yaml.safe_dump(made))
    log = folder / "envoy.log"
    with log.open("wb") as said:
        process = subprocess.Popen(edge.command(configuration, "--concurrency", "2"), stderr=said)
    found = Edge(
        f"127.0.0.1:{first}",
        f"127.0.0.1:{first + 1}",
        folder / "ca.pem",
        f"http://127.0.0.1:{first + 2}",
    )

    def ready() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return found.healthy() == len(workers)
        except httpx2.TransportError:
            return False

    try:
        eventually("Envoy finds all workers healthy", ready, 120)
        yield found
    finally:
        process.terminate()
        process.wait(60)


def _limit(manager: dict[str, Any], tokens: int | None) -> None:
    """Gives each key so many tokens and no more, or more than a test can use."""
    [limits] = [one for one in manager["http_filters"] if one["name"].endswith("local_ratelimit")]
    [of_each_key] = limits["typed_config"]["descriptors"]
    of_each_key["token_bucket"] = _bucket(tokens or 10_000_000)
    if tokens is not None:
        # Nobody with a key is to need what those without have.
        limits["typed_config"]["token_bucket"] = _bucket(1)


def _bucket(tokens: int) -> dict[str, Any]:
    return {"max_tokens": tokens, "tokens_per_fill": 1, "fill_interval": "3600s"}
