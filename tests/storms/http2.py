"""A raw HTTP/2 client that does what gRPC's own never would: half a message, no reading, resets."""

import select
import socket
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import ProtocolError

TIMEOUT = 10.0
# What a connection may have unsent before it is written to the socket.
BUFFERED = 256 * 1024
RESET = "reset"

Metadata = Sequence[tuple[str, str]]


def message(payload: bytes, length: int | None = None) -> bytes:
    """A gRPC message as it is sent; `length` says more than the payload has, for half of a message."""
    return b"\0" + (len(payload) if length is None else length).to_bytes(4, "big") + payload


class Connection:
    """One connection. `closed` is set when the server has ended it; nothing is sent from then on.

    `statuses` has for each ended call its grpc-status as text, or RESET.
    """

    def __init__(self, address: str) -> None:
        """Returns when the server has said what it permits. Raises OSError when it does not."""
        host, _, port = address.rpartition(":")
        self._authority = address
        self._socket = socket.create_connection((host, int(port)), TIMEOUT)
        self._http2 = H2Connection(H2Configuration(header_encoding="utf-8", validate_outbound_headers=False))
        self._http2.initiate_connection()
        self._unsent = 0
        self.closed = False
        self.opened = 0
        self.statuses: dict[int, str] = {}
        self._settled = False
        deadline = time.monotonic() + TIMEOUT
        while not (self._settled or self.closed) and time.monotonic() < deadline:
            self.poll(0.1)
        if not self._settled:
            self.close()
            raise OSError("the server did not say what it permits")

    @property
    def socket(self) -> socket.socket:
        """For select."""
        return self._socket

    @property
    def room(self) -> int:
        """How many more calls the server permits on this connection now."""
        permitted = self._http2.remote_settings.max_concurrent_streams
        return 0 if self.closed else int(permitted) - self._http2.open_outbound_streams

    def open(self, path: str, metadata: Metadata = ()) -> int:
        """Sends a call's headers and returns its stream."""
        stream = self._http2.get_next_available_stream_id()
        headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", self._authority),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            *metadata,
        ]
        self._http2.send_headers(stream, headers)
        self.opened += 1
        self._unsent += 100
        self._flush_some()
        return stream

    def send(self, stream: int, data: bytes, *, end: bool = False) -> int:
        """Sends as much as the server's windows permit now, and returns how much that was.

        A call that has ended takes nothing, and counts as sent.
        """
        try:
            permitted = min(len(data), self._http2.local_flow_control_window(stream))
            size = self._http2.max_outbound_frame_size
            for start in range(0, permitted, size):
                part = data[start : min(start + size, permitted)]
                self._http2.send_data(stream, part, end_stream=end and start + len(part) == len(data))
        except ProtocolError:
            return len(data)
        self._unsent += permitted
        self._flush_some()
        return permitted

    def reset(self, stream: int) -> None:
        """Sends RST_STREAM, as a client that cancels does."""
        with suppress(ProtocolError):
            self._http2.reset_stream(stream, error_code=8)
        self._unsent += 20
        self._flush_some()

    def flush(self) -> None:
        """Writes what has been sent to the socket."""
        self._unsent = 0
        data = self._http2.data_to_send()
        if not data or self.closed:
            return
        try:
            self._socket.sendall(data)
        except OSError:
            self.closed = True

    def poll(self, seconds: float = 0.0) -> None:
        """Reads what the server has sent, and waits at most this long for the first of it."""
        self.flush()
        while not self.closed and select.select([self._socket], [], [], seconds)[0]:
            seconds = 0.0
            try:
                received = self._socket.recv(65_536)
                self.closed = not received
                self._take(self._http2.receive_data(received))
            except (OSError, ProtocolError):
                self.closed = True
            self.flush()

    def close(self) -> None:
        """Closes the socket, without a word to the server."""
        self.closed = True
        self._socket.close()

    def _flush_some(self) -> None:
        if self._unsent > BUFFERED:
            self.flush()

    def _take(self, happened: Iterable[events.Event]) -> None:
        for event in happened:
            match event:
                case events.RemoteSettingsChanged():
                    self._settled = True
                case events.ResponseReceived() | events.TrailersReceived():
                    status = dict(event.headers).get("grpc-status")
                    if status is not None:
                        self.statuses[event.stream_id] = status
                case events.DataReceived():
                    self._http2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                case events.StreamReset():
                    self.statuses.setdefault(event.stream_id, RESET)
                case events.ConnectionTerminated():
                    self.closed = True
