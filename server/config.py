"""The settings: environment variables HITCHPOST_*."""

import os
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, FilePath, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from server.base.vault import Vault
from server.platforms import facts
from server.platforms.atproto_client import read_key
from server.projects import api_keys
from server.rpc.validation import EXTERNAL_ID
from server.storage import unreachable

# Of the web process, for the pages of the sandbox.
SANDBOX_THREADS = 4
CAN_PIN = hasattr(os, "sched_setaffinity")
LAST_PORT = 65_535
ROOT_DATA_DIR = Path("/var/lib/hitchpost")


def default_data_dir() -> Path:
    """`data` in the current folder; as root, when PostgreSQL runs as another user, /var/lib/hitchpost."""
    return ROOT_DATA_DIR if os.geteuid() == 0 else Path("data")


def _address(value: str) -> str:
    host, separator, port = value.rpartition(":")
    if not (host and separator and port.isdecimal() and 0 < int(port) < 65536):
        raise ValueError("must be host:port, such as 127.0.0.1:50051 or [::1]:50051")
    return value


def _name_server(value: str) -> str:
    host, _, port = _address(value).rpartition(":")
    try:
        return f"[{address}]:{port}" if (address := ip_address(host.strip("[]"))).version == 6 else value
    except ValueError:
        raise ValueError("must be an IP address and a port, such as 192.0.2.53:53") from None


def _web_url(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://")
    if not value.partition("://")[2].strip("/"):
        raise ValueError("must have a host, such as https://hitchpost.example.com")
    return value.rstrip("/")


def _list(value: object) -> object:
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


def _origin(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or value != f"{parts.scheme}://{parts.netloc}" or "@" in value:
        raise ValueError("must be origins, such as https://app.example.com, joined by commas")
    return value


def _host(value: str) -> str:
    parts = urlsplit(f"//{value}")
    if not parts.hostname or value != parts.netloc or "@" in value:
        raise ValueError("must be names of hosts, such as hitchpost.internal, joined by commas")
    return value


def _api_key(value: SecretStr) -> SecretStr:
    if not api_keys.is_well_formed(value.get_secret_value()):
        raise ValueError("must be an API key, as hitchpost keys create prints it")
    return value


def _external_id(value: str) -> str:
    if wrong := EXTERNAL_ID(value):
        raise ValueError(wrong)
    return value


def _folder(value: Path) -> Path:
    # Not Path.exists(), which raises below a folder that is not ours to look into; its use says so then.
    if any(os.path.exists(path) and not os.path.isdir(path) for path in (value, *value.parents)):
        raise ValueError("must be a folder, or the path of one that can be made")
    return value


def _platforms_file(value: Path) -> Path:
    try:
        facts.read("https://hitchpost.example.com", value)
    except (OSError, ValueError) as error:
        raise ValueError(f"must be a file of platforms (docs/platforms.md): {error}") from None
    return value


def _bluesky_key(value: Path) -> Path:
    try:
        read_key(value)
    except (OSError, ValueError):
        raise ValueError("must be a PEM file with an EC private key of the curve P-256") from None
    return value


def _log_level(value: str) -> str:
    if value.upper() not in LOG_LEVELS:
        raise ValueError(f"must be one of {', '.join(LOG_LEVELS)}, in capital or small letters")
    return value.upper()


def _seconds(value: object) -> object:
    # Pydantic takes a number for seconds, but not a text, as environment variables are.
    if not isinstance(value, str):
        return value
    try:
        return timedelta(seconds=float(value))
    except (ValueError, OverflowError):
        raise ValueError("must be a number of seconds, such as 30") from None


def _postgresql_url(value: SecretStr) -> SecretStr:
    unreachable.check_url(value.get_secret_value())
    return value


def _fernet_keys(value: SecretStr) -> SecretStr:
    try:
        Vault(value.get_secret_value())
    except ValueError:
        raise ValueError("must be Fernet keys (32 bytes in URL-safe base64), joined by commas") from None
    return value


LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
Address = Annotated[str, AfterValidator(_address)]
ApiKey = Annotated[SecretStr, AfterValidator(_api_key)]
BlueskyKey = Annotated[FilePath, AfterValidator(_bluesky_key)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_postgresql_url)]
DataDir = Annotated[Path, AfterValidator(_folder)]
EncryptionKeys = Annotated[SecretStr, AfterValidator(_fernet_keys)]
ExternalId = Annotated[str, AfterValidator(_external_id)]
Hosts = Annotated[tuple[Annotated[str, AfterValidator(_host)], ...], NoDecode, BeforeValidator(_list)]
NameServer = Annotated[str, AfterValidator(_name_server)]
Origins = Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], NoDecode, BeforeValidator(_list)]
PlatformsFile = Annotated[FilePath, AfterValidator(_platforms_file)]
LogLevel = Annotated[str, AfterValidator(_log_level)]
Seconds = Annotated[timedelta, BeforeValidator(_seconds)]
WebUrl = Annotated[str, AfterValidator(_web_url)]


def cores() -> list[int]:
    """The cores that this process may use."""
    if CAN_PIN:
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


class SettingMissing(Exception):
    """A setting that is needed has no value; the text says which."""


class Settings(BaseSettings):
    """What can be set, in the order in which `serve --help` and docs/reference.md list it.

    A description ends in "; default: " or "; unset: " and words where the default is no plain value.
    """

    model_config = SettingsConfigDict(env_prefix="HITCHPOST_", env_ignore_empty=True)

    database_url: DatabaseUrl | None = Field(
        None,
        description="PostgreSQL 15 or newer, one host or several (postgresql://u:p@a:5432,b:5432/db); "
        "directly, or through a pooler that keeps each client's session (PgBouncer: pool_mode = "
        "session); unset: an embedded PostgreSQL",
    )
    data_dir: DataDir = Field(
        default_factory=default_data_dir,
        description="the embedded database and the dev keys; default: data, as root /var/lib/hitchpost",
    )
    dev_mode: bool = Field(
        default_factory=lambda data: data["database_url"] is None,
        description="a dev project with a key, and loopback redirect URLs; beside settings of "
        "production true has to be said; default: only with the embedded database",
    )
    grpc_address: Address = Field("127.0.0.1:50051", description="where the gRPC workers listen")
    grpc_own_ports: int | None = Field(
        None,
        ge=1,
        le=LAST_PORT,
        description="the first of the ports at which each gRPC worker also listens by itself, one after the "
        "other, for a proxy that spreads calls; unset: they only share a port",
    )
    web_address: Address = Field("127.0.0.1:8080", description="where the web process listens")
    public_url: WebUrl = Field(
        default_factory=lambda data: f"http://{data.get('web_address', '')}",
        description="the web process as browsers reach it; default: http:// and the web address",
    )
    callback_url: WebUrl = Field(
        default_factory=lambda data: f"{data.get('public_url', '')}/callback",
        description="where platforms send browsers back, without /{platform}, which is added; a page "
        "of your own that calls CompleteAuth, or Hitchpost's; default: the public URL and /callback",
    )
    workers: int = Field(
        default_factory=lambda: len(cores()),
        ge=1,
        le=256,
        description="gRPC processes; default: the cores it may use",
    )
    pin_workers: bool = Field(
        default_factory=lambda data: CAN_PIN and data.get("workers") == len(cores()),
        description="keep each gRPC process on one core: over a quarter more calls; default: on Linux, "
        "with as many as cores",
    )
    web_workers: int = Field(1, ge=1, le=256, description="web processes: pages, and calls over HTTP")
    threads: int = Field(
        4,
        ge=1,
        le=64,
        description="threads, and so database connections, of each process; for reads, and as many for "
        "writes; of the web process as many for callbacks, beside 4 for the sandbox",
    )
    platform_threads: int = Field(
        4, ge=1, le=64, description="threads of each gRPC and web process for calls that wait for a platform"
    )
    worker_threads: int = Field(
        16, ge=1, le=64, description="threads of each worker process, for what happens later"
    )
    worker_address: Address | None = Field(
        None, description="where a worker process answers GET /healthz with 200 or 503; unset: nowhere"
    )
    metrics: bool = Field(True, description="count and time what happens, for GET /metrics")
    metrics_address: Address | None = Field(
        None,
        description="where GET /metrics is answered for all processes of serve, and nowhere else then; "
        "unset: by the web process, and at the worker's address",
    )
    call_loop: Literal["own", "grpc"] = Field(
        "own",
        description="what serves calls: own, or grpc for grpcio's own loop, which is slower and bounds less",
    )
    max_waiting_calls: int = Field(
        100,
        ge=1,
        description="reads, and as many writes, that may wait for a thread of a process; further ones "
        "get RESOURCE_EXHAUSTED",
    )
    rate_limit: int | None = Field(
        None,
        ge=1,
        description="calls a second that each API key may make of each process; unset: as many as it likes",
    )
    rate_limit_burst: int = Field(
        default_factory=lambda data: data.get("rate_limit") or 1,
        ge=1,
        description="calls that a key which was quiet may make at once; default: those of a second",
    )
    encryption_keys: EncryptionKeys | None = Field(
        None,
        description="Fernet keys, joined by commas: the first encrypts, all decrypt; unset: in dev "
        "mode a generated key",
    )
    tls_cert: FilePath | None = Field(
        None,
        description="PEM certificate chain of the gRPC server; goes with HITCHPOST_TLS_KEY; unset: no TLS",
    )
    tls_key: FilePath | None = Field(
        None, description="PEM private key of the gRPC server; goes with HITCHPOST_TLS_CERT; unset: no TLS"
    )
    tls_client_ca: FilePath | None = Field(
        None,
        description="PEM certificates that clients' must be signed by (mutual TLS); unset: no client "
        "certificates",
    )
    sandbox: bool = Field(
        default_factory=lambda data: data.get("dev_mode", False),
        description="the sandbox platform; default: only in dev mode",
    )
    platforms_file: PlatformsFile | None = Field(
        None,
        description="TOML with rows of platforms of your own, or in place of Hitchpost's "
        "(docs/platforms.md); unset: none",
    )
    allow_private_addresses: bool = Field(
        default_factory=lambda data: data.get("dev_mode", False),
        description="call addresses that are not public, such as 127.0.0.1 or 10.0.0.5; default: only "
        "in dev mode",
    )
    bluesky_key: BlueskyKey | None = Field(
        None,
        description="PEM private key (EC, P-256) by which Bluesky's servers know this one; without it "
        "its connections by OAuth end after two weeks (docs/bluesky.md); unset: none",
    )
    plc_url: WebUrl = Field(
        "https://plc.directory", description="the directory that says where accounts of Bluesky are"
    )
    name_server: NameServer | None = Field(
        None,
        description="IP address and port of the name server that is asked for handles of Bluesky; "
        "unset: the system's",
    )
    cors_origins: Origins = Field(
        (),
        description="origins, joined by commas, whose pages may call over HTTP, below /v1 and /mcp "
        "(docs/rest.md); unset: none",
    )
    mcp_hosts: Hosts = Field(
        (),
        description="names by which clients call /mcp (docs/mcp.md), joined by commas, beside those of "
        "the public URL, the web address and localhost; unset: none",
    )
    mcp_api_key: ApiKey | None = Field(
        None, description="whose calls those by hitchpost mcp are; unset: in dev mode the dev key"
    )
    mcp_external_id: ExternalId | None = Field(
        None, description="the owner that calls by hitchpost mcp are confined to; unset: none"
    )
    max_message_bytes: int = Field(4 * 1024 * 1024, ge=65_536, description="the most bytes of one request")
    statement_timeout: Seconds = Field(
        timedelta(seconds=5), gt=timedelta(), description="seconds for one database statement"
    )
    drain_timeout: Seconds = Field(
        timedelta(seconds=30),
        ge=timedelta(),
        description="seconds for calls in flight when the server stops",
    )
    log_level: LogLevel = Field(
        "INFO",
        description="of the log on stderr, one JSON object a line: DEBUG, INFO, WARNING or ERROR, in "
        "any case",
    )

    @model_validator(mode="after")
    def _settings_agree(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("HITCHPOST_TLS_CERT and HITCHPOST_TLS_KEY go together")
        if self.pin_workers and not CAN_PIN:
            raise ValueError("HITCHPOST_PIN_WORKERS needs Linux")
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise ValueError("HITCHPOST_TLS_CLIENT_CA needs HITCHPOST_TLS_CERT and HITCHPOST_TLS_KEY")
        self._check_own_ports()
        return self

    def _check_own_ports(self) -> None:
        own = {int(address.rpartition(":")[2]) for address in self.own_addresses}
        if own and max(own) > LAST_PORT:
            raise ValueError(
                f"HITCHPOST_GRPC_OWN_PORTS would end at {max(own)} with {self.workers} workers, and "
                f"{LAST_PORT} is the last port"
            )
        for name in ("grpc_address", "web_address", "worker_address", "metrics_address"):
            address = getattr(self, name)
            if address is not None and int(address.rpartition(":")[2]) in own:
                raise ValueError(
                    f"HITCHPOST_{name.upper()} has a port of HITCHPOST_GRPC_OWN_PORTS, which are "
                    f"{min(own)} to {max(own)}"
                )

    @property
    def own_addresses(self) -> list[str]:
        """Where each gRPC worker listens by itself, in order; empty when they only share a port."""
        if self.grpc_own_ports is None:
            return []
        host = self.grpc_address.rpartition(":")[0]
        return [f"{host}:{self.grpc_own_ports + number}" for number in range(self.workers)]

    @property
    def most_connections(self) -> int:
        """The database connections that `serve` with all roles may have open at once."""
        # Beside the lanes: one that looks keys up, one that asks whether the database is there.
        grpc = 2 * self.threads + self.platform_threads + 2
        # The same for calls over HTTP; beside them callbacks, and the sandbox's threads.
        web = grpc + self.threads + SANDBOX_THREADS
        # Beside what is due: one that listens for it, one that looks how late it is, one that renews leases.
        worker = self.worker_threads + 3
        return self.workers * grpc + self.web_workers * web + worker

    @property
    def embedded(self) -> bool:
        """Whether this process has to start the database itself."""
        return self.database_url is None
