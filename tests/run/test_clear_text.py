"""What others may read of a running Hitchpost, a dump of its database, its logs and the list of processes,
has no token, code, verifier, password or key in clear text."""

import base64
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import psutil
import pytest
from cryptography.fernet import InvalidToken

from server.base.vault import Vault
from tests.conftest import ENCRYPTION_KEY
from tests.kit.dump import Value, dump
from tests.kit.servers import Server, eventually, hitchpost, local_channel, printed, rows, serving
from tests.kit.support import Client, import_request, secret
from tests.storms.slow_platform import stopped
from tools.person import Person

VAULT = Vault(ENCRYPTION_KEY)
RETURN_URL = "https://app.example.com/connected"
PASSWORD = "a-password-that-nobody-sees"


@dataclass
class Seen:
    """What could be read, by where, at any moment of the flow; and what must not be there."""

    server: Server
    database_url: str
    postgres_log: Path
    secrets: dict[str, set[str]] = field(default_factory=dict)
    texts: dict[str, bytes] = field(default_factory=dict)

    def is_secret(self, kind: str, *values: str) -> None:
        self.secrets.setdefault(kind, set()).update(values)

    def look(self, moment: str) -> None:
        """Reads all that there is now, and what of it is encrypted."""
        values = list(dump(partial(rows, self.database_url)))
        self._decrypt(values)
        self.texts[f"database, {moment}"] = b"\n".join(value.stored for value in values)
        self.texts[f"sessions, {moment}"] = joined(
            query for (query,) in rows(self.database_url, "SELECT query FROM pg_stat_activity")
        )
        self.texts[f"processes, {moment}"] = joined(
            " ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])
        )
        self.texts["logs"] = b"\n".join(
            path.read_bytes() for path in (self.server.log, self.server.output, self.postgres_log)
        )

    def _decrypt(self, values: list[Value]) -> None:
        for value in values:
            try:
                self.is_secret(value.place.partition(".")[2], VAULT.decrypt(value.stored))
            except InvalidToken:
                continue

    def leaks(self) -> list[tuple[str, str]]:
        """Where a secret is, and of which kind it is."""
        return [
            (where, kind)
            for where, text in self.texts.items()
            for kind, secrets in self.secrets.items()
            for one in secrets
            if any(form in text for form in forms(one))
        ]


def forms(one: str) -> set[bytes]:
    """As it is, as a part of an address, as bytes and in base64, wherever that begins in three bytes."""
    raw = one.encode()
    encoded = {base64.b64encode(b"x" * shift + raw)[4 if shift else 0 : -4] for shift in range(3)}
    return {raw, quote(one, safe="").encode(), raw.hex().encode(), *encoded}


def joined(texts: Iterator[str | None]) -> bytes:
    return "\n".join(text or "" for text in texts).encode()


@pytest.fixture
def seen(run_dir: Path, new_database: Callable[[], str], postgres: Any) -> Iterator[Seen]:
    """A running server whose database URL has a password."""
    url = new_database()
    assert "postgres:@" in url
    url = url.replace("postgres:@", f"postgres:{PASSWORD}@")
    with serving(run_dir, url) as server:
        seen = Seen(server, url, Path(postgres.log))
        seen.is_secret("password", PASSWORD)
        seen.is_secret("encryption key", ENCRYPTION_KEY)
        yield seen


def query(url: str, name: str) -> str:
    return parse_qs(urlsplit(url).query)[name][0]


def connect(seen: Seen, client: Client, *, by_web: bool) -> None:
    """A person connects an account: by the callback of the web process, or CompleteAuth and ConfirmAuth."""
    begun = client(
        "SocialAccountService/CreateAuthUrl",
        platform="PLATFORM_SANDBOX",
        external_id="alice",
        require_confirmation=not by_web,
        redirect_url="" if by_web else RETURN_URL,
    )
    seen.is_secret("state", begun.state)
    way = "by the web" if by_web else "by CompleteAuth"
    seen.look(f"an attempt is open, {way}")
    with Person("mia" if by_web else "tom") as person:
        callback_url = person.agree(begun.url)
        seen.is_secret("code", query(callback_url, "code"))
        seen.look(f"a person has agreed, {way}")
        if by_web:
            assert person.open(callback_url).is_success
        else:
            code = client("SocialAccountService/CompleteAuth", callback_url=callback_url).confirmation_code
            seen.is_secret("confirmation code", code)
            seen.look("a login waits for its confirmation")
            client("SocialAccountService/ConfirmAuth", confirmation_code=code, external_id="alice")
        cookies = [cookie.value for cookie in person.browser.cookies.jar]
        assert len(cookies) == (2 if by_web else 1)
        seen.is_secret("cookie", *cookies)


def test_what_others_may_read_has_no_secret_in_clear_text(seen: Seen) -> None:
    with closing(local_channel(seen.server.address)) as channel:
        client = seen.server.new_client(channel)
        printed("projects", "add-redirect-url", client.project_id, RETURN_URL, **seen.server.settings)
        assert client.key is not None
        seen.is_secret("API key", client.key)
        connect(seen, client, by_web=True)
        connect(seen, client, by_web=False)
        request = import_request("42", "alice", request_id="import-42", metadata={"plan": "pro"})
        seen.is_secret("imported", request.access_token, request.refresh_token)
        imported = client("SocialAccountService/ImportSocialAccount", request).social_account
        assert client.fails("SocialAccountService/GetSocialAccount", social_account_id=secret()).code
        seen.look("accounts are connected")
        with stopped(seen.server):
            client("SocialAccountService/DisconnectSocialAccount", social_account_id=imported.id)
            seen.look("tokens are to be revoked")
        left = "SELECT count(*) FROM token_revocation"
        eventually("they are revoked", lambda: rows(seen.database_url, left) == [(0,)])
        # Commands, and one that fails.
        settings = seen.server.settings
        for arguments in (["doctor"], ["keys", "rotate-encryption"], ["keys", "list", client.project_id]):
            ran = hitchpost(*arguments, **settings)
            seen.texts[f"hitchpost {arguments[0]}"] = (ran.stdout + ran.stderr).encode()
        unreachable = settings | {"database_url": f"postgresql://hitchpost:{PASSWORD}@127.0.0.1:1/x"}
        ran = hitchpost("doctor", **unreachable)
        seen.texts["hitchpost doctor, without a database"] = (ran.stdout + ran.stderr).encode()
        assert seen.server.logged(message="call")
        seen.look("all is done")
    assert seen.leaks() == []
    # The search has read what there is: so its silence means something.
    known = {
        "password": 1,
        "encryption key": 1,
        "API key": 1,
        "state": 2,
        "code": 2,
        "confirmation code": 1,
        "profiles": 1,
        "cookie": 3,
        "imported": 2,
        "code_verifier": 2,
        "access_token": 3,
        "refresh_token": 3,
    }
    assert known.items() <= {kind: len(values) for kind, values in seen.secrets.items()}.items()
    assert b"mia" in seen.texts["database, accounts are connected"]
    assert b"EXECUTE" in seen.texts["sessions, all is done"]
    assert b'"message":"call"' in seen.texts["logs"]
    for child in seen.server.children():
        assert " ".join(child.cmdline()).encode() in seen.texts["processes, all is done"]
        assert child.environ()["HITCHPOST_ENCRYPTION_KEYS"] == ENCRYPTION_KEY


# Where somebody could have left one, and in which form.
LEFT = [
    "UPDATE social_account SET metadata = jsonb_build_object('token', %s)",
    "UPDATE social_account SET display_name = 'x' || %s",
    "UPDATE social_account SET scopes = ARRAY[%s]",
    "UPDATE api_key SET hash = convert_to(%s, 'UTF8')",
    "UPDATE project SET name = encode(convert_to(%s, 'UTF8'), 'hex')",
    "UPDATE project SET name = 'xy' || encode(convert_to('.' || %s, 'UTF8'), 'base64')",
]


def test_a_secret_that_is_stored_in_clear_text_is_found(seen: Seen) -> None:
    with closing(local_channel(seen.server.address)) as channel:
        seen.server.new_client(channel).connect()
    for number, update in enumerate(LEFT):
        value = secret() + "-and-long-enough-for-base64"
        seen.secrets = {"planted": {value}}
        rows(seen.database_url, update, value)
        seen.texts = {f"{number}": b"\n".join(v.stored for v in dump(partial(rows, seen.database_url)))}
        assert seen.leaks() == [(f"{number}", "planted")], update
