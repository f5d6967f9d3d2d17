"""The version before and this one serve side by side on the new schema, under load; and the way back."""

import io
import subprocess
import tarfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.kit.servers import REPOSITORY, Server, eventually, local_channel, new_server, printed, rows
from tests.kit.support import Client, free_port, unique
from tests.storms.publish_platform import PublishPlatform, publish_platform, times
from tests.upgrade.load import Load

# The last commit before this release began, whose newest migration is 0009.
BEFORE = "42999099cc0cf13631bcc702cd08d34e468df44e"
ACCOUNTS = 6


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code of the version before, in a folder; this version's Python and libraries run both."""
    packed = subprocess.run(
        ["git", "archive", "--format=tar", BEFORE, "server", "generated", "protos"],
        cwd=REPOSITORY,
        capture_output=True,
        check=False,
    )
    if packed.returncode:
        said = packed.stderr.decode().strip()
        pytest.skip(f"the version before, {BEFORE[:12]}, is not in this clone's history (fetch it): {said}")
    folder = tmp_path_factory.mktemp("before")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def empty_database(postgres: Any) -> str:
    """A database without any table."""
    name = unique("upgraded").replace("-", "_")
    rows(postgres.get_uri(), f"CREATE DATABASE {name} TEMPLATE template1")
    return str(postgres.get_uri(database=name))


@dataclass
class Version:
    """A version, the place where its server may be, and the platform that its posts are sent to."""

    code: Path
    platform: PublishPlatform
    folder: Path
    url: str
    address: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")
    server: Server = field(init=False)

    def start(self) -> None:
        """Returns when its server is ready."""
        settings = {"public_url": self.platform.url, "allow_private_addresses": "true"}
        self.server = new_server(
            self.folder, self.url, grpc_address=self.address, platform_threads="2", **settings
        )
        self.server.folder = self.code
        self.server.start()
        self.server.wait_ready(180)

    def new_key(self) -> tuple[str, str]:
        """A project of its own, and a key of that, by its commands."""
        settings, name = self.server.settings, unique("project")
        project = printed("projects", "create", name, code=self.code, **settings).strip()
        return project, printed("keys", "create", name, code=self.code, **settings).strip()

    def stop(self) -> None:
        """Lets it drain."""
        assert self.server.stop(120) == 0, self.server.log.read_text()[-2000:]

    def answered(self) -> int:
        """How many calls its server has served; the log is still being written to."""
        return self.server.log.read_bytes().count(b'"code":"OK"')


def both_serve(load: Load, *versions: Version) -> None:
    """Returns when each has answered calls and sent posts."""
    counts = [(version.answered(), version.platform.number()) for version in versions]
    for version, (answered, sent) in zip(versions, counts, strict=True):
        eventually("it answers", lambda v=version, n=answered: v.answered() > n + 20, 120, every=0.5)
        eventually("it sends", lambda v=version, n=sent: v.platform.number() > n + 2, 120, every=0.5)
    load.goes_on()


@pytest.fixture
def versions(run_dir: Path, before: Path, empty_database: str) -> Iterator[tuple[Version, Version]]:
    """The version before, which serves alone on its own schema, and this one, which does not serve yet."""
    with publish_platform() as one, publish_platform() as other:
        old = Version(before, one, run_dir, empty_database)
        new = Version(REPOSITORY, other, run_dir, empty_database)
        try:
            old.start()
            yield old, new
        finally:
            for version in (old, new):
                if hasattr(version, "server"):
                    version.server.kill()


def test_an_upgrade_and_the_way_back_under_load(versions: tuple[Version, Version]) -> None:
    old, new = versions
    project, key = old.new_key()
    with closing(local_channel(old.address)) as channel:
        client = Client(channel, key, project_id=project)
        accounts = [client.connect(refresh_token="").id for _ in range(ACCOUNTS)]
    load = Load([old.address, new.address], client, accounts)
    with load.running():
        migrated = printed("migrate", seconds=300, **old.server.settings).split()
        load.goes_on()
        for back in (True, False):
            new.start()
            both_serve(load, old, new)
            old.stop()
            both_serve(load, new)
            if back:
                old.start()
                both_serve(load, old, new)
                new.stop()
                both_serve(load, old)
        finished = printed("migrate", "--finish", seconds=300, **new.server.settings).split()
        load.goes_on()
    eventually("all is sent", lambda: load.scheduled <= set(sent(old, new)), 180, every=1)
    figures = Figures.of(load, stored(load, new.url), sent(old, new))
    print(f"\nmigrated {migrated}, finished {finished}\n{figures}")
    new.stop()
    assert figures.is_right, figures


def sent(*versions: Version) -> Counter[str]:
    """How often each text has come to the platforms."""
    return sum((times(version.platform.accepted()) for version in versions), Counter())


def stored(load: Load, url: str) -> list[tuple[str, str]]:
    """What the database has of the load: caption or profile, and the id."""
    select = """SELECT caption, id FROM social_post WHERE project_id = %s UNION ALL
                SELECT platform_user_id, id FROM social_account WHERE project_id = %s"""
    return rows(url, select, load.client.project_id, load.client.project_id)


@dataclass(frozen=True)
class Figures:
    """How calls ended, and what of what they wrote was lost or is there twice."""

    retrying: dict[str, int]
    bare: dict[str, int]
    acknowledged: int
    lost: int
    twice: int
    sent: int
    sent_twice: int

    @classmethod
    def of(cls, load: Load, stored: list[tuple[str, str]], sent: Counter[str]) -> "Figures":
        """Compares what was acknowledged with what is there."""
        acknowledged = load.posts | load.profiles
        lost = set(acknowledged.items()) - set(stored)
        names = Counter(name for name, _ in stored)
        twice, sent_twice = ([name for name, count in of.items() if count > 1] for of in (names, sent))
        return cls(
            dict(load.retrying),
            dict(load.bare),
            len(acknowledged),
            len(lost),
            len(twice),
            len(sent),
            len(sent_twice),
        )

    @property
    def is_right(self) -> bool:
        """No call failed that was repeated as it should be, and nothing was lost or done twice."""
        mended = {"OK", "UNAVAILABLE", "CANCELLED"}
        wrong = self.lost or self.twice or self.sent_twice
        return set(self.retrying) == {"OK"} and set(self.bare) <= mended and not wrong

    def __str__(self) -> str:
        return (
            f"calls with the retry policy: {self.retrying}, without: {self.bare}; "
            f"writes: {self.acknowledged:,} acknowledged, {self.lost} lost, {self.twice} twice; "
            f"posts: {self.sent:,} sent, {self.sent_twice} twice"
        )
