"""Requests of which two readers of HTTP could disagree where they end, with another one hidden inside."""

import json
import re
from dataclasses import dataclass

from tests.kit.raw_http import connect, rest

CHUNKED = b"Transfer-Encoding: chunked"
NOT_ALL = b"Content-Length: 100000"
TOO_MUCH = b"Content-Length: 99999999"
# Each way to hide a request, and the statuses that are answered.
Cases = dict[str, tuple[bytes, list[int]]]

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


def answers(address: str, sent: bytes) -> list[int]:
    """The statuses of all answers until the server ends the connection."""
    with connect(address) as connection:
        connection.sendall(sent)
        return [int(status) for status in _STATUS.findall(rest(connection))]


def import_request(key: str, profile: str, token: str) -> bytes:
    """A request whose traces can be found: it makes an account."""
    account = {"platform": "PLATFORM_SANDBOX", "platform_user_id": profile, "access_token": token}
    body = json.dumps(account).encode()
    return Outer(key).request(b"Content-Length: %d" % len(body), body=body, path=b"/v1/social-accounts")


@dataclass(frozen=True)
class Outer:
    """Makes requests with a key of their own. All are refused, so that a 200 is another one's."""

    key: str

    def request(
        self,
        *lines: bytes,
        body: bytes = b"",
        path: bytes = b"/v1/social-posts",
        verb: bytes = b"POST",
        version: bytes = b"HTTP/1.1",
        authorized: bool = True,
    ) -> bytes:
        """With these lines beside those that are always there."""
        always = [b"Host: localhost", b"Content-Type: application/json"]
        key = [b"Authorization: Bearer " + self.key.encode()] if authorized else []
        return b"\r\n".join([b" ".join((verb, path, version)), *always, *key, *lines, b"", body])

    def hiding(self, hidden: bytes) -> Cases:
        """All of them, for this one."""
        return {
            **self._two_lengths(hidden),
            **self._wrong_lengths(hidden),
            **self._wrong_chunks(hidden),
            **self._wrong_encodings(hidden),
            **self._wrong_headers(hidden),
            **self._in_bodies(hidden),
        }

    def _two_lengths(self, hidden: bytes) -> Cases:
        ended = b"0\r\n\r\n" + hidden
        length = b"Content-Length: %d" % len(ended)
        return {
            "both, chunks end first": (self.request(length, CHUNKED, body=ended), [400]),
            "both, the other way round": (self.request(CHUNKED, length, body=ended), [400]),
            "both, the length ends first": (
                self.request(CHUNKED, b"Content-Length: 4", body=chunked(hidden)),
                [400],
            ),
            "both, in other letters": (
                self.request(length, b"TRANSFER-ENCODING: CHUNKED", body=ended),
                [400],
            ),
            "both, one folded": (self.request(length, b"Transfer-Encoding:\r\n chunked", body=ended), [400]),
            "both, by HTTP/1.0": (self.request(length, CHUNKED, body=ended, version=b"HTTP/1.0"), [400]),
            "two lengths": (
                self.request(
                    b"Content-Length: 2", b"Content-Length: %d" % (2 + len(hidden)), body=b"{}" + hidden
                ),
                [400],
            ),
            "two lengths in a line": (self.request(b"Content-Length: 2, 3", body=b"{}" + hidden), [400]),
        }

    def _wrong_lengths(self, hidden: bytes) -> Cases:
        wrong = (b"+2", b"-2", b"0x2", b"2 2", b"", b"2;", b"2.0", b"\xb2", b"1e1", b"9" * 5_000)
        return {
            f"length {value[:9]!r}": (self.request(b"Content-Length: " + value, body=b"{}" + hidden), [400])
            for value in wrong
        } | {
            "a length that lies": (self.request(NOT_ALL, body=hidden), [408]),
            "a length that is too large": (self.request(TOO_MUCH, body=hidden), [413]),
        }

    def _wrong_chunks(self, hidden: bytes) -> Cases:
        sizes = (b"zz", b"-2", b"+2", b"0x2", b" 2", b"2;\n", b"2" * 21, b"", b"2\r", b"1_0", b"\xb2", b"2,2")
        return {
            f"chunk of {size[:9]!r}": (
                self.request(CHUNKED, body=size + b"\r\n{}\r\n0\r\n\r\n" + hidden),
                [400],
            )
            for size in sizes
        } | {
            "chunks by bare LF": (self.request(CHUNKED, body=b"2\n{}\n0\n\n" + hidden), [400]),
            "a chunk that is longer": (self.request(CHUNKED, body=b"2\r\n{}x\r\n0\r\n\r\n" + hidden), [400]),
            "a chunk's extension": (
                self.request(CHUNKED, body=b"%x;a=b\r\n" % len(hidden) + hidden + b"\r\n0\r\n\r\n"),
                [400],
            ),
            "a trailer": (
                self.request(CHUNKED, body=b"2\r\n{}\r\n0\r\nContent-Length: %d\r\n\r\n" % len(hidden)),
                [400],
            ),
        }

    def _wrong_encodings(self, hidden: bytes) -> Cases:
        ended = b"0\r\n\r\n" + hidden
        wrong = (
            b"chunked, identity",
            b"identity, chunked",
            b"identity",
            b"xchunked",
            b"chunked, chunked",
            b"gzip, chunked",
            b"\x0bchunked",
            b'"chunked"',
            b"chunked;q=1",
            b"",
        )
        return {
            f"encoding {value!r}": (self.request(b"Transfer-Encoding: " + value, body=ended), [400])
            for value in wrong
        } | {
            "two encodings": (self.request(CHUNKED, b"Transfer-Encoding: identity", body=ended), [400]),
            "chunks by HTTP/1.0": (self.request(CHUNKED, body=ended, version=b"HTTP/1.0"), [400]),
        }

    def _wrong_headers(self, hidden: bytes) -> Cases:
        length = b"Content-Length: %d" % len(hidden)
        wrong = {
            "a folded header": b"X-A: b\r\n c",
            "NUL in a value": b"X-A: b\0c",
            "CR in a value": b"X-A: b\rc",
            "a space in a name": b"X A: b",
            "a space after a name": b"X-A : b",
            "no name": b": b",
            "no colon": b"X-A",
            "two hosts": b"Host: other",
            "LF instead of CRLF": b"X-A: b\nX-B: c",
        }
        return {name: (self.request(line, length, body=hidden), [400]) for name, line in wrong.items()} | {
            "a length after a bare LF": (self.request(b"X-A: b\n" + length, body=hidden), [400]),
            "a length after a bare CR": (self.request(b"X-A: b\r" + length, body=hidden), [400]),
            "a length whose name has a space": (
                self.request(b"Content-Length : %d" % len(hidden), body=hidden),
                [400],
            ),
            "a fold first": (self.request(length, body=hidden).replace(b"Host:", b" Host:", 1), [400]),
            "bare LF everywhere": (
                self.request(length).replace(b"\r\n", b"\n") + hidden,
                [400],
            ),
        }

    def _in_bodies(self, hidden: bytes) -> Cases:
        length = b"Content-Length: %d" % len(hidden)
        here = {
            "in a body": (b"POST", b"/v1/social-posts", 400),
            "in a GET's": (b"GET", b"/v1/social-posts", 400),
            "in a HEAD's": (b"HEAD", b"/v1/social-posts", 400),
            "in a DELETE's": (b"DELETE", b"/v1/social-posts/sp_x", 400),
            "in one for no path": (b"POST", b"/v1/nothing", 404),
            "in one for another verb": (b"PUT", b"/v1/social-posts", 405),
            "in a CONNECT's": (b"CONNECT", b"localhost:80", 404),
            "in one for an absolute address": (b"POST", b"http://localhost/v1/social-posts", 404),
            "in one for a star": (b"OPTIONS", b"*", 404),
            "in one for two slashes": (b"POST", b"//v1/social-posts", 404),
            "in one for no address": (b"POST", b"localhost", 404),
        }
        return {
            name: (self.request(length, body=hidden, verb=verb, path=path), [status])
            for name, (verb, path, status) in here.items()
        } | {
            "in a chunk": (self.request(CHUNKED, body=chunked(hidden)), [400]),
            "in a body without a key": (self.request(length, body=hidden, authorized=False), [401]),
            "in a body that was not asked for": (
                self.request(length, b"Expect: 100-continue", body=hidden + hidden, authorized=False),
                [401],
            ),
            "in an upgrade's": (
                self.request(length, b"Connection: upgrade", b"Upgrade: h2c", body=hidden),
                [400],
            ),
            "in a space in the path": (
                self.request(length, body=hidden, path=b"/v1/social-posts HTTP/1.1\r\nX-A: b"),
                [400],
            ),
        }


def chunked(body: bytes) -> bytes:
    """The body in one chunk."""
    return b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
