"""What a newcomer does first: pastes what the server prints and what the README says, plays the demo."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from generated.hitchpost.v1 import error_reason_pb2
from server.run.embedded import dev_key_file
from tests.kit.errors import CLASSES
from tests.kit.sandbox import SandboxApp
from tests.kit.servers import REPOSITORY, Server, environment, eventually, serving

PROTOS = REPOSITORY / "protos"
README = (REPOSITORY / "README.md").read_text()


@pytest.fixture(scope="module")
def server(run_dir: Path) -> Iterator[Server]:
    """What `make run` starts: the embedded database, dev mode."""
    with serving(run_dir, None, data_dir=str(run_dir / "first-steps"), workers="2") as running:
        yield running


def shell(script: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Runs what a newcomer would paste, in the repository's folder."""
    return subprocess.run(
        ["bash", "-c", script],
        cwd=REPOSITORY,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_printed_lines_work_as_pasted(server: Server) -> None:
    lines = [line for line in server.output.read_text().splitlines() if "grpcurl" in line]
    assert len(lines) == 3
    answers = []
    for line in lines:
        ran = shell(line)
        assert ran.returncode == 0, (line, ran.stderr)
        answers.append(json.loads(ran.stdout))
    assert answers[0]["url"].startswith(f"{server.web_url}/sandbox/authorize?")
    assert answers[1]["social_account"]["external_id"] == "user_123"
    assert [account["id"] for account in answers[2]["social_accounts"]] == [
        answers[1]["social_account"]["id"]
    ]


def blocks_of(heading: str) -> list[str]:
    """What is to be pasted in a section of the README."""
    section = README.partition(heading)[2].partition("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)


def here(script: str, server: Server, contract: str = "") -> str:
    """The same where this test's server is, instead of where `make run` puts one."""
    grpcurl = shutil.which("grpcurl", path=str(Path(sys.executable).parent)) or "grpcurl"
    return (
        script.replace(".venv/bin/grpcurl", f"{grpcurl} {contract}")
        .replace(".venv/bin/hitchpost", f"{sys.executable} -m server")
        .replace("127.0.0.1:50051", server.address)
        .replace("http://127.0.0.1:8080", server.web_url)
        .replace("data/dev-api-key", str(dev_key_file(Path(server.settings["data_dir"]))), 1)
    )


FROM_FILES = " ".join(
    f"-proto {path.relative_to(PROTOS)}" for path in sorted(PROTOS.rglob("*_service.proto"))
)


@pytest.mark.parametrize("contract", ["", f"-import-path protos {FROM_FILES}"], ids=["reflection", "proto"])
def test_the_readmes_story_works_as_pasted(contract: str, server: Server) -> None:
    script = "\n".join(blocks_of("## The story, in grpcurl"))
    ran = shell(here(script, server, contract))
    assert ran.stdout.count("/sandbox/authorize?") == 1
    assert ran.stdout.count("SOCIAL_POST_STATE_SCHEDULED") >= 2
    assert len(re.findall(r'"external(?:_id|Id)": "campaign_7"', ran.stdout)) >= 2
    assert re.findall(r"Code: (\w+)", ran.stderr) == ["AlreadyExists", "PermissionDenied"]
    check_timeline(server, ran.stdout.splitlines()[-1], "mia", "Good morning!", "Breakfast is until eleven.")
    # From files grpcurl knows our messages only, and prints google.rpc's undecoded.
    if not contract:
        assert "ERROR_REASON_OWNED_BY_ANOTHER" in ran.stderr
        assert "ERROR_REASON_OWNER_MISMATCH" in ran.stderr


def test_the_readmes_story_in_curl_works_as_pasted(server: Server) -> None:
    story = README.partition("## The same story, in curl")[2].partition("\n## ")[0]
    [script] = re.findall(r"```sh\n(.*?)```", story, re.DOTALL)
    script = script.replace("http://127.0.0.1:8080", server.web_url).replace(
        "data/dev-api-key", str(dev_key_file(Path(server.settings["data_dir"]))), 1
    )
    ran = shell(script)
    assert ran.stderr == ""
    assert ran.stdout.count('"username":"leo"') >= 2
    assert ran.stdout.count('"external_id":"campaign_8"') >= 2
    assert "HTTP/1.1 409 Conflict" in ran.stdout
    assert '"metadata":{"platform":"sandbox"}}' in ran.stdout
    check_timeline(server, ran.stdout.splitlines()[-1], "leo", "Good night!", "Supper is from six.")


def check_timeline(server: Server, address: str, handle: str, text: str, comment: str) -> None:
    """The post at this address is on the timeline, with a picture and, a moment later, this comment."""
    sandbox = SandboxApp(server.web_url)

    def comments() -> list[str]:
        [post] = [post for post in sandbox.look(handle) if post["url"] == address]
        assert post["text"] == text
        assert [medium["content_type"] for medium in post["media"]] == ["image/png"]
        return [reply["text"] for reply in post["replies"]]

    assert eventually("the comment is there", comments) == [comment]


def test_the_readmes_apps_work_as_pasted(server: Server) -> None:
    first, *_ = blocks_of("## The story, in grpcurl")
    script = "\n".join([first, *blocks_of("## Apps of your own")])
    ran = shell(here(script, server), **server.settings)
    assert ran.stderr == ""
    assert [line.split("\t")[1:] for line in ran.stdout.splitlines() if "\tin use\t" in line] == [
        ["pinterest", "1486777", "secret", "in use", "user_123"],
        ["pinterest", "1486123", "secret", "in use", ""],
    ]
    assert "client_id=1486777&" in ran.stdout
    assert re.search(r'"client(?:_id|Id)": "1486778"', ran.stdout)


def test_the_examples_of_administration_work_as_pasted(server: Server) -> None:
    page = (REPOSITORY / "docs" / "admin.md").read_text()
    script = "\n".join(re.findall(r"```sh\n(.*?)```", page, re.DOTALL))
    ran = shell(here(script, server), **server.settings)
    assert ran.stderr == ""
    # Made, found, and with an address: by grpcurl twice (names in either spelling), by curl once.
    assert ran.stdout.count("proj_") >= 4
    assert ran.stdout.count("https://shop.example/connected") == 2
    assert len(re.findall(r'"key": "hp_[\w-]{51}"', ran.stdout)) == 1
    revoked = json.loads(ran.stdout.splitlines()[-1])
    assert (revoked["name"], revoked["read_only"], revoked["admin"]) == ("dashboard", True, False)
    assert revoked["revoke_time"]


def test_the_demo_ends_on_the_timeline(server: Server) -> None:
    for _ in range(2):
        ran = subprocess.run(
            [sys.executable, "-m", "tools.demo"],
            cwd=REPOSITORY,
            env=environment(**server.settings),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        assert "<- ALREADY_EXISTS ERROR_REASON_OWNED_BY_ANOTHER" in ran.stdout
        assert "The hijack was refused" in ran.stdout
        assert ran.stdout.splitlines()[-1].endswith(
            f"with picture and comment: {server.web_url}/sandbox/timeline"
        )


def test_the_readme_lists_every_reason_with_its_code() -> None:
    table = README.partition("## Status codes")[2].partition("\n## ")[0]
    for name in error_reason_pb2.ErrorReason.keys()[1:]:
        reason = f"`{name.removeprefix('ERROR_REASON_')}`"
        rows = [row for row in table.splitlines() if reason in row.partition("|")[2]]
        assert rows, reason
        assert any(row.startswith(f"| `{CLASSES[name].kind.name}`") for row in rows), reason
