"""README's block for production, pasted in order: it starts a server with TLS that others can reach."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import grpc
import pytest
from cryptography.fernet import Fernet

from tests.kit.certificates import Authority
from tests.kit.servers import REPOSITORY, Server, environment, local_channel, printed
from tests.kit.support import Client, free_port, unique

SECTION = (REPOSITORY / "README.md").read_text().partition("## In production")[2].partition("\n## ")[0]
[BLOCK] = re.findall(r"```sh\n(.*?)```", SECTION, re.DOTALL)


def settings_of(block: str) -> dict[str, str]:
    """The settings that the block exports, by name without prefix."""
    return dict(re.findall(r"\bHITCHPOST_(\w+)=(\S+)", block))


class Pasted(Server):
    """The shell that the block is pasted into; its last line becomes the server."""

    script: str

    def start(self) -> None:
        """Pastes the block; `wait_ready` waits for what its last line starts."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        with self.log.open("ab") as errors, self.output.open("ab") as output:
            self.process = subprocess.Popen(
                ["bash", "-c", f"set -e\n{self.script}"],
                # Not in the repository: this is for a machine that has none.
                cwd=self.log.parent,
                env=environment(**self.settings) | {"PATH": path},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
            )


@pytest.fixture
def authority() -> Authority:
    """Who signs the server's certificate."""
    return Authority("README")


@pytest.fixture
def pasted(
    run_dir: Path, authority: Authority, postgres: object, new_database: Callable[[], str]
) -> Iterator[Pasted]:
    """The block with this test's database, certificate and ports, until the server is stopped."""
    folder = run_dir / unique("production")
    folder.mkdir()
    identity = authority.identity("server")
    (folder / "tls.crt").write_bytes(identity.certificate)
    (folder / "tls.key").write_bytes(identity.key)
    said = settings_of(BLOCK)
    replacements = {
        said["DATABASE_URL"]: f"'{new_database()}'",
        said["TLS_CERT"]: str(folder / "tls.crt"),
        said["TLS_KEY"]: str(folder / "tls.key"),
        said["GRPC_ADDRESS"]: f"127.0.0.1:{free_port()}",
        "\nhitchpost serve": "\nexec hitchpost serve",
    }
    script = BLOCK
    for written, real in replacements.items():
        assert script.count(written) == 1, written
        script = script.replace(written, real)
    settings = {"web_address": f"127.0.0.1:{free_port()}", "workers": "1"}
    settings["grpc_address"] = replacements[said["GRPC_ADDRESS"]]
    server = Pasted(settings, folder / "log", folder / "out")
    server.script = script
    server.start()
    try:
        server.wait_ready()
        yield server
        assert server.stop() == 0, server.log.read_text()
    finally:
        server.kill()


def test_the_production_block_works_as_pasted_and_serves_tls(pasted: Pasted, authority: Authority) -> None:
    output = pasted.output.read_text()
    assert "FAIL" not in output
    [key] = re.findall(r"^hp_\S+$", output, re.MULTILINE)
    credentials = grpc.ssl_channel_credentials(authority.certificate)
    with closing(local_channel(pasted.address, credentials)) as channel:
        assert not Client(channel, key)("SocialAccountService/ListSocialAccounts").social_accounts


def test_the_production_block_is_for_others_to_reach_and_for_any_shell() -> None:
    said = settings_of(BLOCK)
    assert said["GRPC_ADDRESS"].startswith("0.0.0.0:")
    assert urlsplit(said["PUBLIC_URL"]).scheme == "https"
    assert ".venv" not in BLOCK, "after pip install there is none"
    assert "#" not in BLOCK, "an interactive zsh takes a comment for arguments"
    assert "proxy" in SECTION, "the web process speaks plain HTTP"


def test_an_encryption_key_is_made_without_any_setting() -> None:
    one, other = (printed("generate-encryption-key") for _ in range(2))
    assert one != other
    Fernet(one.strip())
