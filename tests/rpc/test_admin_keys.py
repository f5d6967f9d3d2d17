"""Whose key may call what: keys of a project, and admin keys, which are none's."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from server.base import logs
from server.base.errors import InvalidArgument
from server.base.identity import Caller, utc_now
from server.base.vault import fingerprint
from server.projects import projects
from server.rpc.admin import AdminServicer
from server.rpc.registry import RPCS
from tests.kit.support import MESSAGES, Client, failure, unique
from tests.kit.valid_requests import valid_fields

Sql = Callable[..., list[tuple[Any, ...]]]
Outcome = tuple[str, str]

OK = ("OK", "")
MISSING = ("UNAUTHENTICATED", "API_KEY_MISSING")
INVALID = ("UNAUTHENTICATED", "API_KEY_INVALID")
NOT_ADMIN = ("PERMISSION_DENIED", "API_KEY_NOT_ADMIN")
ADMIN_ONLY = ("PERMISSION_DENIED", "API_KEY_ADMIN_ONLY")
READ_ONLY = ("PERMISSION_DENIED", "API_KEY_READ_ONLY")

ADMIN_METHODS = [f"AdminService/{rpc.descriptor.name}" for rpc in RPCS.values() if rpc.admin]
ORDINARY_READ, ORDINARY_WRITE = "SocialPostService/GetSocialPost", "SocialPostService/CreateSocialPost"
# What each kind of key gets: in AdminService, where the method reads and where it writes; elsewhere the same.
TABLE: dict[str, tuple[Outcome, Outcome, Outcome, Outcome]] = {
    "none": (MISSING, MISSING, MISSING, MISSING),
    "read-only": (NOT_ADMIN, NOT_ADMIN, OK, READ_ONLY),
    "read-write": (NOT_ADMIN, NOT_ADMIN, OK, OK),
    "revoked": (INVALID, INVALID, INVALID, INVALID),
    "admin": (OK, OK, ADMIN_ONLY, ADMIN_ONLY),
    "admin read-only": (OK, READ_ONLY, ADMIN_ONLY, ADMIN_ONLY),
    "admin revoked": (INVALID, INVALID, INVALID, INVALID),
}


def key_of(kind: str, project_id: str) -> str | None:
    """A new key of this kind."""
    if kind == "none":
        return None
    of = None if kind.startswith("admin") else project_id
    row, key = projects.issue_key(of, kind, utc_now(), read_only="read-only" in kind)
    if "revoked" in kind:
        projects.revoke_key(row.id, utc_now())
    return key


def outcome(client: Client, method: str, fields: dict[str, Any]) -> Outcome:
    """Code and reason."""
    try:
        client(method, **fields)
    except grpc.RpcError as error:
        return failure(error).what
    return OK


@pytest.mark.parametrize("kind", TABLE)
def test_who_may_call_what(client: Client, kind: str) -> None:
    admin_read, admin_write, read, write = TABLE[kind]
    wanted = {
        method: admin_read if MESSAGES[method].name.startswith(("Get", "List")) else admin_write
        for method in ADMIN_METHODS
    }
    wanted |= {ORDINARY_READ: read, ORDINARY_WRITE: write}
    fields = valid_fields(client)
    caller = client.with_key(key_of(kind, client.project_id))
    assert {method: outcome(caller, method, fields[method]) for method in wanted} == wanted


@pytest.mark.grpc
@pytest.mark.parametrize("kind", TABLE)
def test_health_and_reflection_are_open_to_everybody(client: Client, kind: str) -> None:
    metadata = client.with_key(key_of(kind, client.project_id)).metadata
    health = health_pb2_grpc.HealthStub(client.channel)
    asked = health_pb2.HealthCheckRequest(service="hitchpost.v1.AdminService")
    assert health.Check(asked, metadata=metadata, timeout=30).status == health_pb2.HealthCheckResponse.SERVING
    reflection = reflection_pb2_grpc.ServerReflectionStub(client.channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    [answer] = reflection.ServerReflectionInfo(iter([request]), metadata=metadata, timeout=30)
    assert "hitchpost.v1.AdminService" in {one.name for one in answer.list_services_response.service}


def test_a_call_for_an_owner_administers_nothing(client: Client, sql: Sql) -> None:
    fields = valid_fields(client)
    before = sql("SELECT id FROM admin_event ORDER BY id")
    for owner, what in {
        "alice": ("PERMISSION_DENIED", "OWNER_MISMATCH"),
        "": ("INVALID_ARGUMENT", "FIELD_INVALID"),
    }.items():
        scoped = client.as_owner(owner)
        assert {outcome(scoped, method, fields[method]) for method in ADMIN_METHODS} == {what}
    assert sql("SELECT id FROM admin_event ORDER BY id") == before


def test_the_version_before_knows_no_admin_key(client: Client, sql: Sql) -> None:
    """It asks by this statement alone, so that to it an admin key is one that nobody made."""
    asked = "SELECT project_id FROM api_key WHERE hash = ANY(%s) AND revoke_time IS NULL"
    hashes = [fingerprint(key or "") for key in (client.admin_key, client.key)]
    assert sql(asked, hashes) == [(client.project_id,)]
    assert {projects.callers(hashes)[hash_].admin for hash_ in hashes} == {True, False}


def test_an_admin_key_is_made_for_no_project_only(client: Client) -> None:
    """A project's id that got lost on the way makes no admin key."""
    with pytest.raises(Exception, match="violates foreign key"):
        projects.issue_key("", "lost", utc_now())
    assert "lost" not in {key.name for key in projects.admin_keys()}


# What a key's text is told to, and what is recorded.


@pytest.mark.parametrize("admin", [False, True], ids=["of a project", "admin"])
def test_a_key_is_answered_once_and_kept_nowhere(
    client: Client, sql: Sql, log_file: Path, admin: bool
) -> None:
    of = {"admin": True} if admin else {"project_id": client.project_id}
    made = client("AdminService/CreateApiKey", **of, name=unique("key"))
    assert projects.callers([fingerprint(made.key)])[fingerprint(made.key)].key_id == made.api_key.id
    listed = client("AdminService/ListApiKeys", page_size=1000).api_keys
    assert made.api_key in listed
    said = [str(one) for one in (made.api_key, *listed)]
    for table in ("api_key", "admin_key", "admin_event", "idempotent_request"):
        said += [str(row) for row in sql(f"SELECT {table}::text FROM {table}")]
    logs.calls.flush()
    said.append(log_file.read_text())
    assert not [text for text in said if made.key[:20] in text]


def test_no_answer_of_this_service_is_kept() -> None:
    """What is kept for a request_id would be a key's text."""
    assert ADMIN_METHODS
    for method in ADMIN_METHODS:
        assert "request_id" not in MESSAGES[method].input_type.fields_by_name


def test_what_was_done_is_recorded_with_who_did_it(client: Client, sql: Sql) -> None:
    who, key = projects.issue_key(None, "recorded", utc_now())
    admin, url = client.with_key(key), "https://app.example/done"
    project_id = admin("AdminService/CreateProject", name=unique("project")).project.id
    for method in ("AddRedirectUrl", "AddRedirectUrl", "RemoveRedirectUrl", "RemoveRedirectUrl"):
        admin(f"AdminService/{method}", project_id=project_id, redirect_url=url)
    made = admin("AdminService/CreateApiKey", project_id=project_id).api_key.id
    for _ in range(2):
        admin("AdminService/RevokeApiKey", api_key_id=made)
    projects.create_key(project_id, "from a shell", utc_now())
    recorded = sql(
        "SELECT action, api_key_id FROM admin_event WHERE project_id = %s ORDER BY create_time", project_id
    )
    actions = [
        "project.created",
        "redirect_url.added",
        "redirect_url.removed",
        "api_key.created",
        "api_key.revoked",
    ]
    assert recorded == [*((action, who.id) for action in actions), ("api_key.created", None)]


def test_an_admin_key_ends_any_key_its_own_too(client: Client) -> None:
    row, key = projects.issue_key(None, "own", utc_now())
    revoked = client.with_key(key)("AdminService/RevokeApiKey", api_key_id=row.id).api_key
    assert (revoked.id, revoked.HasField("revoke_time")) == (row.id, True)
    assert not projects.key_works(key)


def test_a_key_that_was_made_here_works_at_once(client: Client) -> None:
    made = client("AdminService/CreateApiKey", project_id=client.project_id, read_only=True)
    reader = client.with_key(made.key)
    assert list(reader("SocialAccountService/ListSocialAccounts").social_accounts) == []
    assert reader.fails("SocialPostService/CreateSocialPost").what == READ_ONLY


# Redirect URLs and lists.


def test_redirect_urls_are_encrypted_outside_dev_mode(client: Client) -> None:
    request = MESSAGES["AdminService/AddRedirectUrl"].input_type._concrete_class(
        project_id=client.project_id, redirect_url="http://app.example/done"
    )
    servicer, caller = AdminServicer(utc_now, allow_http=False), Caller("", "key_1", admin=True)
    with pytest.raises(InvalidArgument, match="must begin with https"):
        servicer.AddRedirectUrl(request, caller)
    assert client("AdminService/AddRedirectUrl", request).project.redirect_urls == [request.redirect_url]


def test_a_project_has_bounded_redirect_urls(client: Client) -> None:
    full = [f"https://app.example/{number}" for number in range(projects.MOST_REDIRECT_URLS)]
    for url in full:
        projects.add_redirect_url(projects.get(client.project_id), url, utc_now())
    added = {"project_id": client.project_id}
    again = client("AdminService/AddRedirectUrl", **added, redirect_url=full[0])
    assert again.project.redirect_urls == full
    failed = client.fails("AdminService/AddRedirectUrl", **added, redirect_url="https://app.example/more")
    assert (failed.what, failed.fields) == (("INVALID_ARGUMENT", "FIELD_INVALID"), ("redirect_url",))


def test_addresses_that_are_added_at_once_are_all_there(client: Client) -> None:
    urls = {f"https://app.example/{number}" for number in range(8)}

    def add(url: str) -> None:
        client("AdminService/AddRedirectUrl", project_id=client.project_id, redirect_url=url)

    with ThreadPoolExecutor(len(urls)) as threads:
        list(threads.map(add, urls))
    stored = client("AdminService/GetProject", project_id=client.project_id).project.redirect_urls
    assert (set(stored), len(stored)) == (urls, len(urls))


def test_lists_come_in_pages(client: Client, stranger: Client) -> None:
    projects.create_key(client.project_id, "second", utc_now())
    mine = [projects.get(one.project_id) for one in (client, stranger)]
    wanted: dict[str, Any] = {"project_ids": [project.id for project in mine], "page_size": 2}
    first = client("AdminService/ListApiKeys", **wanted)
    last = client("AdminService/ListApiKeys", **wanted, page_token=first.next_page_token)
    ids = [key.id for page in (first, last) for key in page.api_keys]
    assert ids == sorted((key.id for project in mine for key in projects.keys(project)), reverse=True)
    assert (len(first.api_keys), len(last.api_keys), last.next_page_token) == (2, 1, "")
    named = {"names": [project.name for project in mine], "page_size": 1}
    newest = client("AdminService/ListProjects", **named)
    oldest = client("AdminService/ListProjects", **named, page_token=newest.next_page_token)
    found = [project.id for page in (newest, oldest) for project in page.projects]
    assert (found, oldest.next_page_token) == (sorted(wanted["project_ids"], reverse=True), "")
    assert client.fails("AdminService/ListApiKeys", page_token=newest.next_page_token).fields == (
        "page_token",
    )
