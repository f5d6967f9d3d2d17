"""The TLS files of the gRPC server, read before gRPC reads them: it says only that it could not listen."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from server.config import Settings

SOON = timedelta(days=14)
_CERT, _KEY, _CLIENT_CA = "HITCHPOST_TLS_CERT", "HITCHPOST_TLS_KEY", "HITCHPOST_TLS_CLIENT_CA"


class TlsUnusable(Exception):
    """A TLS file is of no use; the text names the setting and the file, and says what would be right."""


def examine(settings: Settings, now: datetime) -> str | None:
    """Until when the certificates are valid, in words; None without TLS. Raises TlsUnusable."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    chain = _certificates(_CERT, settings.tls_cert)
    _check_key(_private_key(settings.tls_key), chain, settings)
    for number, certificate in enumerate(chain, 1):
        which = "the certificate" if number == 1 else f"certificate {number} of the chain"
        if trouble := _out_of_date(certificate, now):
            raise TlsUnusable(f"{_CERT}: {which} in {settings.tls_cert} {trouble}")
    said = _until("the certificate", chain, now)
    if settings.tls_client_ca is None:
        return said
    authorities = _certificates(_CLIENT_CA, settings.tls_client_ca)
    usable = [authority for authority in authorities if _out_of_date(authority, now) is None]
    if not usable:
        trouble = _out_of_date(authorities[0], now)
        raise TlsUnusable(f"{_CLIENT_CA}: the certificate in {settings.tls_client_ca} {trouble}")
    return f"{said}; {_until('the CA of client certificates', usable, now)}"


def ends(settings: Settings, now: datetime) -> dict[str, datetime]:
    """When the first of the certificate's chain ends, and of the CAs the first that has not yet.

    Raises TlsUnusable."""
    found = {}
    if settings.tls_cert is not None:
        found["certificate"] = _first_end(_certificates(_CERT, settings.tls_cert))
    if settings.tls_client_ca is not None:
        authorities = _certificates(_CLIENT_CA, settings.tls_client_ca)
        # One that is over may be left there: it does no harm.
        living = [authority for authority in authorities if _out_of_date(authority, now) is None]
        found["client_ca"] = _first_end(living or authorities)
    return found


def _first_end(certificates: Sequence[x509.Certificate]) -> datetime:
    return min(certificate.not_valid_after_utc for certificate in certificates)


def _read(setting: str, path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TlsUnusable(f"{setting}: {path} can't be read: {error.strerror}") from error
    if not content.strip():
        raise TlsUnusable(f"{setting}: {path} is empty")
    return content


def _certificates(setting: str, path: Path) -> list[x509.Certificate]:
    content = _read(setting, path)
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError as error:
        found = "a private key, but no certificate" if b"PRIVATE KEY-----" in content else "no certificate"
        raise TlsUnusable(
            f"{setting}: {path} holds {found} that can be read; "
            "it must be PEM, between lines -----BEGIN CERTIFICATE----- and -----END CERTIFICATE-----"
        ) from error


def _private_key(path: Path) -> PrivateKeyTypes:
    content = _read(_KEY, path)
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
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    ours = key.public_key().public_bytes(*form)
    belongs = [certificate.public_key().public_bytes(*form) == ours for certificate in chain]
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


def _out_of_date(certificate: x509.Certificate, now: datetime) -> str | None:
    if now < certificate.not_valid_before_utc:
        return f"is not valid before {_date(certificate.not_valid_before_utc)}; look at this machine's clock"
    if now > certificate.not_valid_after_utc:
        return f"expired on {_date(certificate.not_valid_after_utc)}; renew it"
    return None


def _until(subject: str, certificates: Sequence[x509.Certificate], now: datetime) -> str:
    end = _first_end(certificates)
    soon = f", in less than {SOON.days} days: renew it" if end - now < SOON else ""
    return f"{subject} is valid until {_date(end)}{soon}"


def _date(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"
