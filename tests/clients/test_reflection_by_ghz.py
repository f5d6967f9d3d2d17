"""ghz, the load tester of many gRPC users, finds the methods by reflection. Go builds it, where Go is."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kit.servers import local_channel, serving

GHZ = "github.com/bojand/ghz/cmd/ghz@v0.121.0"
BUILD_SECONDS = 600


@pytest.fixture(scope="module")
def ghz() -> Path:
    """The program, in this environment; Go keeps what it has built, so that the next run finds it."""
    if shutil.which("go") is None:
        pytest.skip("this machine has no go")
    programs = Path(sys.executable).parent
    subprocess.run(
        ["go", "install", GHZ], env=os.environ | {"GOBIN": str(programs)}, check=True, timeout=BUILD_SECONDS
    )
    return programs / "ghz"


def test_ghz_calls_by_reflection(ghz: Path, run_dir: Path, new_database: Callable[[], str]) -> None:
    with serving(run_dir, new_database()) as server, local_channel(server.address) as channel:
        client = server.new_client(channel)
        account = client.connect()
        command = [
            *(str(ghz), "--insecure", "--total=20", "--concurrency=2", "--format=json"),
            "--call=hitchpost.v1.SocialAccountService.GetSocialAccount",
            f"--metadata={json.dumps({'authorization': f'Bearer {client.key}'})}",
            f"--data={json.dumps({'social_account_id': account.id})}",
            server.address,
        ]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert ran.returncode == 0, ran.stderr
        report = json.loads(ran.stdout)
        assert report["statusCodeDistribution"] == {"OK": 20}
