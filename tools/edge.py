"""Envoy on this machine, in front of a `make run` whose workers have ports of their own; run by `make edge`.

The configuration is deploy/envoy/envoy.yaml, with the addresses of here.
"""

import copy
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from server.config import Settings
from tests.kit.certificates import Authority

ROOT = Path(__file__).resolve().parent.parent
CONFIGURATION = ROOT / "deploy" / "envoy" / "envoy.yaml"
ENVOY = Path(sys.executable).parent / "envoy"
PORT, ADMIN_PORT = 8443, 9901
# What is a comment until workers have certificates, too.
_UPSTREAM_TLS = re.compile(r" +# With HITCHPOST_TLS_CERT set:\n((?: +# .*\n)+)")


def configured(
    *,
    workers: Sequence[str],
    web: str,
    port: int,
    admin_port: int,
    certificates: Path,
    upstream_ca: Path | None = None,
    plain_port: int | None = None,
    sandbox: bool = True,
) -> dict[str, Any]:
    """Envoy's configuration: `certificates` is a folder with tls.crt and tls.key; `upstream_ca` signed what
    workers show as 127.0.0.1. At `plain_port` it listens without TLS, too."""
    text = CONFIGURATION.read_text()
    if upstream_ca is not None:
        text = _UPSTREAM_TLS.sub(lambda found: re.sub("(?m)^( +)# ", r"\1", found[1]), text)
        text = text.replace("/etc/hitchpost/ca.pem", str(upstream_ca))
        text = text.replace("{san_type: DNS, matcher: {exact: hitchpost.internal}}", _BY_ADDRESS)
    text = text.replace("/etc/hitchpost", str(certificates))
    made: dict[str, Any] = yaml.safe_load(text)
    resources = made["static_resources"]
    made["admin"]["address"] = _address(f"127.0.0.1:{admin_port}")
    [listener] = resources["listeners"]
    listener["address"] = _address(f"127.0.0.1:{port}")
    if sandbox:
        routes(listener).append({"match": {"prefix": "/sandbox"}, "route": {"cluster": "web"}})
    if plain_port is not None:
        plain = {**copy.deepcopy(listener), "name": "plain", "address": _address(f"127.0.0.1:{plain_port}")}
        del plain["filter_chains"][0]["transport_socket"]
        resources["listeners"].append(plain)
    for cluster, addresses in zip(resources["clusters"], (workers, [web]), strict=True):
        endpoints = [{"endpoint": {"address": _address(address)}} for address in addresses]
        cluster["load_assignment"]["endpoints"] = [{"lb_endpoints": endpoints}]
    return made


_BY_ADDRESS = "{san_type: IP_ADDRESS, matcher: {exact: 127.0.0.1}}"


def manager(listener: dict[str, Any]) -> dict[str, Any]:
    """A listener's HTTP connection manager."""
    found: dict[str, Any] = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return found


def routes(listener: dict[str, Any]) -> list[dict[str, Any]]:
    """A listener's routes."""
    found: list[dict[str, Any]] = manager(listener)["route_config"]["virtual_hosts"][0]["routes"]
    return found


def command(configuration: Path, *further: str) -> list[str]:
    """What runs Envoy with this file."""
    return [str(ENVOY), "-c", str(configuration), "--disable-hot-restart", "-l", "warning", *further]


def _address(address: str) -> dict[str, Any]:
    host, _, port = address.rpartition(":")
    return {"socket_address": {"address": host.strip("[]"), "port_value": int(port)}}


def main() -> None:
    """Becomes Envoy."""
    settings = Settings()
    if not settings.own_addresses:
        sys.exit(
            "Envoy needs workers with ports of their own. In two terminals:\n"
            "  HITCHPOST_GRPC_OWN_PORTS=50061 make run\n"
            "  HITCHPOST_GRPC_OWN_PORTS=50061 make edge"
        )
    if settings.tls_cert is not None:
        sys.exit("make edge is for workers without TLS; docs/edge.md says how Envoy calls others.")
    folder = (settings.data_dir / "edge").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    authority = Authority("make edge")
    identity = authority.identity("localhost")
    files = {"ca.pem": authority.certificate, "tls.crt": identity.certificate, "tls.key": identity.key}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    made = configured(
        workers=settings.own_addresses,
        web=settings.web_address,
        port=PORT,
        admin_port=ADMIN_PORT,
        certificates=folder,
        sandbox=settings.sandbox,
    )
    configuration = folder / "envoy.yaml"
    configuration.write_text(yaml.safe_dump(made))
    print(f"Envoy listens on 127.0.0.1:{PORT}; its certificate is signed by {folder / 'ca.pem'}", flush=True)
    os.execv(ENVOY, command(configuration))


if __name__ == "__main__":
    main()
