"""The TLS files of the gRPC server, read before gRPC reads them: it says only that it could not listen."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes, PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from server.config import Settings

SOON = timedelta(days=14)
_CERT, _KEY, _CLIENT_CA = "HITCHPOST_TLS_CERT", "HITCHPOST_TLS_KEY", "HITCHPOST_TLS_CLIENT_CA"
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_SUBJECTS = {"certificate": "the certificate", "client_ca": "the CA of client certificates"}


class TlsUnusable(Exception):
    """A TLS file is of no use; the text names the setting and the file, and says what would be right."""


class Files(NamedTuple):
    """What the files hold, as PEM; without a client CA clients need no certificate."""

    certificate: bytes
    key: bytes
    client_ca: bytes | None


def examine(settings: Settings, now: datetime) -> str | None:
    """Until when the certificates are valid, in words; None without TLS. Raises TlsUnusable."""
    files = read(settings)
    if files is None:
        return None
    check(files, settings, now)
    return validity(expiry(files, now), now)


def read(settings: Settings) -> Files | None:
    """The files as they are now; None without TLS. Raises TlsUnusable when one can't be read, or is empty."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    client_ca = settings.tls_client_ca
    return Files(
        _read(_CERT, settings.tls_cert),
        _read(_KEY, settings.tls_key),
        None if client_ca is None else _read(_CLIENT_CA, client_ca),
    )


def check(files: Files, settings: Settings, now: datetime) -> None:
    """Raises TlsUnusable, which names the setting and its file, when clients could not be served so."""
    chain = _certificates(_CERT, settings.tls_cert, files.certificate)
    _check_key(_private_key(settings.tls_key, files.key), chain, settings)
    for number, certificate in enumerate(chain, 1):
        which = "the certificate" if number == 1 else f"certificate {number} of the chain"
        if trouble := _out_of_date(certificate, now):
            raise TlsUnusable(f"{_CERT}: {which} in {settings.tls_cert} {trouble}")
    if files.client_ca is not None:
        authorities = _certificates(_CLIENT_CA, settings.tls_client_ca, files.client_ca)
        troubles = [_out_of_date(authority, now) for authority in authorities]
        if all(troubles):
            raise TlsUnusable(f"{_CLIENT_CA}: the certificate in {settings.tls_client_ca} {troubles[0]}")


def expiry(files: Files, now: datetime) -> dict[str, datetime]:
    """When the first certificate ends of each of the `files`, which have been checked: "certificate", and
    "client_ca" if there is one. Client CAs that are out of date don't count beside others."""
    chains = {"certificate": x509.load_pem_x509_certificates(files.certificate)}
    if files.client_ca is not None:
        authorities = x509.load_pem_x509_certificates(files.client_ca)
        in_date = [authority for authority in authorities if _out_of_date(authority, now) is None]
        chains["client_ca"] = in_date or authorities
    return {file: min(one.not_valid_after_utc for one in chain) for file, chain in chains.items()}


def validity(ends: dict[str, datetime], now: datetime) -> str:
    """What `expiry` gave, in words."""
    return "; ".join(f"{_SUBJECTS[file]} {_until(end, now)}" for file, end in ends.items())


def _until(end: datetime, now: datetime) -> str:
    if end < now:
        return f"expired on {_date(end)}: renew it"
    soon = f", in less than {SOON.days} days: renew it" if end - now < SOON else ""
    return f"is valid until {_date(end)}{soon}"


def _read(setting: str, path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TlsUnusable(f"{setting}: {path} can't be read: {error.strerror}") from error
    if not content.strip():
        raise TlsUnusable(f"{setting}: {path} is empty")
    return content


def _certificates(setting: str, path: Path | None, content: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError as error:
        found = "a private key, but no certificate" if b"PRIVATE KEY-----" in content else "no certificate"
        raise TlsUnusable(
            f"{setting}: {path} holds {found} that can be read; "
            "it must be PEM, between lines -----BEGIN CERTIFICATE----- and -----END CERTIFICATE-----"
        ) from error


def _private_key(path: Path | None, content: bytes) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(content, password=None)
    except TypeError as error:
        raise TlsUnusable(
            f"{_KEY}: {path} is encrypted with a passphrase, which nobody is there to type; "
            "decrypt it with openssl pkey -in FILE -out NEW_FILE, and let only Hitchpost's user read that"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        found = "a certificate, but no private key" if b"CERTIFICATE-----" in content else "no private key"
        raise TlsUnusable(
            f"{_KEY}: {path} holds {found} that can be read; it must be PEM, beginning with a line "
            "-----BEGIN PRIVATE KEY-----"
        ) from error


def _check_key(key: PrivateKeyTypes, chain: Sequence[x509.Certificate], settings: Settings) -> None:
    # Others gRPC can't listen with, and does not say so.
    named = isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, _CURVES)
    if not (named or isinstance(key, rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey)):
        raise TlsUnusable(
            f"{_KEY}: the key in {settings.tls_key} is of a kind that gRPC does not serve with; "
            "make an RSA key, or one of the curve P-256, and have it certified"
        )
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    ours = key.public_key().public_bytes(*form)
    belongs = [_public_key(certificate, settings).public_bytes(*form) == ours for certificate in chain]
    if not any(belongs):
        raise TlsUnusable(
            f"{_KEY}: {settings.tls_key} does not belong to the certificate in {_CERT} {settings.tls_cert}; "
            "set the two that were made together"
        )
    if not belongs[0]:
        raise TlsUnusable(
            f"{_CERT}: in {settings.tls_cert} the server's own certificate, to which {_KEY} belongs, "
            "must come first, before the one that signed it"
        )


def _public_key(certificate: x509.Certificate, settings: Settings) -> CertificatePublicKeyTypes:
    try:
        return certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise TlsUnusable(
            f"{_CERT}: {settings.tls_cert} has a certificate whose key can't be read"
        ) from error


def _out_of_date(certificate: x509.Certificate, now: datetime) -> str | None:
    if now < certificate.not_valid_before_utc:
        return f"is not valid before {_date(certificate.not_valid_before_utc)}; look at this machine's clock"
    if now > certificate.not_valid_after_utc:
        return f"expired on {_date(certificate.not_valid_after_utc)}; renew it"
    return None


def _date(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"
