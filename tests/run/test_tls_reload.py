"""TLS files that change while a server serves: taken without a restart, and without a failed call."""

import hashlib
import os
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.kit.certificates import Authority, Identity
from tests.kit.metrics import scraped
from tests.kit.servers import Server, eventually, hitchpost, local_channel, serving
from tests.kit.support import Client, code_of

AUTHORITY, OTHER = Authority("authority"), Authority("other authority")
# What a client must not make up for by itself.
OPTIONS = [("grpc.enable_retries", 0)]
# A change is to be served within 30 s; the test takes longer on a machine that has much else to do.
SERVED_SECONDS = 90.0
USELESS = "new TLS files are of no use; the old ones are served"
CERT, KEY, CLIENT_CA = "tls.crt", "tls.key", "ca.crt"


def replace(path: Path, content: bytes) -> None:
    """As a careful program writes a file: there is always a whole one."""
    new = path.with_name(path.name + ".new")
    new.write_bytes(content)
    new.replace(path)


def mount(folder: Path, identity: Identity) -> None:
    """As Kubernetes writes a secret: links to a link to a folder, which is replaced at once."""
    version = folder / f"..{hashlib.sha256(identity.certificate).hexdigest()[:10]}"
    version.mkdir(parents=True)
    (version / CERT).write_bytes(identity.certificate)
    (version / KEY).write_bytes(identity.key)
    (folder / "..data_tmp").symlink_to(version.name)
    (folder / "..data_tmp").replace(folder / "..data")
    for name in (CERT, KEY):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")


def shown(server: Server) -> bytes:
    """The certificate that a new connection is shown, as PEM."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    host, port = server.address.split(":")
    with (
        socket.create_connection((host, int(port)), timeout=30) as plain,
        context.wrap_socket(plain) as connection,
    ):
        certificate = connection.getpeercert(binary_form=True)
    assert certificate is not None
    return x509.load_der_x509_certificate(certificate).public_bytes(Encoding.PEM)


def wait_shown(server: Server, identity: Identity) -> float:
    """Until every worker shows this certificate: the kernel chooses one for each connection. The seconds."""
    began = time.monotonic()
    eventually(
        "the new certificate is served by all",
        lambda: all(shown(server) == identity.certificate for _ in range(12)),
        SERVED_SECONDS,
        every=0.25,
    )
    return time.monotonic() - began


def complaints(server: Server) -> list[str]:
    """What the log says of new files that are of no use."""
    return [line["cause"] for line in server.logged(message=USELESS)]


@contextmanager
def load(server: Server, client: Client, credentials: grpc.ChannelCredentials) -> Iterator[Counter[str]]:
    """Calls on connections that there are and on new ones, all the time; counts how they end."""
    ends: Counter[str] = Counter()
    lock, stop = threading.Lock(), threading.Event()

    def call(channel: grpc.Channel, kind: str) -> None:
        code = code_of(lambda: Client(channel, client.key)("SocialAccountService/ListSocialAccounts"))
        with lock:
            ends[f"{kind} {code}"] += 1

    def run() -> None:
        with closing(local_channel(server.address, credentials, OPTIONS)) as kept:
            while not stop.is_set():
                call(kept, "kept")
                with closing(local_channel(server.address, credentials, OPTIONS)) as new:
                    call(new, "new")

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        eventually("calls are running", lambda: ends["kept OK"] > 20 and ends["new OK"] > 20)
        yield ends
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("loop", ["own", "grpc"])
def test_certificates_are_swapped_under_load_and_no_call_fails(
    loop: str, run_dir: Path, tmp_path: Path, new_database: Callable[[], str]
) -> None:
    trusted = grpc.ssl_channel_credentials(AUTHORITY.certificate + OTHER.certificate)
    first, mounted, second, third = [
        (AUTHORITY if number % 2 else OTHER).identity(f"number {number}", valid=timedelta(days=number + 1))
        for number in range(4)
    ]
    mount(tmp_path, first)
    files = {"tls_cert": str(tmp_path / CERT), "tls_key": str(tmp_path / KEY)}
    with serving(
        run_dir, new_database(), workers="2", call_loop=loop, log_level="WARNING", **files
    ) as server:
        with closing(local_channel(server.address, trusted)) as channel:
            client = server.new_client(channel)
        wait_shown(server, first)
        with load(server, client, trusted) as ends:
            mount(tmp_path, mounted)
            seconds = [wait_shown(server, mounted)]
            assert complaints(server) == []
            swap_in_turn(server, (CERT, second.certificate), (KEY, second.key), tmp_path)
            seconds.append(wait_shown(server, second))
            swap_in_turn(server, (KEY, third.key), (CERT, third.certificate), tmp_path)
            seconds.append(wait_shown(server, third))
            eventually("metrics have its end", lambda: metric(server) == end_of(third), SERVED_SECONDS)
            before = ends["new OK"]
            eventually("calls go on", lambda: ends["new OK"] > before + 20)
        after = ", ".join(f"{each:.0f}" for each in seconds)
        print(f"\nTLS swapped under load, {loop} loop: served after {after} s; {dict(ends)}")
        assert set(ends) == {"kept OK", "new OK"}
        assert not any(line in server.log.read_bytes() for line in secret_lines(first, second, third))


def metric(server: Server) -> float:
    """When the certificate ends that is served, by the server's metrics."""
    said = scraped(server.settings["web_address"])
    return said.value("tls_certificate_expiry_seconds", file="certificate")


def end_of(identity: Identity) -> float:
    """The same by the certificate."""
    return x509.load_pem_x509_certificate(identity.certificate).not_valid_after_utc.timestamp()


def swap_in_turn(server: Server, one: tuple[str, bytes], other: tuple[str, bytes], folder: Path) -> None:
    """Replaces one file, and the other only when both workers have noticed that they are no pair."""
    said, before = len(complaints(server)), shown(server)
    replace(folder / one[0], one[1])
    eventually("both workers complain", lambda: len(complaints(server)) == said + 2)
    assert "does not belong to the certificate" in complaints(server)[-1]
    assert shown(server) == before
    replace(folder / other[0], other[1])


def secret_lines(*identities: Identity) -> list[bytes]:
    """The lines of private keys."""
    return [line for identity in identities for line in identity.key.splitlines()[1:-1]]


@pytest.fixture
def mutual(run_dir: Path, tmp_path: Path, new_database: Callable[[], str]) -> Iterator[Server]:
    """A server of one worker, whose clients need a certificate of AUTHORITY."""
    mount(tmp_path, AUTHORITY.identity("server"))
    (tmp_path / CLIENT_CA).write_bytes(AUTHORITY.certificate)
    files = {"tls_cert": CERT, "tls_key": KEY, "tls_client_ca": CLIENT_CA}
    settings = {setting: str(tmp_path / name) for setting, name in files.items()}
    with serving(run_dir, new_database(), **settings) as server:
        yield server


def channel_of(server: Server, identity: Identity) -> grpc.Channel:
    """A new connection of a client that has this certificate."""
    credentials = grpc.ssl_channel_credentials(AUTHORITY.certificate, identity.key, identity.certificate)
    return local_channel(server.address, credentials, OPTIONS)


def test_a_client_ca_is_replaced_and_holds_for_new_connections(mutual: Server, tmp_path: Path) -> None:
    theirs, others = AUTHORITY.identity("client"), OTHER.identity("client")
    with ExitStack() as open_things:
        kept = open_things.enter_context(closing(channel_of(mutual, theirs)))
        client = mutual.new_client(kept)

        def code(channel: grpc.Channel) -> str:
            return code_of(lambda: Client(channel, client.key)("SocialAccountService/ListSocialAccounts"))

        def new(identity: Identity) -> str:
            with closing(channel_of(mutual, identity)) as channel:
                return code(channel)

        assert (code(kept), new(theirs), new(others)) == ("OK", "OK", "UNAVAILABLE")
        replace(tmp_path / CLIENT_CA, OTHER.certificate)
        eventually("the new CA holds", lambda: new(others) == "OK", SERVED_SECONDS)
        assert (code(kept), new(theirs), new(others)) == ("OK", "UNAVAILABLE", "OK")
        replace(tmp_path / CLIENT_CA, b"half a CA")
        [said] = eventually("the log says what is wrong", lambda: complaints(mutual))
        assert said.startswith(f"HITCHPOST_TLS_CLIENT_CA: {tmp_path / CLIENT_CA} holds no certificate")
        assert (code(kept), new(theirs), new(others)) == ("OK", "UNAVAILABLE", "OK")
        doctor = hitchpost("doctor", **mutual.settings)
        assert f"FAIL  TLS: {said}" in doctor.stdout.splitlines()
        replace(tmp_path / CLIENT_CA, AUTHORITY.certificate + OTHER.certificate)
        eventually("both CAs hold", lambda: new(theirs) == "OK", SERVED_SECONDS)
        assert (new(others), complaints(mutual)) == ("OK", [said])


def test_a_worker_that_is_started_anew_serves_with_the_new_files(mutual: Server, tmp_path: Path) -> None:
    """Also while they are of no use to those that serve with the old ones: it tries until they are mended."""
    before, after = AUTHORITY.identity("before"), AUTHORITY.identity("after")
    mount(tmp_path, before)
    wait_shown(mutual, before)
    replace(tmp_path / KEY, after.key)
    eventually("the log says what is wrong", lambda: complaints(mutual))
    [worker] = [child for child in mutual.children() if "grpc" in child.cmdline()]
    worker.kill()
    eventually("it can't start", lambda: "hitchpost: HITCHPOST_TLS_KEY: " in mutual.log.read_text())
    replace(tmp_path / CERT, after.certificate)

    def served() -> bool:
        try:
            return shown(mutual) == after.certificate
        except OSError:
            return False

    eventually("the new worker serves", served, SERVED_SECONDS)
    with closing(channel_of(mutual, AUTHORITY.identity("client"))) as channel:
        mutual.new_client(channel)("SocialAccountService/ListSocialAccounts")
    assert os.path.realpath(tmp_path / KEY) == str(tmp_path / KEY)
