"""A name server on loopback: real DNS, with records that a test makes up."""

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


@dataclass
class NameServer:
    """What it answers, by name; no other name exists. May be changed at any time."""

    address: str
    texts: dict[str, list[str]] = field(default_factory=dict)


@contextmanager
def name_server() -> Iterator[NameServer]:
    """Runs one until the end of the block."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        host, port = server.getsockname()
        names = NameServer(f"{host}:{port}")
        thread = threading.Thread(target=_answer, args=(server, names.texts))
        thread.start()
        try:
            yield names
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                last.sendto(b"", (host, port))
            thread.join()


def _answer(server: socket.socket, texts: Mapping[str, list[str]]) -> None:
    """Until an empty question comes."""
    while True:
        asked, address = server.recvfrom(4096)
        if not asked:
            return
        question = dns.message.from_wire(asked)
        answer = dns.message.make_response(question)
        answer.flags |= dns.flags.RA
        name = question.question[0].name
        records = texts.get(name.to_text(omit_final_dot=True))
        if records:
            quoted = [f'"{record}"' for record in records]
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", dns.rdatatype.TXT, *quoted))
        else:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        server.sendto(answer.to_wire(), address)
