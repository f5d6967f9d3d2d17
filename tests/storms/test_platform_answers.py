"""Whatever a platform answers, a login ends with an account or with a reason, and nothing between.

Every row of platforms.toml is connected over the whole product, thousands of times, each time with one of
the answers of its fixture spoiled.
"""

import json
import os
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import grpc
from google.protobuf.json_format import ParseDict

from generated.hitchpost.v1 import social_account_service_pb2 as pb
from server.base.platform_names import platform_number
from server.base.vault import Vault
from server.platforms import facts
from tests.conftest import ENCRYPTION_KEY
from tests.kit import stand_in as kit
from tests.kit.servers import Server, local_channel, rows, serving
from tests.kit.support import Client, failure, secret, secrets_in
from tests.storms.answers import reply, spoiled
from tests.storms.scripted_platform import Reply, ScriptedPlatform

ANSWERS = int(os.environ.get("STORM_ANSWERS", "10000"))
SEED = int(os.environ.get("STORM_SEED", "13"))
LANES = 6
# Each is waited for as long as a platform may take.
DRIPPING = range(500, ANSWERS, max(ANSWERS // 12, 1))
# One in so many is not spoiled, and has to connect.
UNSPOILED = 20
BEGIN, COMPLETE = "SocialAccountService/CreateAuthUrl", "SocialAccountService/CompleteAuth"
# As the contract has them, of each call.
REASONS = {
    BEGIN: {
        ("INVALID_ARGUMENT", "FIELD_INVALID"),
        ("UNAVAILABLE", "PLATFORM_UNAVAILABLE"),
    },
    COMPLETE: {
        ("ALREADY_EXISTS", "OWNED_BY_ANOTHER"),
        ("FAILED_PRECONDITION", "AUTH_CODE_REFUSED"),
        ("FAILED_PRECONDITION", "AUTH_NO_PROFILE"),
        ("UNAVAILABLE", "PLATFORM_UNAVAILABLE"),
        ("ABORTED", "AUTH_INTERRUPTED"),
    },
}
# What a Mastodon server answers before a login begins: if it has the app already, and if not.
TOKEN_OF_THE_APP = {"access_token": "of-the-app", "token_type": "Bearer"}
DESCRIPTION = {"issuer": "{instance}/", "token_endpoint": "{instance}/oauth/token"}
REGISTRATION = {"client_id": "{client_id}", "client_secret": "s"}
_APP = """
    INSERT INTO platform_app (project_id, id, platform, external_id, instance, client_id, secrets,
                              create_time, update_time)
    VALUES (%s, %s, %s, '', '', 'client', %s, now(), now())
"""


class Outcome(NamedTuple):
    """How a login ended: the call that failed, if one did, its code and reason; the accounts it brought."""

    flow: int
    name: str
    call: str
    what: tuple[str, str]
    accounts: tuple[str, ...] = ()


class Marked(kit.Values):
    """The values of one login, each secret with its mark."""

    def __init__(self, flow: int, **given: Any) -> None:
        self.flow = flow
        super().__init__(code=f"flow-{flow}-{secret()}", **given)

    def __missing__(self, name: str) -> str:
        self[name] = f"flow-{self.flow}-{secret()}"
        return str(self[name])


class Row(NamedTuple):
    """A row of the table, its fixture, and the platform's number."""

    name: str
    platform: int
    said: Mapping[str, Any]
    ids: frozenset[str]

    def answers(self, values: Marked) -> list[Any]:
        """What the platform answers in one login, with profiles that are this login's alone."""
        said = [
            exchange["answer"]
            for step in ("token", "long_lived", "profiles")
            for exchange in self.said.get(step, [])
        ]
        return [self._own(values.fill(answer["json"]), values.flow) for answer in said]

    def _own(self, value: Any, flow: int) -> Any:
        if isinstance(value, dict):
            return {key: self._own(held, flow) for key, held in value.items()}
        if isinstance(value, list):
            return [self._own(held, flow) for held in value]
        return f"{value}-{flow}" if str(value) in self.ids and not isinstance(value, bool) else value


def read_rows(platform: ScriptedPlatform) -> list[Row]:
    """Every row that has a fixture, with the platform for all that it names."""
    table = facts.read("https://hitchpost.example.com")
    found = []
    for name in kit.names():
        said = kit.load(name, platform)
        ids = frozenset(account["platform_user_id"].partition("@")[0] for account in said["accounts"])
        found.append(Row(name, platform_number(table[name].platform), said, ids))
    return found


class Storm:
    """A server whose platforms are all the scripted one, and logins there."""

    def __init__(self, server: Server, client: Client, platform: ScriptedPlatform) -> None:
        self.server, self.client, self._platform = server, client, platform
        self._table = read_rows(platform)
        self.database_url = server.settings["database_url"]
        # One login at a time where an app registers itself: what is asked for that has no login's mark.
        self._registering = threading.Lock()

    def play(self, flow: int) -> Outcome:
        """One login, with one of the answers spoiled."""
        row = self._table[flow % len(self._table)]
        chance = random.Random(f"{SEED}:{flow}")
        url = self._platform.url
        values = Marked(flow, client_id="client", instance=url, instance_name=urlsplit(url).netloc)
        if row.name != "mastodon":
            return self._login(row, values, replies(row.answers(values), flow, chance))
        with self._registering:
            rows(self.database_url, "DELETE FROM platform_app WHERE instance <> ''")
            before = [DESCRIPTION, REGISTRATION]
            if chance.random() < 0.2:
                self._platform.registering = [
                    reply(json.dumps(answer).encode()) for answer in values.fill(before)
                ]
                self._begin(row, values)
                before = [TOKEN_OF_THE_APP]
            found = replies([*values.fill(before), *row.answers(values)], flow, chance)
            self._platform.registering = found[: len(before)]
            return self._login(row, values, found[len(before) :])

    def _begin(self, row: Row, values: Marked) -> str:
        """The state of an attempt for an owner of its own."""
        options = ParseDict(values.fill(row.said["authorize"]["options"]), pb.AuthPlatformOptions())
        owner = f"owner-{values.flow}"
        begun = self.client(BEGIN, platform=row.platform, platform_options=options, external_id=owner)
        return str(begun.state)

    def _login(self, row: Row, values: Marked, found: list[Reply]) -> Outcome:
        self._platform.flows[values.flow] = found
        call = BEGIN
        try:
            state = self._begin(row, values)
            call, query = COMPLETE, urlencode({"code": values["code"], "state": state})
            answer = self.client(COMPLETE, callback_url=f"http://localhost/callback?{query}", timeout=60)
        except grpc.RpcError as error:
            return Outcome(values.flow, row.name, call, failure(error).what)
        finally:
            del self._platform.flows[values.flow]
        accounts = tuple(account.id for account in answer.connected_accounts)
        return Outcome(values.flow, row.name, "", ("OK", ""), accounts)


def said(answer: Any) -> Reply:
    """The answer as it should be."""
    return reply(json.dumps(answer).encode())


def replies(answers: Sequence[Any], flow: int, chance: random.Random) -> list[Reply]:
    """The platform's answers to one login, one of them spoiled; of one login in so many none is."""
    found = list(map(said, answers))
    at = chance.randrange(len(answers))
    if flow in DRIPPING:
        found[at] = Reply(found[at].raw[: chance.randrange(len(found[at].raw))], drips=True)
    elif flow % UNSPOILED:
        found[at] = spoiled(chance, answers[at])
    return found


@contextmanager
def storm(run_dir: Path, new_database: Callable[[], str]) -> Iterator[Storm]:
    """A running one, with an app for every platform."""
    with ExitStack() as stack:
        platform = stack.enter_context(ScriptedPlatform().serving())
        file = run_dir / "scripted.toml"
        file.write_text(platform.rows())
        settings = {"platforms_file": str(file), "allow_private_addresses": "true", "workers": "2"}
        server = stack.enter_context(serving(run_dir, new_database(), **settings))
        client = server.new_client(stack.enter_context(local_channel(server.address)))
        going = Storm(server, client, platform)
        secrets = Vault(ENCRYPTION_KEY).encrypt(json.dumps({"client_secret": secret(), "settings": {}}))
        apps = {row.app_of for row in facts.read(server.web_url).values()} - {"sandbox", "mastodon"}
        for app in apps:
            number = platform_number(app)
            rows(going.database_url, _APP, client.project_id, f"pa_{number}", number, secrets)
        yield going


def test_whatever_a_platform_answers_has_an_account_or_a_reason(
    run_dir: Path, new_database: Callable[[], str]
) -> None:
    print(f"\nSTORM_SEED={SEED}: {ANSWERS:,} answers")
    with storm(run_dir, new_database) as going, ThreadPoolExecutor(LANES) as threads:
        ended = list(threads.map(going.play, range(ANSWERS)))
        report(ended)
        undocumented = [end for end in ended if end.call and end.what not in REASONS[end.call]]
        assert undocumented == []
        whole = [end for end in ended if end.flow % UNSPOILED == 0 and end.flow not in DRIPPING]
        assert [end for end in whole if not end.accounts] == [], "not spoiled, and yet it failed"
        assert_nothing_is_half_connected(going.database_url, ended)
        assert_nothing_is_in_the_log(going.server)


def report(ended: Sequence[Outcome]) -> None:
    """How many ended how, by row."""
    for name in sorted({end.name for end in ended}):
        counted = Counter(end.what[1] or "connected" for end in ended if end.name == name)
        print(f"{name:22}", ", ".join(f"{what} {count:,}" for what, count in counted.most_common()))


_TOKENS = "SELECT social_account_id, access_token, refresh_token, context FROM social_account_token"


def assert_nothing_is_half_connected(database_url: str, ended: Sequence[Outcome]) -> None:
    """There are the accounts that callers were told of, and no others, each with tokens that decrypt."""
    told = {(account, f"owner-{end.flow}") for end in ended for account in end.accounts}
    assert set(rows(database_url, "SELECT id, external_id FROM social_account")) == told
    tokens = rows(
        database_url,
        "SELECT social_account_id, access_token, refresh_token, context FROM social_account_token",
    )
    assert sorted(account for account, *_ in tokens) == sorted(account for account, _ in told)
    vault = Vault(ENCRYPTION_KEY)
    for _, access_token, refresh_token, context in tokens:
        assert vault.decrypt(access_token)
        assert refresh_token is None or vault.decrypt(refresh_token)
        assert context is None or json.loads(vault.decrypt(context))


def assert_nothing_is_in_the_log(server: Server) -> None:
    """No error, which is what a bug would be, and no secret of a platform's."""
    assert server.logged(level="ERROR") == []
    assert server.logged(level="CRITICAL") == []
    codes = {code for reasons in REASONS.values() for code, _ in reasons}
    assert {call["code"] for call in server.logged(message="call")} <= {"OK", *codes}
    text = server.log.read_bytes()
    assert b"Traceback" not in text
    assert secrets_in(text) == []
