"""What hostile clients do. Each function runs in a process of its own and ends after `seconds` or so.

They take an address and an API key, or "" for none, and return how many calls ended in which way.
"""

import time
from collections import Counter
from collections.abc import Iterable

from generated.hitchpost.v1.social_account_service_pb2 import GetSocialAccountRequest
from generated.hitchpost.v1.social_post_service_pb2 import ListSocialPostsRequest
from tests.storms.http2 import Connection, Metadata, message

GET = "/hitchpost.v1.SocialAccountService/GetSocialAccount"
LIST_POSTS = "/hitchpost.v1.SocialPostService/ListSocialPosts"
# A hostile client that may open few calls on a connection opens more connections.
MAX_CONNECTIONS = 300
HELD_SECONDS = 3.0


def headers_only(address: str, key: str, calls: int, seconds: float = 30.0) -> Counter[str]:
    """Opens calls and never sends a message."""
    return half_sent(address, key, calls, b"", seconds)


def half_sent(address: str, key: str, calls: int, part: bytes, seconds: float = 30.0) -> Counter[str]:
    """Opens calls and sends a part of a message on each, as far as the server's windows permit."""
    deadline = time.monotonic() + seconds
    connections: list[Connection] = []
    left: dict[tuple[int, int], bytes] = {}
    try:
        opened = 0
        while opened < calls and time.monotonic() < deadline and len(connections) < MAX_CONNECTIONS:
            number = len(connections)
            try:
                connections.append(connection := _connect(address))
            except OSError:
                # It takes no more of them, which is its right.
                break
            while connection.room > 0 and opened < calls:
                for _ in range(min(connection.room, calls - opened)):
                    left[number, connection.open(GET, authorization(key))] = part
                    opened += 1
                connection.poll()
        while any(left.values()) and time.monotonic() < deadline:
            _send_more(connections, left)
        _hold(connections, HELD_SECONDS)
        return _statuses(connections)
    finally:
        close(connections)


def _send_more(connections: list[Connection], left: dict[tuple[int, int], bytes]) -> None:
    moved = 0
    for (number, stream), rest in left.items():
        connection = connections[number]
        sent = len(rest) if connection.closed else connection.send(stream, rest)
        left[number, stream] = rest[sent:]
        moved += sent
    for connection in connections:
        connection.poll(0.0)
    if not moved:
        time.sleep(0.05)


def unread(address: str, key: str, calls: int, tag: bytes, seconds: float = 10.0) -> Counter[str]:
    """Asks for the posts with this tag on one connection, and reads no answer."""
    connection = _connect(address)
    try:
        request = ListSocialPostsRequest(external_ids=[tag.decode()]).SerializeToString()
        for _ in range(min(calls, connection.room)):
            stream = connection.open(LIST_POSTS, authorization(key))
            connection.send(stream, message(request), end=True)
        connection.flush()
        time.sleep(seconds)
        return Counter(opened=connection.opened)
    finally:
        close([connection])


def resets(address: str, key: str, calls: int, seconds: float = 60.0) -> Counter[str]:
    """Opens calls and resets each at once: every second one after its message, the others before."""
    deadline = time.monotonic() + seconds
    counted: Counter[str] = Counter()
    request = message(GetSocialAccountRequest(social_account_id="abc").SerializeToString())
    connection = _connect(address)
    try:
        while counted["reset"] < calls and time.monotonic() < deadline:
            # A connection that the server has ended, perhaps since it had enough, is followed by another.
            if connection.closed:
                connection = _connect(address)
            for number in range(min(50, connection.room)):
                stream = connection.open(GET, authorization(key))
                if number % 2:
                    connection.send(stream, request, end=True)
                connection.reset(stream)
                counted["reset"] += 1
            connection.poll()
        return counted
    finally:
        close([connection])


def authorization(key: str) -> Metadata:
    """The metadata that a call with this key has."""
    return [("authorization", f"Bearer {key}")] if key else []


def close(connections: Iterable[Connection]) -> None:
    """Closes all of them."""
    for connection in connections:
        connection.close()


def _connect(address: str) -> Connection:
    """A server that is busy may take a while."""
    for _ in range(3):
        try:
            return Connection(address)
        except OSError:
            time.sleep(0.5)
    return Connection(address)


def _hold(connections: list[Connection], seconds: float) -> None:
    """Keeps them open, and reads what comes."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for connection in connections:
            connection.poll()
        time.sleep(0.05)


def _statuses(connections: list[Connection]) -> Counter[str]:
    counted = Counter(status for connection in connections for status in connection.statuses.values())
    counted["open"] = sum(connection.opened for connection in connections) - counted.total()
    counted["connections"] = len(connections)
    return counted
