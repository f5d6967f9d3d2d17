"""Asks the processes of this machine whether they serve: `hitchpost probe`, for whatever watches over them.

Kubernetes asks by itself, but not by TLS; there, and in other container engines, this is what is run.
"""

import http.client
from collections.abc import Callable, Mapping

import grpc
from cryptography import x509
from grpc_health.v1 import health_pb2, health_pb2_grpc

from server.config import SettingMissing, Settings

SECONDS = 5.0
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 (what a server listens on is asked here)


class NotServing(Exception):
    """A process does not serve, or does not answer; the text says which."""


def probe(role: str, settings: Settings) -> None:
    """Asks the processes of a role, or of all that have an address. Raises NotServing or SettingMissing."""
    if role == "worker" and settings.worker_address is None:
        raise SettingMissing("HITCHPOST_WORKER_ADDRESS is not set: a worker answers nowhere else")
    for kind in ASK if role == "all" else (role,):
        if (trouble := ASK[kind](settings)) is not None:
            raise NotServing(f"{kind}: {trouble}")


def _ask_grpc(settings: Settings) -> str | None:
    address = _here(settings.grpc_address)
    with _channel(address, settings) as channel:
        try:
            request = health_pb2.HealthCheckRequest()
            status = health_pb2_grpc.HealthStub(channel).Check(request, timeout=SECONDS).status
        except grpc.RpcError as error:
            return f"{address} does not answer: {error.details()}"
    serving = status == health_pb2.HealthCheckResponse.SERVING
    return None if serving else f"{address} is {health_pb2.HealthCheckResponse.ServingStatus.Name(status)}"


def _channel(address: str, settings: Settings) -> grpc.Channel:
    """By TLS it is known by its own certificate, and shown that where it wants one of its clients."""
    if settings.tls_cert is None or settings.tls_key is None:
        return grpc.insecure_channel(address)
    chain = settings.tls_cert.read_bytes()
    own = (settings.tls_key.read_bytes(), chain) if settings.tls_client_ca is not None else (None, None)
    credentials = grpc.ssl_channel_credentials(chain, *own)
    return grpc.secure_channel(address, credentials, [("grpc.ssl_target_name_override", _name(chain))])


def _name(chain: bytes) -> str:
    """A name that the certificate is for."""
    certificate = x509.load_pem_x509_certificate(chain)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    dns = names.get_values_for_type(x509.DNSName)
    return (dns or [str(address) for address in names.get_values_for_type(x509.IPAddress)])[0].replace(
        "*", "any"
    )


def _ask_web(settings: Settings) -> str | None:
    return _get_healthz(settings.web_address)


def _ask_worker(settings: Settings) -> str | None:
    return None if settings.worker_address is None else _get_healthz(settings.worker_address)


def _get_healthz(listening: str) -> str | None:
    address = _here(listening)
    connection = http.client.HTTPConnection(address, timeout=SECONDS)
    try:
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"{address} does not answer: {error}"
    finally:
        connection.close()
    return None if status == http.client.OK else f"{address} answers {status}"


def _here(listening: str) -> str:
    """Where to ask a server that listens there."""
    host, _, port = listening.rpartition(":")
    return f"{_ANYWHERE.get(host, host)}:{port}"


ASK: Mapping[str, Callable[[Settings], str | None]] = {
    "grpc": _ask_grpc,
    "web": _ask_web,
    "worker": _ask_worker,
}
