"""Valid requests of every rule of REST, changed in a way that a seed repeats, and what is answered to them.

`flood` runs in a process of its own.
"""

import json
import random
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote, urlencode

from tests.kit.rest import RULES, transcoded
from tests.kit.support import MESSAGES, Client
from tests.kit.valid_requests import Write, valid_fields
from tests.storms.http1 import Reader
from tests.storms.mutations import mutated

# One in so many has a text of this size.
HUGE_EVERY, HUGE = 2_000, 1_000_000
# One in so many is left by its client, somewhere in the middle.
LEFT_EVERY = 100
VERBS = ("GET", "HEAD", "POST", "PATCH", "DELETE", "PUT", "OPTIONS", "TRACE", "CONNECT", "get", "X!")
PATHS = (
    *("/v1/", "/v1//", "/v1/.", "/v1/../v1/social-posts", "/v1/%2e%2e/healthz", "/v1/social-posts/%00"),
    *(
        "/v1/social-posts/%0a",
        "/v1/social-posts/%ff",
        "/v1/social-posts/%2F",
        "/v1/social-posts/%",
        "/v1/%zz",
    ),
    *(
        "/v1/social-posts/;a=b",
        "/v1/social-posts/" + "a" * 8_000,
        "/v1/social-accounts/" + "%F0%9F%98%80" * 99,
    ),
    *("/v1/social-posts#a", "/v1/\\social-posts", "/v1/social-accounts//transfer", "/v1" + "/a" * 2_000),
)
# JSON, mostly wrong wherever it is put.
VALUES = (
    *("null", "true", "[]", "{}", '""', '"a"', "0", "-1", "1.5", "1e5", "1e999", "-1e999", "NaN", "Infinity"),
    *(
        "9" * 4_301,
        "1" + "0" * 400,
        '"1e999"',
        '"-1"',
        '"\\ud800"',
        '"\\udfff\\ud800"',
        '"\\u0000"',
        "[null]",
    ),
    *('{"":null}', '{"a":{"a":{}}}', '{"\\ud800":1}', '[[[["a"]]]]', '"PLATFORM_SANDBOX"', '"PLATFORM_NONE"'),
    *(
        '"2030-01-31T12:00:00Z"',
        '"0000-00-00T00:00:00Z"',
        '"9999-12-31T23:59:59-23:59"',
        '"2030-01-31T12:00:00+9:9"',
    ),
    *(
        "[" * 900 + "]" * 900,
        '{"a":' * 900 + "1" + "}" * 900,
        "[" * 5_000,
        '{"a":1,"a":2}',
        "\x00",
        "'a'",
        "\ufeff",
    ),
    *(
        '{"x at A.b":"\\ud800"}',
        '"a at B.c"',
        '[{"url":1e999}]',
        '{"[a.b]":1}',
        '{"@type":"a"}',
        "2147483648",
    ),
)
PARAMETERS = (
    *(
        "",
        "=",
        "&",
        "&&&",
        "a",
        "=a",
        "page_size",
        "page_size=1e5",
        "page_size=99999999999",
        "state=%00",
        "%ff=a",
    ),
    *(
        "external_id=%ED%A0%80",
        "external_id=",
        "external_ids=a&external_id=a",
        "page_token=" + "a" * 3_000,
        "%",
    ),
    *(
        "state=1&" * 6_000,
        "external_id=" + "a" * 60_000,
        "update_mask=*",
        "update_mask=a.b.c,,",
        "update_mask=%2C",
    ),
    *(
        "scheduled_after=2030-01-31T12:00:00Z",
        "platform=PLATFORM_X",
        "page_size=%2B1",
        "page_size=1&page_size=1",
    ),
)
HEADERS = (
    *(
        "X-External-Id: ",
        "X-External-Id: \xff",
        "X-External-Id: a\x01",
        "X-External-Id-Bin: ?",
        "X-External-Id: alice",
    ),
    *(
        "X-External-Id-Bin: gA",
        "If-Match: *",
        'If-Match: "1"',
        'If-Match: W/"1"',
        'If-Match: "' + "a" * 9_000 + '"',
    ),
    *(
        "Idempotency-Key: ",
        "Idempotency-Key: a\xe4",
        "Idempotency-Key: " + "k" * 9_000,
        "Authorization: Basic a",
    ),
    *(
        "Authorization: Bearer hp_wrong",
        "Accept: text/html",
        "Accept: ,;q=0,",
        "Accept: */*;q=0.0",
        "Cookie: a=b",
    ),
    *(
        "Content-Type: text/plain",
        "Content-Encoding: gzip",
        "Expect: 100-continue",
        "Expect: x",
        "Host: [",
        "Upgrade: h2c",
    ),
    *(
        "Connection: close",
        "Connection: upgrade",
        "X-Request-Id: \x7f",
        "X-Forwarded-For: a",
        "Range: bytes=0-1",
    ),
    *(
        "X: " + "a" * 15_000,
        "Accept: " + "a/b," * 3_000,
        "Origin: null",
        "TE: trailers",
        "\x00: a",
        "A\x00: b",
        "A: b\r",
    ),
)
_HEAD = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_PARSER = b"Invalid HTTP request received."


class Valid(NamedTuple):
    """A request as it should be."""

    verb: str
    path: str
    query: str
    body: str | None


def valid_requests(client: Client, write: Write) -> list[Valid]:
    """One for every rule."""
    requests = []
    for method, fields in valid_fields(client, write).items():
        descriptor = MESSAGES[method]
        message = descriptor.input_type._concrete_class(**fields)
        rule = RULES[f"/{descriptor.containing_service.full_name}/{descriptor.name}"]
        verb, path, query, body = transcoded(rule, message)
        requests.append(Valid(verb, path, urlencode(query), None if body is None else json.dumps(body)))
    assert len(requests) == len(RULES)
    return requests


class Fuzz:
    """Makes requests."""

    def __init__(self, seed: int, key: str, valid: Sequence[Valid]) -> None:
        self._chance = random.Random(seed)
        self._key = key
        self._valid = valid
        self._bodies = [one.body.encode() for one in valid if one.body]

    def request(self) -> bytes:
        """The next one: a valid one with a change, or a few."""
        chance = self._chance
        one = chance.choice(self._valid)
        changes = set(chance.choices(_CHANGES, k=chance.choice((1, 1, 1, 2, 3))))
        verb = chance.choice(VERBS) if "verb" in changes else one.verb
        path = self._path(one.path) if "path" in changes else one.path
        query = self._query(one.query) if "query" in changes else one.query
        body = self._body(one.body or "{}", changes) if one.body or "body" in changes else b""
        lines = ["Host: localhost", f"Authorization: Bearer {self._key}"]
        if "header" in changes:
            lines = chance.sample([*lines, *chance.choices(HEADERS, k=2)], k=chance.choice((3, 4, 4)))
        target = f"{path}?{query}" if query else path
        return self._framed(f"{verb} {target} HTTP/1.1", lines, body)

    def _framed(self, first: str, lines: list[str], body: bytes) -> bytes:
        if body and not any(line.startswith("Content-Type") for line in lines):
            lines = [*lines, "Content-Type: application/json"]
        if body and self._chance.random() < 0.1:
            lines, body = [*lines, "Transfer-Encoding: chunked"], b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        elif body:
            lines = [*lines, f"Content-Length: {len(body)}"]
        return "\r\n".join((first, *lines, "", "")).encode("latin-1") + body

    def _path(self, path: str) -> str:
        if self._chance.random() < 0.5:
            return self._chance.choice(PATHS)
        at = self._chance.randrange(4, len(path) + 1)
        wrong = quote(self._chance.randbytes(self._chance.randrange(1, 5)))
        return (
            path[:at] + self._chance.choice((wrong, "/", ".", "%2f", "%C0%AF", "%00", "@", ":")) + path[at:]
        )

    def _query(self, query: str) -> str:
        parts = [*query.split("&"), *self._chance.choices(PARAMETERS, k=self._chance.choice((1, 1, 2)))]
        return "&".join(self._chance.sample(parts, k=self._chance.randrange(1, len(parts) + 1)))

    def _body(self, body: str, changes: set[str]) -> bytes:
        if "bytes" in changes:
            return mutated(self._chance, body.encode(), self._bodies)
        if "body" not in changes:
            return body.encode()
        if self._chance.randrange(HUGE_EVERY) == 0:
            return body.replace('": "', '": "' + "x" * HUGE, 1).encode()
        return self._with_a_wrong_value(body).encode(errors="surrogatepass")

    def _with_a_wrong_value(self, body: str) -> str:
        """In place of one of its values, or of all."""
        value = self._chance.choice(VALUES)
        values = list(_VALUE.finditer(body))
        if not values or self._chance.random() < 0.05:
            return value
        replaced = self._chance.choice(values)
        return body[: replaced.start(1)] + value + body[replaced.end(1) :]


_CHANGES = ("verb", "path", "query", "header", "body", "body", "body", "body", "bytes", "bytes")
# After a name, or in a list: a text, a number, the beginning of a list or an object.
_VALUE = re.compile(r'(?:": |\[|, )("[^"]*"|[\d.]+|\[[^\[\]]*\]|\{[^{}]*\})')


def flood(address: str, key: str, valid: Sequence[Valid], seed: int, count: int) -> Counter[str]:
    """Sends so many, each after the answer to the one before; counts what is answered."""
    fuzz, counted = Fuzz(seed, key, valid), Counter[str]()
    client = Reader(address)
    for number in range(count):
        request = fuzz.request()
        if number % LEFT_EVERY == 0:
            client.leave(request[: number % len(request) + 1])
            counted["left"] += 1
            continue
        counted[judged(request, client.ask(request))] += 1
    client.close()
    return counted


def judged(request: bytes, answer: bytes) -> str:
    """What kind of answer it is; one that there must not be begins with WRONG and has the request."""
    status = _HEAD.match(answer)
    if status is None:
        return f"WRONG: none to {request[:400]!r}"
    code = int(status[1])
    if b"content-type: application/problem+json\r\n" in answer:
        right = code < 500 or (code == 503 and (request.startswith(b"HEAD ") or b"_OVERLOADED" in answer))
    else:
        right = code < 400 or (code == 400 and _PARSER in answer)
    return str(code) if right else f"WRONG: {answer[:300]!r} to {request[:400]!r}"
