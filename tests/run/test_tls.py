"""TLS files that are of no use are one clear line, at the start and in doctor."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from server.config import Settings
from server.run.tls import TlsUnusable, examine
from tests.kit.certificates import Authority, Identity
from tests.kit.servers import hitchpost, new_server, refused

DAY = timedelta(days=1)
CERT, KEY, CLIENT_CA = "HITCHPOST_TLS_CERT", "HITCHPOST_TLS_KEY", "HITCHPOST_TLS_CLIENT_CA"
AUTHORITY = Authority("authority")
SERVER = AUTHORITY.identity("server", valid=100 * DAY)
OTHER = AUTHORITY.identity("other")
GARBAGE = b"-----BEGIN CERTIFICATE-----\nZ2FyYmFnZQ==\n-----END CERTIFICATE-----\n"
GARBAGE_KEY = b"-----BEGIN PRIVATE KEY-----\nZ2FyYmFnZQ==\n-----END PRIVATE KEY-----\n"
UNUSUAL = ec.generate_private_key(ec.SECP256K1()).private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)
LONG = Authority("long", valid=1000 * DAY).certificate


def encrypted(identity: Identity) -> bytes:
    """The key with a passphrase."""
    key = serialization.load_pem_private_key(identity.key, password=None)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"passphrase"),
    )


@dataclass(frozen=True)
class Files:
    """The three files; without a client CA clients need no certificate."""

    cert: bytes = SERVER.certificate
    key: bytes = SERVER.key
    client_ca: bytes | None = None

    @classmethod
    def of(cls, identity: Identity) -> "Files":
        """A certificate and its key."""
        return cls(identity.certificate, identity.key)

    def write(self, folder: Path) -> dict[str, str]:
        """The settings that name them."""
        contents = {"tls_cert": self.cert, "tls_key": self.key, "tls_client_ca": self.client_ca}
        settings = {}
        for name, content in contents.items():
            if content is not None:
                path = folder / f"{name}.pem"
                path.write_bytes(content)
                settings[name] = str(path)
        return settings


expired = AUTHORITY.identity("expired", begin=-2 * DAY, valid=-DAY)
early = AUTHORITY.identity("early", begin=DAY, valid=2 * DAY)
expired_ca = Authority("expired", begin=-2 * DAY, valid=-DAY).certificate

UNUSABLE = {
    "empty certificate": (Files(cert=b"\n"), CERT, "tls_cert.pem is empty"),
    "no certificate": (Files(cert=b"hello"), CERT, "holds no certificate that can be read"),
    "broken certificate": (Files(cert=GARBAGE), CERT, "holds no certificate that can be read"),
    "broken chain": (Files(cert=SERVER.certificate + GARBAGE), CERT, "holds no certificate that can be read"),
    "key for certificate": (Files(cert=SERVER.key), CERT, "holds a private key, but no certificate"),
    "expired": (Files.of(expired), CERT, "expired on"),
    "expired chain": (Files(cert=SERVER.certificate + expired_ca), CERT, "certificate 2 of the chain in"),
    "too early": (Files.of(early), CERT, "is not valid before"),
    "chain in disorder": (Files(cert=LONG + SERVER.certificate), CERT, "must come first"),
    "empty key": (Files(key=b""), KEY, "tls_key.pem is empty"),
    "no key": (Files(key=b"hello"), KEY, "holds no private key that can be read"),
    "broken key": (Files(key=GARBAGE_KEY), KEY, "holds no private key that can be read"),
    "certificate for key": (Files(key=SERVER.certificate), KEY, "holds a certificate, but no private key"),
    "encrypted key": (Files(key=encrypted(SERVER)), KEY, "is encrypted with a passphrase"),
    "another's key": (Files(key=OTHER.key), KEY, "does not belong to the certificate in HITCHPOST_TLS_CERT"),
    "key of a kind": (Files(key=UNUSUAL), KEY, "is of a kind that gRPC does not serve with"),
    "empty CA": (Files(client_ca=b""), CLIENT_CA, "tls_client_ca.pem is empty"),
    "no CA": (Files(client_ca=b"hello"), CLIENT_CA, "holds no certificate that can be read"),
    "expired CA": (Files(client_ca=expired_ca), CLIENT_CA, "expired on"),
}


def examined(settings: dict[str, str]) -> str | None:
    """What is said about these files now."""
    return examine(Settings.model_validate(settings), datetime.now(UTC))


def end_of(certificate: bytes) -> str:
    """When it ends, as it is said."""
    return f"{x509.load_pem_x509_certificate(certificate).not_valid_after_utc:%Y-%m-%d %H:%M} UTC"


@pytest.mark.parametrize("case", UNUSABLE)
def test_a_tls_file_of_no_use_is_named_with_what_is_wrong(case: str, tmp_path: Path) -> None:
    files, setting, trouble = UNUSABLE[case]
    with pytest.raises(TlsUnusable) as raised:
        examined(files.write(tmp_path))
    said = str(raised.value)
    assert said.startswith(f"{setting}: ")
    assert trouble in said
    assert "\n" not in said


@pytest.mark.parametrize("case", ["broken certificate", "another's key", "expired", "encrypted key", "no CA"])
def test_a_tls_file_of_no_use_is_one_line_at_the_start_and_in_doctor(case: str, tmp_path: Path) -> None:
    files, setting, trouble = UNUSABLE[case]
    settings = new_server(tmp_path, "postgresql://127.0.0.1:1/x", **files.write(tmp_path)).settings
    said = refused("serve", **settings)
    assert said.startswith(f"hitchpost: {setting}: ")
    assert trouble in said
    ran = hitchpost("doctor", **settings)
    assert ran.returncode == 1
    assert f"FAIL  TLS: {said.removeprefix('hitchpost: ')}" in ran.stdout.splitlines()


def test_doctor_says_until_when_certificates_are_valid(tmp_path: Path) -> None:
    end = end_of(SERVER.certificate)
    assert examined(Files().write(tmp_path)) == f"the certificate is valid until {end}"
    # The first of them to end, of those that still count.
    both = Files(client_ca=expired_ca + AUTHORITY.certificate + LONG)
    said = str(examined(both.write(tmp_path)))
    assert said.startswith(f"the certificate is valid until {end}")
    assert f"the CA of client certificates is valid until {end_of(AUTHORITY.certificate)}" in said


@pytest.mark.parametrize(("days", "soon"), [(13, True), (15, False)])
def test_an_expiry_within_14_days_is_said_but_no_failure(days: int, soon: bool, tmp_path: Path) -> None:
    identity = AUTHORITY.identity("server", valid=days * DAY)
    said = str(examined(Files.of(identity).write(tmp_path)))
    assert f"until {end_of(identity.certificate)}" in said
    assert ("in less than 14 days: renew it" in said) is soon


def test_without_tls_there_is_nothing_to_examine() -> None:
    assert examined({}) is None
