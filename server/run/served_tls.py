"""The TLS files that a gRPC worker serves with: read anew while it serves.

gRPC asks at each handshake, on a thread that calls are received by, so that it must not wait: a thread of our
own looks at the files now and then, and what it found is there when gRPC asks (decision 32).
"""

import logging
from collections.abc import Callable
from datetime import datetime
from threading import Event, Thread

import grpc

from server.base.identity import Clock
from server.config import Settings
from server.run import tls

log = logging.getLogger(__name__)

# The certificates that are served change after two looks. Reading the files takes some 50 µs.
LOOK_SECONDS = 2.0


class ServedTls:
    """The files of one worker; `look` takes new ones. Those that are of no use leave the old ones served."""

    def __init__(self, files: tls.Files, settings: Settings, clock: Clock) -> None:
        """Raises TlsUnusable. `clock` is this machine's: certificates are judged by it everywhere."""
        self._settings, self._clock = settings, clock
        tls.check(files, settings, clock())
        self._served, self._ends = files, tls.expiry(files, clock())
        # As the last look found it: the files, or why they can't be read.
        self._found: tls.Files | str | None = files
        self._trouble = self._warned = ""
        self._stop = Event()
        self._thread = Thread(target=self._run, name="tls", daemon=True)

    def start(self) -> None:
        """Looks at the files from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Lets the thread end."""
        self._stop.set()

    def credentials(self) -> grpc.ServerCredentials:
        """For one port: gRPC is told once of each change. Connections that there are stay as they are."""
        told = self._served

        def changed() -> grpc.ServerCertificateConfiguration | None:
            nonlocal told
            served = self._served
            if served is told:
                return None
            told = served
            return _configuration(served)

        return grpc.dynamic_ssl_server_credentials(
            _configuration(told),
            changed,  # type: ignore[arg-type] # None is no change, which the stubs leave out
            require_client_authentication=told.client_ca is not None,
        )

    def expiry(self) -> dict[str, datetime]:
        """When the certificates end that new connections are served with, as `tls.expiry` had it at the last
        look."""
        return self._ends

    def look(self) -> None:
        """Takes the files if they have changed. They count once two looks in a row have found them the same:
        whoever writes them may be half done, or have replaced one of a pair."""
        before, self._found = self._found, self._read()
        if self._found == self._served:
            self._trouble = ""
        elif self._found == before:
            self._take(self._found)
        self._warn()

    def _read(self) -> tls.Files | str | None:
        try:
            return tls.read(self._settings)
        except tls.TlsUnusable as error:
            return str(error)

    def _take(self, found: tls.Files | str | None) -> None:
        try:
            if not isinstance(found, tls.Files):
                raise tls.TlsUnusable(found)
            tls.check(found, self._settings, self._clock())
        except tls.TlsUnusable as error:
            if str(error) != self._trouble:
                self._trouble = str(error)
                log.error("new TLS files are of no use; the old ones are served", extra={"cause": str(error)})
            return
        self._served, self._trouble = found, ""
        said = tls.validity(tls.expiry(found, self._clock()), self._clock())
        log.info("new TLS files are served", extra={"cause": said})

    def _warn(self) -> None:
        now = self._clock()
        self._ends = tls.expiry(self._served, now)
        warning = tls.validity({file: end for file, end in self._ends.items() if end - now < tls.SOON}, now)
        if warning and warning != self._warned:
            log.warning("TLS certificates end soon", extra={"cause": warning})
        self._warned = warning

    def _run(self) -> None:
        while True:
            try:
                self.look()
            except Exception:
                # Whatever is in the files, the next look may find others.
                log.exception("unexpected error in the look at TLS files")
            if self._stop.wait(LOOK_SECONDS):
                return


def of(settings: Settings, clock: Callable[[], datetime]) -> ServedTls | None:
    """What the settings say; None without TLS. Raises TlsUnusable."""
    files = tls.read(settings)
    return None if files is None else ServedTls(files, settings, clock)


def _configuration(files: tls.Files) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(files.key, files.certificate)], root_certificates=files.client_ca
    )
