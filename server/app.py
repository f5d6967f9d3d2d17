"""The composition root: settings -> objects, and the three kinds of process made of them."""

import gc
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event, Thread

import grpc
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2
from starlette.applications import Starlette

from generated.hitchpost.v1 import error_reason_pb2, platform_pb2
from generated.hitchpost.v1 import social_account_service_pb2 as accounts_pb
from generated.hitchpost.v1 import social_post_service_pb2 as posts_pb
from server import platforms, purging
from server.accounts import Accounts
from server.call_loop import CallLoop
from server.clock import DatabaseClock
from server.config import SettingMissing, Settings
from server.connections import EXPIRED_ATTEMPTS, Connections
from server.database import Database, database
from server.health import Health
from server.idempotency import OLD_REQUESTS
from server.identity import Clock
from server.interceptors import METHODS, UnknownMethods, compose
from server.key_ring import KeyRing
from server.lanes import Lane
from server.liveness import Liveness
from server.platforms import OAuth2Platform
from server.posts import Posts
from server.reflection import Reflection
from server.servicers.social_accounts import SocialAccountServicer
from server.servicers.social_posts import SocialPostServicer
from server.vault import Vault
from server.web import app as web_app
from server.web import listener, sandbox
from server.web.sandbox_grants import EXPIRED_GRANTS

SERVICES = [
    service.full_name
    for file in (accounts_pb.DESCRIPTOR, posts_pb.DESCRIPTOR)
    for service in file.services_by_name.values()
]
# What is forgotten when it has expired, once a minute, and for at most a minute.
PURGES = (EXPIRED_ATTEMPTS, OLD_REQUESTS, EXPIRED_GRANTS)
PURGE_SECONDS = 60.0
# Calls that are open at once on a connection, and of methods that there are not on a worker.
# A call costs memory as soon as it is open, before its request and its key are there.
MAX_OPEN_CALLS = 500
# So many times its threads may wait for a platform: it takes ten seconds to say that one does not answer.
PLATFORM_WAITING = 8


@dataclass(frozen=True)
class App:
    """What every process is made of."""

    settings: Settings
    database: Database
    accounts: Accounts
    connections: Connections
    posts: Posts
    clock: Clock


def build(settings: Settings, clock: Clock | None = None) -> App:
    """Wires the objects; time is the database's, unless a test gives another. Raises SettingMissing."""
    if settings.database_url is None:
        raise SettingMissing("HITCHPOST_DATABASE_URL is not set")
    if settings.encryption_keys is None:
        raise SettingMissing(
            "HITCHPOST_ENCRYPTION_KEYS is not set; outside dev mode nobody makes one for you"
        )
    database.configure(settings.database_url.get_secret_value(), settings.statement_timeout)
    clock = clock or DatabaseClock(database)
    vault = Vault(settings.encryption_keys.get_secret_value())
    connectable = connectable_platforms(settings)
    accounts = Accounts(vault, clock, connectable)
    connections = Connections(
        accounts,
        connectable,
        vault,
        clock,
        callback_url=settings.callback_url,
        allow_loopback=settings.dev_mode,
    )
    return App(settings, database, accounts, connections, Posts(clock), clock)


def connectable_platforms(settings: Settings) -> Mapping[int, OAuth2Platform]:
    """The platforms that this server can connect, by their number in enum Platform."""
    return {
        platform_pb2.Platform.Value(f"PLATFORM_{name.upper()}"): platform
        for name, platform in platforms.load(settings.public_url).items()
        if name != "sandbox" or settings.sandbox
    }


class GrpcProcess:
    """One gRPC worker. Several share a port: the kernel spreads connections over them (SO_REUSEPORT)."""

    def __init__(self, app: App) -> None:
        settings = app.settings
        self._drain_timeout = settings.drain_timeout
        self._health = Health(app.database, SERVICES)
        server = grpc.server(
            # Its own methods are those that there are not.
            ThreadPoolExecutor(1, thread_name_prefix="unknown"),
            options=_server_options(settings),
            maximum_concurrent_rpcs=MAX_OPEN_CALLS,
        )
        server.add_generic_rpc_handlers((UnknownMethods(),))
        self.port = _bind(server, settings)
        self._keys = KeyRing()
        self._server = CallLoop(server, _lanes(settings), settings.max_message_bytes)
        servicers = {
            accounts_pb.DESCRIPTOR: SocialAccountServicer(app.accounts, app.connections, app.clock),
            posts_pb.DESCRIPTOR: SocialPostServicer(app.posts, app.clock),
        }
        for method in METHODS.values():
            servicer = servicers[method.containing_service.file]
            self._server.add(compose(self._keys, method, servicer))
        described = (accounts_pb, posts_pb, error_reason_pb2, error_details_pb2, health_pb2)
        reflection = Reflection(module.DESCRIPTOR for module in described)
        for stream in (*self._health.streams(), *reflection.streams()):
            self._server.add_stream(stream)

    def start(self) -> None:
        """Accepts calls from now on."""
        self._health.start()
        self._keys.start()
        self._server.start()

    def stop(self) -> None:
        """NOT_SERVING, no new calls, and then waits for those in flight, up to the drain timeout."""
        self._health.stop()
        self._server.stop(self._drain_timeout.total_seconds())
        self._keys.stop()


def _lanes(settings: Settings) -> dict[str, Lane]:
    waiting, platform_threads = settings.max_waiting_calls, settings.platform_threads
    return {
        "read": Lane("read", settings.threads, waiting),
        "write": Lane("write", settings.threads, waiting),
        "platform": Lane("platform", platform_threads, PLATFORM_WAITING * platform_threads),
    }


def _server_options(settings: Settings) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", 1),
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_concurrent_streams", MAX_OPEN_CALLS),
        # With probes gRPC would let clients send megabytes on each call before they are asked for.
        ("grpc.http2.bdp_probe", 0),
        # Calls that the receiving thread has not come to yet: beyond these gRPC itself ends some, then all.
        ("grpc.server.max_pending_requests", 2_000),
        ("grpc.server.max_pending_requests_hard_limit", 4_000),
        # Finds connections whose client is gone; clients may ask every 10 s, idle or not.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.http2.max_ping_strikes", 3),
        # Long-lived connections find their way to workers that have started since.
        ("grpc.max_connection_age_ms", 30 * 60_000),
        ("grpc.max_connection_age_grace_ms", int(settings.drain_timeout.total_seconds() * 1000)),
    ]


def _bind(server: grpc.Server, settings: Settings) -> int:
    if settings.tls_cert is None or settings.tls_key is None:
        return server.add_insecure_port(settings.grpc_address)
    client_ca = settings.tls_client_ca.read_bytes() if settings.tls_client_ca else None
    credentials = grpc.ssl_server_credentials(
        [(settings.tls_key.read_bytes(), settings.tls_cert.read_bytes())],
        root_certificates=client_ca,
        require_client_auth=client_ca is not None,
    )
    return server.add_secure_port(settings.grpc_address, credentials)


def web_application(app: App, alive: Callable[[], bool]) -> Starlette:
    """The web process's pages; `alive` says whether the database answers."""
    settings = app.settings
    routes = sandbox.routes(settings.public_url, settings.callback_url, app.clock) if settings.sandbox else []
    return web_app.create(
        app.connections, alive, list(routes), public_url=settings.public_url, threads=settings.threads
    )


def serve_grpc(app: App, ready: Event, stop: Event) -> None:
    """Serves gRPC until `stop` is set, then drains."""
    process = GrpcProcess(app)
    # What is here now stays: the collector need not look at it again and again, nor come so often.
    gc.freeze()
    gc.set_threshold(10_000, 50, 50)
    process.start()
    ready.set()
    stop.wait()
    process.stop()


def serve_web(app: App, ready: Event, stop: Event) -> None:
    """Serves the pages until `stop` is set, then lets requests in flight finish."""
    settings, liveness = app.settings, Liveness(app.database)
    liveness.start()
    pages = web_application(app, liveness.serving)
    server = listener.server(pages, settings.web_address, settings.drain_timeout)
    # In the main thread uvicorn would handle signals itself.
    thread = Thread(target=server.run, name="uvicorn")
    thread.start()
    while thread.is_alive() and not server.started:
        stop.wait(0.05)
    if not server.started:
        raise OSError(f"can't listen on {settings.web_address}")
    ready.set()
    stop.wait()
    server.should_exit = True
    thread.join()
    liveness.stop()


def serve_worker(app: App, ready: Event, stop: Event) -> None:
    """Does the chores until `stop` is set: forgets what has expired."""
    ready.set()
    while not stop.is_set():
        purging.run_all(PURGES, app.clock, PURGE_SECONDS, stop)
        stop.wait(PURGE_SECONDS)


SERVE = {"grpc": serve_grpc, "web": serve_web, "worker": serve_worker}
