"""schemathesis makes requests of generated/openapi.json, right and wrong ones, and checks every answer."""

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from server.run.embedded import dev_key_file
from tests.kit.names import name_server
from tests.kit.servers import REPOSITORY, serving
from tests.kit.support import free_port

# Of each operation and phase; 800 make over 50,000 requests, which take ten minutes or more.
EXAMPLES = os.environ.get("OPENAPI_EXAMPLES", "30")
LEAST = 1_000
# They ask platforms, which can't be reached: these names mean nothing here, and nothing leaves this machine.
ASK_PLATFORMS = {"/v1/social-accounts/auth-url", "/v1/social-accounts/connect-with-app-password"}
LOOPBACK = REPOSITORY / "tests" / "kit" / "loopback"


def test_every_answer_is_as_the_document_says(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(LOOPBACK))
    folder = run_dir / "openapi"
    nowhere = f"http://127.0.0.1:{free_port()}"
    with (
        name_server() as names,
        serving(
            run_dir, None, data_dir=str(folder), workers="1", plc_url=nowhere, name_server=names.address
        ) as server,
    ):
        monkeypatch.delenv("PYTHONPATH")
        key = dev_key_file(folder).read_text().strip()
        ran = subprocess.run(
            [
                *(
                    str(Path(sys.executable).parent / "schemathesis"),
                    "--config-file",
                    "tests/schemathesis.toml",
                ),
                *("run", "generated/openapi.json", "--url", server.web_url, "--checks", "all", "--no-color"),
                *("--header", f"Authorization: Bearer {key}", "--max-examples", EXAMPLES),
                *("--generation-database", "none", "--continue-on-failure"),
            ],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=3_600,
            check=False,
        )
        answered = Counter((line["status"], line["path"]) for line in server.logged(message="request"))
        accidents = server.logged(level="ERROR")
    # Of a request that failed, only so much: it may have a thousand values.
    said = "\n".join(line[:500] for line in ran.stdout.splitlines())[-10_000:]
    assert ran.returncode == 0, said
    made = re.search(r"(\d+) generated, (\d+) passed", ran.stdout)
    assert made, said
    assert made[1] == made[2]
    print(f"{made[1]} cases, {answered.total():,} requests")
    assert answered.total() > LEAST
    failed = {(status, path) for status, path in answered if status is None or status >= 500}
    assert failed <= {(503, path) for path in ASK_PLATFORMS}
    assert accidents == []
