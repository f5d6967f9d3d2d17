"""The methods as tools of the Model Context Protocol, by its official client, over HTTP and over stdio."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from google.protobuf.json_format import MessageToDict
from mcp_types import Tool

from server.mcp.tools import METHODS
from server.rpc.registry import RPCS
from server.run.mistakes import SettingsRefused, refuse_empty_owner
from server.web.schemas import COMMENTS
from tests.conftest import Running
from tests.kit import mcp
from tests.kit.bluesky import Pds
from tests.kit.mcp import Door, Outcome, Session
from tests.kit.servers import REPOSITORY, environment, hitchpost, serving
from tests.kit.support import Client, import_request, secret, unique
from tests.kit.valid_requests import valid_request
from tools.person import Person

# Makes a way in for this key, perhaps confined to an owner.
Open = Callable[..., Door]
READS = {
    "get_social_account",
    "list_social_accounts",
    "get_social_post",
    "list_social_posts",
    "list_social_post_targets",
    "validate_social_post",
    "list_platform_apps",
}


@pytest.fixture(params=["http", "stdio"])
def enter(request: pytest.FixtureRequest, running: Running) -> Open:
    if request.param == "stdio":
        return lambda key, owner=None: mcp.over_stdio(running, key, owner)
    return lambda key, owner=None: mcp.over_http(web_url(running), key, owner)


def web_url(running: Running) -> str:
    return f"http://{running.settings.web_address}"


def arguments(client: Client, pds: Pds, tool: str) -> dict[str, Any]:
    """Valid ones, as JSON."""
    rpc = METHODS[tool].descriptor
    request = valid_request(client, f"{rpc.containing_service.name}/{rpc.name}")
    described: dict[str, Any] = MessageToDict(request, preserving_proto_field_name=True)
    if tool == "complete_auth":
        described["callback_url"] = came_back(client)
    if tool == "confirm_auth":
        owner = {"external_id": described["external_id"], "redirect_url": "http://localhost/"}
        callback_url = came_back(client, require_confirmation=True, **owner)
        kept = client("SocialAccountService/CompleteAuth", callback_url=callback_url)
        described["confirmation_code"] = kept.confirmation_code
    if tool == "connect_with_app_password":
        person = pds.new_account()
        app_password = pds.new_app_password(person)
        described |= {"handle": person.did, "app_password": app_password, "service_url": pds.url}
    return described


def came_back(client: Client, **fields: Any) -> str:
    """The address that a person's browser has come back to, in an attempt with these fields."""
    begun = client("SocialAccountService/CreateAuthUrl", platform="PLATFORM_SANDBOX", **fields)
    with Person(unique("person")) as person:
        return person.agree(begun.url)


def test_every_method_is_a_tool_and_can_be_called(enter: Open, client: Client, pds: Pds) -> None:
    prepared = {tool: arguments(client, pds, tool) for tool in METHODS}
    called: dict[str, Outcome] = {}

    async def scene(session: Session) -> dict[str, Tool]:
        tools = await session.tools()
        called.update({tool: await session.call(tool, **prepared[tool]) for tool in tools})
        return tools

    ordinary, admin = (enter(key).play(scene).keys() for key in (client.key, client.admin_key))
    assert admin == {tool for tool, rpc in METHODS.items() if rpc.admin}
    assert not ordinary & admin
    assert len(called) == len(prepared) == len(RPCS)
    assert {tool: outcome.said for tool, outcome in called.items() if outcome.failed} == {}
    for tool, outcome in called.items():
        fields = METHODS[tool].descriptor.output_type.fields_by_name
        assert outcome.answer.keys() <= set(fields)


def test_clients_of_the_protocol_before_are_served_too(running: Running, client: Client) -> None:
    async def scene(session: Session) -> tuple[str, set[str], Outcome]:
        version = str(session.client.protocol_version)
        return version, set(await session.tools()), await session.call("list_social_posts")

    version, tools, listed = mcp.over_http(web_url(running), client.key).play(scene, "legacy")
    assert version == "2025-11-25"
    assert tools == {tool for tool, rpc in METHODS.items() if not rpc.admin}
    assert listed.answer == {"social_posts": [], "next_page_token": ""}


def test_tools_say_what_they_do(running: Running, client: Client) -> None:
    tools = mcp.over_http(web_url(running), client.key).tools()
    create = tools["create_social_post"]
    assert create.description == COMMENTS["hitchpost.v1.SocialPostService.CreateSocialPost"]
    hints = {name: tool.annotations for name, tool in tools.items() if tool.annotations}
    assert {name for name, hint in hints.items() if hint.read_only_hint} == READS
    destructive = {name for name, hint in hints.items() if hint.destructive_hint}
    assert {"delete_social_account", "delete_social_post"} < destructive
    assert not destructive & (READS | {"create_social_post", "import_social_account"})
    assert create.input_schema["required"] == ["social_post"]
    assert not create.annotations or not create.annotations.idempotent_hint


def test_a_profile_of_another_owner_is_refused(enter: Open, client: Client) -> None:
    profile = unique("profile")
    client.connect(profile, external_id="alice")
    request = import_request(profile, external_id="bob")
    described = MessageToDict(request, preserving_proto_field_name=True)
    refused = enter(client.key).call("import_social_account", **described)
    assert (refused.said["code"], refused.reason) == ("ALREADY_EXISTS", "OWNED_BY_ANOTHER")
    assert refused.said["metadata"] == {"platform": "sandbox"}
    [account] = client("SocialAccountService/ListSocialAccounts").social_accounts
    assert account.external_id == "alice"


def test_a_read_only_key_sees_and_calls_tools_that_read(
    enter: Open, client: Client, read_only: Client
) -> None:
    account = client.connect()

    async def scene(session: Session) -> tuple[set[str], Outcome, Outcome]:
        read = await session.call("get_social_account", social_account_id=account.id)
        written = await session.call("delete_social_account", social_account_id=account.id)
        return set(await session.tools()), read, written

    seen, read, written = enter(read_only.key).play(scene)
    assert seen == READS
    assert read.answer["social_account"]["id"] == account.id
    assert (written.said["code"], written.reason) == ("PERMISSION_DENIED", "API_KEY_READ_ONLY")


def test_an_owner_confines(enter: Open, client: Client) -> None:
    mine, theirs = client.connect(external_id="älice"), client.connect(external_id="bob")

    async def scene(session: Session) -> tuple[Outcome, Outcome]:
        listed = await session.call("list_social_accounts")
        return listed, await session.call("get_social_account", social_account_id=theirs.id)

    listed, refused = enter(client.key, "älice").play(scene)
    assert [account["id"] for account in listed.answer["social_accounts"]] == [mine.id]
    assert refused.reason == "OWNER_MISMATCH"


def test_wrong_arguments_are_named(running: Running, client: Client) -> None:
    async def scene(session: Session) -> list[Outcome]:
        return [
            await session.call("list_social_posts", external_idz=["a"]),
            await session.call("list_social_posts", page_size="many"),
            await session.call("create_social_post", social_post={"media": [{"url": 5}]}),
            await session.call("get_social_post", social_post_id="sp_nonsense"),
            await session.call("update_social_post", social_post={}, update_mask=["caption"]),
        ]

    outcomes = mcp.over_http(web_url(running), client.key).play(scene)
    assert {outcome.reason for outcome in outcomes} == {"FIELD_INVALID"}
    assert [[wrong["field"] for wrong in outcome.said["fields"]] for outcome in outcomes] == [
        ["external_idz"],
        ["page_size"],
        ["social_post.media.url"],
        ["social_post_id"],
        ["update_mask"],
    ]


def test_an_unknown_tool_is_refused(running: Running, client: Client) -> None:
    door = mcp.over_http(web_url(running), client.key)
    with pytest.raises(ExceptionGroup) as raised:
        door.call("make_coffee")
    assert "There is no such tool" in repr(raised.value)


# HTTP.


def ask(running: Running, key: str | None, verb: str = "POST", **headers: str) -> httpx2.Response:
    """Asks what tools there are, as the protocol does, with its version in a header."""
    sent = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-06-18", **headers}
    sent |= {"Authorization": f"Bearer {key}"} if key else {}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"} if verb == "POST" else None
    return httpx2.request(
        verb, f"{web_url(running)}/mcp", json=body, headers=sent, trust_env=False, timeout=30
    )


@pytest.mark.parametrize(("key", "reason"), [(None, "API_KEY_MISSING"), ("hp_nonsense", "API_KEY_INVALID")])
def test_without_a_key_nobody_comes_in(running: Running, key: str | None, reason: str) -> None:
    answer = ask(running, key)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.json()["reason"] == f"ERROR_REASON_{reason}"


def test_an_owner_that_can_be_none_is_refused(running: Running, client: Client) -> None:
    answer = ask(running, client.key, **{"X-External-Id": ""})
    assert (answer.status_code, answer.json()["fields"][0]["field"]) == (400, "x-external-id")


@pytest.mark.parametrize("verb", ["GET", "DELETE"])
def test_there_are_no_sessions(running: Running, client: Client, verb: str) -> None:
    answer = ask(running, client.key, verb)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_a_body_is_bounded(running: Running, client: Client) -> None:
    answer = httpx2.post(
        f"{web_url(running)}/mcp",
        content=b" " * (running.settings.max_message_bytes + 1),
        headers={"Authorization": f"Bearer {client.key}"},
        trust_env=False,
    )
    assert (answer.status_code, answer.json()["status"]) == (413, 413)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "evil.example:8080"}, 421),
        ({"Host": "localhost:1234"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_names_that_are_not_this_servers_are_refused(
    running: Running, client: Client, headers: dict[str, str], status: int
) -> None:
    assert ask(running, client.key, **headers).status_code == status


def test_several_processes_serve_one_client(tmp_path: Path, running: Running, client: Client) -> None:
    settings = {"web_workers": "2", "mcp_hosts": "hitchpost.internal", "cors_origins": "https://app.example"}
    with serving(tmp_path, running.database_url, **settings) as server:
        door = mcp.over_http(server.web_url, client.key, "alice")
        request = {"platform": "PLATFORM_SANDBOX", "platform_user_id": "1", "access_token": secret()}
        assert (
            door.call("import_social_account", **request).answer["social_account"]["external_id"] == "alice"
        )

        listed = [door.call("list_social_accounts") for _ in range(8)]
        assert {len(outcome.answer["social_accounts"]) for outcome in listed} == {1}
        calls = server.logged(message="call", method="SocialAccountService/ListSocialAccounts")
        assert len(calls) == 8
        assert len({line["process"] for line in calls}) == 2

        for headers in ({"Host": "hitchpost.internal:80"}, {"Origin": "https://app.example"}):
            sent = {"Authorization": f"Bearer {client.key}", "Accept": "application/json", **headers}
            body = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
            answer = httpx2.post(f"{server.web_url}/mcp", json=body, headers=sent, trust_env=False)
            assert answer.status_code == 200, answer.text
        preflight = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
        preflight["Access-Control-Request-Headers"] = "authorization, mcp-protocol-version"
        allowed = httpx2.options(f"{server.web_url}/mcp", headers=preflight, trust_env=False)
        assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (
            200,
            "https://app.example",
        )


# Stdio.


def initialize(key: int = 1) -> bytes:
    params = {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "t", "version": "1"},
    }
    message = {"jsonrpc": "2.0", "id": key, "method": "initialize", "params": params}
    return json.dumps(message).encode() + b"\n"


def test_stdout_has_the_protocol_alone_and_sigterm_ends_it(running: Running, client: Client) -> None:
    settings = {**mcp.stdio_settings(running, client.key), "log_level": "DEBUG"}
    with subprocess.Popen(
        [sys.executable, "-m", "server", "mcp"],
        cwd=REPOSITORY,
        env=environment(**settings),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write(initialize())
        process.stdin.write(b"no message\n")
        process.stdin.write(b'{"jsonrpc":"2.0","id":2,"method":"tools/list"}\n')
        process.stdin.flush()
        lines = [json.loads(process.stdout.readline()) for _ in range(2)]
        assert [line["id"] for line in lines] == [1, 2]
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert process.stdout.read() == b""
        assert b'"method":"mcp/tools"' in process.stderr.read()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"dev_mode": "false"}, "HITCHPOST_MCP_API_KEY is not set; hitchpost keys create makes a key"),
        ({"mcp_api_key": "hp_" + "a" * 43}, "API key"),
    ],
)
def test_what_can_not_work_is_said_at_once(running: Running, settings: dict[str, str], said: str) -> None:
    ran = hitchpost("mcp", **{**mcp.stdio_settings(running, None), **settings})
    assert (ran.returncode, ran.stdout) == (1, "")
    [line] = ran.stderr.strip().splitlines()
    assert said in line


def test_an_owner_that_is_empty_is_not_taken_for_none() -> None:
    with pytest.raises(SettingsRefused, match="HITCHPOST_MCP_EXTERNAL_ID is empty"):
        refuse_empty_owner({"hitchpost_mcp_external_id": ""})
    refuse_empty_owner({"HITCHPOST_MCP_EXTERNAL_ID": "alice"})


def test_in_dev_mode_nothing_has_to_be_set(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "server", "mcp"],
        cwd=REPOSITORY,
        env=environment(data_dir=str(tmp_path / "data")),
        input=initialize(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["result"]["serverInfo"]["name"] == "hitchpost"
