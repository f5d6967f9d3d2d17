"""Clients that ask for long pages and read nothing: what a worker keeps for them is bounded."""

import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from tests.kit.servers import Server, eventually, local_channel, rows, serving
from tests.kit.support import Client

READERS, POSTS, POST_BYTES = 6, 52, 1_000_000
ORDINARY_SECONDS = 10
# HTTP/2: kinds of frames, and their flags.
DATA, HEADERS, SETTINGS = 0, 1, 4
END_STREAM, END_HEADERS = 1, 4
LIST = "/hitchpost.v1.SocialPostService/ListSocialPosts"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """RFC 9113, 4.1."""
    return len(payload).to_bytes(3) + struct.pack("!BBI", kind, flags, stream) + payload


def header(name: str, value: str) -> bytes:
    """RFC 7541, 6.2.2: a field with a new name, not indexed; its texts are shorter than 127 bytes."""
    return b"\0" + b"".join(bytes([len(text)]) + text.encode() for text in (name, value))


@contextmanager
def asking(address: str, client: Client) -> Iterator[socket.socket]:
    """A connection that asks for a page. Whoever has it may read what comes, or not."""
    host, _, port = address.partition(":")
    fields = {":method": "POST", ":scheme": "http", ":path": LIST, ":authority": address}
    fields |= {"te": "trailers", "content-type": "application/grpc", "authorization": f"Bearer {client.key}"}
    request = b"".join(header(name, value) for name, value in fields.items())
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            + frame(SETTINGS, 0, 0)
            + frame(HEADERS, END_HEADERS, 1, request)
            + frame(DATA, END_STREAM, 1, b"\0" * 5)
        )
        yield connection


def resident(pid: int) -> float:
    """In megabytes."""
    return float(psutil.Process(pid).memory_info().rss / 1e6)


def ordinary(client: Client, seconds: float) -> None:
    """Calls as there are at any time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        client("SocialAccountService/ListSocialAccounts")


def filled(server: Server, client: Client) -> None:
    """52 MB of posts."""
    account = client.connect().id
    for _ in range(POSTS):
        client.draft(account)
    rows(server.settings["database_url"], "UPDATE social_post SET caption = repeat('x', %s)", POST_BYTES)


def served(server: Server) -> int:
    """How many pages were answered."""
    return len(server.logged(message="call", method="SocialPostService/ListSocialPosts", code="OK"))


def test_readers_that_do_not_read_a_list_of_52_megabytes(
    run_dir: Path, new_database: Callable[[], str]
) -> None:
    with serving(run_dir, new_database()) as server, local_channel(server.address) as channel:
        client = server.new_client(channel)
        filled(server, client)
        pid = server.worker_of(channel)
        ordinary(client, ORDINARY_SECONDS)
        before = resident(pid)
        with ExitStack() as readers:
            for _ in range(READERS):
                readers.enter_context(asking(server.address, client))
            eventually("all are answered", lambda: served(server) == READERS, seconds=90)
            during = resident(pid)
        ordinary(client, ORDINARY_SECONDS)
        after = resident(pid)
        print(f"a worker's memory: {before:.0f} MB, {during:.0f} while nobody reads, {after:.0f} after")
        assert during < before + READERS * 15
        assert after < 1.3 * before
