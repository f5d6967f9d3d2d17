"""No token, key, code or verifier is in any response, error or log of the whole run. Comes last."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from server.base import logs
from server.base.vault import Vault
from tests.conftest import ENCRYPTION_KEY
from tests.kit.servers import LOG_FILES
from tests.kit.support import Client, import_request, recorder, secret, secrets_in

# Whatever a verifier stands in: it has at least so many of these characters and no others (RFC 7636, 4.1).
_LONG = re.compile(rb"[\w.~-]{43,}", re.ASCII)

Sql = Callable[..., list[tuple[Any, ...]]]


def said(log_file: Path) -> dict[str, bytes]:
    """Everything that servers of this run have said, by where."""
    logs = {str(path): path.read_bytes() for path in (log_file, *LOG_FILES) if path.exists()}
    return {"responses and errors": recorder.all(), **logs}


def verifiers(sql: Sql) -> list[bytes]:
    """Every PKCE verifier that an attempt of this run had."""
    vault = Vault(ENCRYPTION_KEY)
    return [vault.decrypt(row[0]).encode() for row in sql("SELECT code_verifier FROM auth_session")]


def any_of(used: list[bytes], text: bytes) -> bool:
    """Whether one of these verifiers is in the text, wherever in it."""
    # Most of a run's text is not worth a search for each of thousands.
    long = b"\n".join(_LONG.findall(text))
    return any(verifier in long for verifier in used)


def test_no_secret_is_ever_said(client: Client, sql: Sql, log_file: Path) -> None:
    client.connect()
    client("SocialAccountService/CreateAuthUrl", platform="PLATFORM_SANDBOX")
    logs.calls.flush()
    everything = said(log_file)
    assert all(everything.values()), "something that should have been recorded was not"
    assert b'"message":"call"' in everything[str(log_file)]
    assert not [(where, found) for where, text in everything.items() if (found := secrets_in(text))]
    used = verifiers(sql)
    assert used
    assert not [where for where, text in everything.items() if any_of(used, text)]


def test_what_a_leak_would_look_like(client: Client, log_file: Path) -> None:
    """The search above finds each kind of secret, so that its silence means something."""
    for token in ("sbx_at_" + "a" * 43, "sbx_rt_" + "a" * 43, "sbx_code_" + "a" * 43, secret()):
        assert secrets_in(f'{{"message": "{token}"}}'.encode()) == [token.encode()]
    assert client.key is not None
    start = client.key[:23]
    for key in (client.key, start, f"Bearer%20{client.key}", f"hp_hp_{client.key}"):
        assert secrets_in(f'{{"message": "{key}"}}'.encode()) == [start.encode()]


def test_a_verifier_is_found_wherever_it_is(sql: Sql, client: Client) -> None:
    client("SocialAccountService/CreateAuthUrl", platform="PLATFORM_SANDBOX")
    used = verifiers(sql)
    assert all(_LONG.fullmatch(verifier) for verifier in used)
    for text in (b'{"a":"%s"}', b"?code_verifier=%s&b", b"x%sx", b"%s"):
        assert any_of(used, text % used[0])
    assert not any_of(used, used[0][:42])


def test_a_random_text_is_no_key() -> None:
    assert not secrets_in(b'{"next_page_token": "XGUhp_OwCF-c2FfMDFNODVGTU4yTlk2UjNWTTJFMkc0SkRCTjg="}')


def test_tokens_are_stored_encrypted(client: Client, sql: Sql) -> None:
    request = import_request("42")
    client("SocialAccountService/ImportSocialAccount", request)
    columns = sql(
        """SELECT token.access_token, token.refresh_token, account::text FROM social_account_token token
        JOIN social_account account ON social_account_id = id WHERE account.project_id = %s""",
        client.project_id,
    )[0]
    stored = b"".join(bytes(column) for column in columns[:2]) + columns[2].encode()
    assert not secrets_in(stored)
    assert Vault(ENCRYPTION_KEY).decrypt(columns[0]) == request.access_token
    assert sql("SELECT count(*) FROM api_key WHERE api_key::text LIKE '%%hp\\_%%'") == [(0,)]
