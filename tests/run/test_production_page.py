"""docs/production.md's commands, pasted in order: certificate, settings, a key, and a server with TLS."""

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import grpc
import pytest
from cryptography.fernet import Fernet

from server.config import Settings
from tests.kit import production
from tests.kit.servers import Server, local_channel, printed
from tests.kit.support import Client, free_port, unique

STEPS = ("A certificate", "Settings", "Migrate, a project, a key")
BLOCKS = re.findall(r"```sh\n(.*?)```", production.PAGE, re.DOTALL)


def settings_of(text: str) -> dict[str, str]:
    """The settings that are given there, by name without prefix."""
    return dict(re.findall(r"\bHITCHPOST_(\w+)=(\S+)", text))


class Pasted(Server):
    """The shell that the steps are pasted into; its last line becomes the server."""

    script: str

    def start(self, terminal: int | None = None) -> None:
        """Pastes the steps; `wait_ready` waits for what the last line starts."""
        with self.log.open("ab") as errors, self.output.open("ab") as output:
            self.process = subprocess.Popen(
                ["bash", "-c", f"set -e\n{self.script}"],
                cwd=self.log.parent,
                env=production.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
            )


@pytest.fixture
def pasted(run_dir: Path, new_database: Callable[[], str]) -> Iterator[Pasted]:
    """The steps with this test's database, folder and ports, until the server is stopped."""
    folder = run_dir / unique("production")
    folder.mkdir()
    addresses = {name: f"127.0.0.1:{free_port()}" for name in ("grpc_address", "web_address")}
    said = " ".join(f"HITCHPOST_{name.upper()}={address}" for name, address in addresses.items())
    # The page's function keeps a shell around what it runs, which would get the test's signals.
    last = f"set -a\n. /etc/hitchpost/hitchpost.env\n{said} exec /opt/hitchpost/bin/hitchpost serve"
    script = "\n".join([*map(production.block, STEPS), 'echo "$KEY"', last])
    server = Pasted(addresses, folder / "log", folder / "out")
    server.script = production.here(script, folder, f"'{new_database()}'")
    server.start()
    try:
        # Six commands come first.
        server.wait_ready(300)
        yield server
        assert server.stop() == 0, server.log.read_text()
    finally:
        server.kill()


def test_the_pages_commands_work_as_pasted_and_serve_tls(pasted: Pasted) -> None:
    output = pasted.output.read_text()
    assert "FAIL" not in output
    [key] = re.findall(r"^hp_\S+$", output, re.MULTILINE)
    folder = pasted.log.parent
    credentials = grpc.ssl_channel_credentials((folder / "ca.pem").read_bytes())
    with closing(local_channel(pasted.address, credentials)) as channel:
        assert not Client(channel, key)("SocialAccountService/ListSocialAccounts").social_accounts
    modes = {name: (folder / name).stat().st_mode & 0o777 for name in ("hitchpost.env", "tls.key")}
    assert modes == {"hitchpost.env": 0o600, "tls.key": 0o600}


def test_the_page_is_for_others_to_reach_and_for_any_shell() -> None:
    assert urlsplit(settings_of(production.block("Settings"))["PUBLIC_URL"]).scheme == "https"
    assert "GRPC_ADDRESS=0.0.0.0:50051" in production.PAGE
    for block in BLOCKS:
        assert ".venv" not in block, "after pip install there is none"
        assert not re.search(r"(?m)^\s*#", block), "an interactive zsh takes a comment for arguments"


def test_every_setting_of_the_page_is_one() -> None:
    named = set(re.findall(r"\bHITCHPOST_([A-Z_]+)", production.PAGE))
    assert len(named) > 10
    assert named <= {name.upper() for name in Settings.model_fields}


def test_the_pages_connections_are_those_that_the_code_counts() -> None:
    counted = re.findall(r"^\| (\d+) cores \| (\d+) \|$", production.PAGE, re.MULTILINE)
    assert len(counted) == 3
    for cores, connections in counted:
        assert Settings(workers=int(cores), pin_workers=False).most_connections == int(connections), cores


def test_an_encryption_key_is_made_without_any_setting() -> None:
    one, other = (printed("generate-encryption-key") for _ in range(2))
    assert one != other
    Fernet(one.strip())
