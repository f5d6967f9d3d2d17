"""Answers of platforms, spoiled in a way that a seed repeats: as JSON, as bytes, or as HTTP."""

import copy
import gzip
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

from tests.storms.scripted_platform import Reply

Json = Any
# Of an answer, about.
MOST_BYTES = 2_000_000
# Where a value is: what holds it, and its key or index there.
Place = tuple[Any, Any]
STRANGE: tuple[Json, ...] = (
    None,
    True,
    False,
    0,
    -1,
    2**31,
    10**30,
    -(10**18),
    1.5,
    1e308,
    "",
    " ",
    "0",
    "-5",
    "null",
    "1e999",
    "9" * 5000,
    "x" * 256,
    "x" * 200_000,
    "é" * 300,
    "\0",
    "a\0b",
    "\ud800",
    "\udfff\ud800",
    "\u202e\u2028",
    "a\r\nX-Header: b",
    "javascript:alert(1)",
    "http://[",
    "https://a.example/" + "x" * 4000,
    "{access_token}",
    "'; DROP TABLE social_account; --",
    [],
    {},
    [None],
    [[]],
    [{}],
    ["a", 1, None],
    {"error": "x"},
)


def places(value: Json) -> Iterator[Place]:
    """Everything that is somewhere in a value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, held in inside:
        yield value, key
        yield from places(held)


def _strange(chance: random.Random, place: Place) -> None:
    place[0][place[1]] = copy.deepcopy(chance.choice(STRANGE))


def _nested(chance: random.Random, place: Place) -> None:
    for _ in range(chance.choice((1, 20, 100))):
        place[0][place[1]] = chance.choice(([place[0][place[1]]], {"a": place[0][place[1]]}))


def _missing(_: random.Random, place: Place) -> None:
    del place[0][place[1]]


def _as_text(_: random.Random, place: Place) -> None:
    place[0][place[1]] = json.dumps(place[0][place[1]])


def _many(chance: random.Random, place: Place) -> None:
    """Copies, each by itself: a change in what they share would be one in all. Of what is large, few."""
    held = place[0][place[1]]
    most = MOST_BYTES // len(json.dumps(held)) + 1
    place[0][place[1]] = [copy.deepcopy(held) for _ in range(min(chance.choice((2, 100, 500)), most))]


def _error(chance: random.Random, place: Place) -> None:
    """Says no in some way of some platform."""
    name = chance.choice(("error", "code", "errors", "message", "success"))
    if isinstance(place[0], dict):
        place[0][name] = chance.choice(("invalid_grant", 190, 40105, {"code": 190}, "server_error", [], None))


VALUES = (_strange, _strange, _strange, _nested, _missing, _as_text, _many, _error)


def spoiled_value(chance: random.Random, value: Json) -> Json:
    """The value with something in it that should not be there, or all of it another one."""
    value = copy.deepcopy(value)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        found = list(places(value))
        if not found or chance.random() < 0.03:
            return copy.deepcopy(chance.choice(STRANGE))
        chance.choice(VALUES)(chance, chance.choice(found))
    return value


def _cut(chance: random.Random, body: bytes) -> bytes:
    return body[: chance.randrange(len(body) + 1)]


def _noise(chance: random.Random, body: bytes) -> bytes:
    at = chance.randrange(len(body) + 1)
    return body[:at] + chance.randbytes(chance.randrange(1, 40)) + body[at:]


def _twice(chance: random.Random, body: bytes) -> bytes:
    """Keys that come twice, the second time with another value."""
    more = json.dumps(chance.choice(STRANGE)).encode()
    names = ("access_token", "expires_in", "data", "id", "scope", "error", "code")
    return body.replace(b"{", b'{"%s":%s,' % (chance.choice(names).encode(), more), chance.randrange(1, 4))


def _other(chance: random.Random, body: bytes) -> bytes:
    text = body.decode()
    return chance.choice(
        (
            b"",
            b"null",
            b"NaN",
            b"[" * 100_000,
            b'{"a":' * 50_000,
            b"<!doctype html><title>502</title>",
            b"access_token=a&expires_in=5",
            b"\xef\xbb\xbf" + body,
            text.encode("utf-16"),
            text.encode("utf-32-be"),
            body + body,
            body + b"\0",
            body.replace(b'"', b"'"),
            body.replace(b":", b":-Infinity,"),
            b"9" * 10_000,
            b'"' + b"x" * 1_500_000 + b'"',
            b" " * 1_200_000 + body,
        )
    )


BODIES = (_cut, _cut, _noise, _twice, _other)
STATUSES = (
    *(100, 103, 199, 200, 201, 204, 205, 206, 226, 299, 300, 301, 302, 303, 304, 307, 308),
    *(400, 401, 402, 403, 404, 405, 408, 409, 410, 413, 418, 421, 422, 425, 429, 451, 499),
    *(500, 501, 502, 503, 504, 520, 599, 600, 999),
)
TYPES = (
    "application/json",
    "text/html",
    "text/plain; charset=utf-16",
    "application/json; charset=nonsense",
    "",
)
HEADERS = (
    "Content-Encoding: gzip",
    "Content-Encoding: gzip, gzip",
    "Content-Encoding: nonsense",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip",
    "Location: http://169.254.169.254/",
    "Set-Cookie: a=b",
    "Content-Length: 5",
    "Content-Length: -1",
    "No colon",
    "X-Long: " + "x" * 120_000,
    "X-Nul: a\0b",
    ": empty",
)


def reply(body: bytes, status: int = 200, kind: str = "application/json", *headers: str) -> Reply:
    """An answer, by the rules."""
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", "Connection: close", *headers]
    lines += [f"Content-Type: {kind}"] if kind else []
    return Reply("\r\n".join([*lines, "", ""]).encode("latin-1") + body)


def _other_status(chance: random.Random, body: bytes) -> Reply:
    return reply(body, chance.choice(STATUSES), chance.choice(TYPES))


def _other_header(chance: random.Random, body: bytes) -> Reply:
    return reply(body, 200, chance.choice(TYPES), chance.choice(HEADERS))


def _cut_off(chance: random.Random, body: bytes) -> Reply:
    raw = reply(body).raw
    return Reply(raw[: chance.randrange(len(raw))])


def _packed(chance: random.Random, body: bytes) -> Reply:
    packed = gzip.compress(chance.choice((body, bytes(30_000_000), body * 2)), 1)
    at = chance.choice((len(packed), chance.randrange(len(packed))))
    return reply(packed[:at], 200, "application/json", "Content-Encoding: gzip")


def _not_http(chance: random.Random, body: bytes) -> Reply:
    return Reply(
        chance.choice(
            (b"", b"\0" * 100, b"SSH-2.0-x\r\n", b"HTTP/9.9 200\r\n\r\n", b"HTTP/1.1 2\r\n\r\n", body)
        )
    )


WIRES: tuple[Callable[[random.Random, bytes], Reply], ...] = (
    _other_status,
    _other_status,
    _other_header,
    _cut_off,
    _packed,
    _not_http,
)


def spoiled(chance: random.Random, said: Json) -> Reply:
    """The answer spoiled in one of three ways."""
    way = chance.random()
    if way < 0.6:
        status = 200 if chance.random() < 0.85 else chance.choice(STATUSES)
        return reply(json.dumps(spoiled_value(chance, said)).encode(), status)
    body = json.dumps(said).encode()
    if way < 0.8:
        return reply(chance.choice(BODIES)(chance, body))
    return chance.choice(WIRES)(chance, body)
