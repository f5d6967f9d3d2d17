"""Databases of a known size for the benchmarks: built once by COPY, and kept.

What one owner or campaign has is spread over the whole table, as if it had come in over time: a user's
five accounts are on five pages, and the planner's statistics see a sample of what there is.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor
from tqdm import tqdm

from generated.hitchpost.v1 import platform_pb2
from generated.hitchpost.v1 import social_account_service_pb2 as accounts_pb
from generated.hitchpost.v1 import social_post_service_pb2 as posts_pb
from server.base.identity import utc_now
from server.projects import projects
from server.run import embedded
from server.storage import schema
from server.storage.database import database

SIZES = {"bench_10k": 10_000, "bench_1m": 1_000_000, "bench_10m": 10_000_000}
# A database of another version is built anew: raise it when what is loaded changes.
VERSION = 2

PER_EXTERNAL_ID = 5
AGENCY = "agency"
AGENCY_ACCOUNTS = 60
DUE_POSTS = 20

START = datetime(2026, 1, 1, tzinfo=UTC)
START_MS = int(START.timestamp()) * 1000
BASE32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
PAIRS = [a + b for a in BASE32 for b in BASE32]
ACCOUNT_STATES = (accounts_pb.SOCIAL_ACCOUNT_STATE_CONNECTED, accounts_pb.SOCIAL_ACCOUNT_STATE_NEEDS_REAUTH)
PLATFORMS = [number for number in platform_pb2.Platform.values() if number]
POST_STATES = (
    *[posts_pb.SOCIAL_POST_STATE_PUBLISHED] * 6,
    *[posts_pb.SOCIAL_POST_STATE_SCHEDULED] * 3,
    posts_pb.SOCIAL_POST_STATE_DRAFT,
)
NAMES = ("Anna", "Emil", "Ines", "Joao", "Lena", "Noah", "Yuki", "Zora")
CAPTION = "New in our shop: hand-made cups and bowls, glazed in all the colours of the sea. Come and see!"
NULL = r"\N"
# How many rows one read of COPY gets.
BLOCK = 1000

COLUMNS = {
    "social_account": "id, project_id, platform, platform_user_id, external_id, username, display_name,"
    " profile_photo_url, state, scopes, access_token_expire_time, metadata, version,"
    " create_time, update_time, connect_time",
    "social_post": "id, project_id, external_id, caption, media, scheduled_time, state, platform_options,"
    " version, create_time, update_time",
    "social_post_target": "project_id, social_post_id, social_account_id, position, state, caption, media",
}


@dataclass(frozen=True)
class Dataset:
    """A database that is loaded: one project with `rows` accounts and `rows` posts, and a key of it."""

    url: str
    project_id: str
    key: str
    rows: int


def build(server_uri_for: Callable[[str], str], name: str, rows: int) -> Dataset:
    """The database `name` with `rows` accounts and posts: the one that is there if complete, else a new one.

    `server_uri_for` makes a superuser's URL out of a database's name. Leaves `server.database` configured.
    """
    with closing(psycopg2.connect(server_uri_for("postgres"))) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        url, identifier = server_uri_for(name), sql.Identifier(name)
        cursor.execute("SELECT FROM pg_database WHERE datname = %s", [name])
        dataset = _complete(url, rows) if cursor.rowcount else None
        if dataset is None:
            cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(identifier))
            cursor.execute(sql.SQL("CREATE DATABASE {}").format(identifier))
    database.configure(url, timedelta(seconds=5))
    database.close()
    schema.migrate(database)
    return dataset or _load(url, rows)


def ulid(number: int) -> str:
    """What follows `sa_` or `sp_` in the id of account or post `number`: one millisecond after the last."""
    ms = START_MS + number
    return "".join(PAIRS[ms >> shift & 1023] for shift in (40, 30, 20, 10, 0)) + "0" * 16


def users(rows: int) -> int:
    """How many owners there are, user_0000001 and on, beside the agency."""
    return (rows - AGENCY_ACCOUNTS) // PER_EXTERNAL_ID


def _complete(url: str, rows: int) -> Dataset | None:
    with closing(psycopg2.connect(url)) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT FROM pg_tables WHERE tablename = 'benchmark_dataset'")
        if not cursor.rowcount:
            return None
        cursor.execute("SELECT project_id, key, rows, version FROM benchmark_dataset")
        project_id, key, *made = cursor.fetchone()
        return Dataset(url, project_id, key, rows) if made == [rows, VERSION] else None


def _load(url: str, rows: int) -> Dataset:
    project_id = projects.create("benchmark", utc_now())
    dataset = Dataset(url, project_id, projects.create_key(project_id, "benchmark", utc_now()), rows)
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute("SET session_replication_role = replica; SET maintenance_work_mem = '1GB'")
        indexes = _drop_indexes(cursor)
        _copy(cursor, dataset)
        for name, definition in indexes:
            with _phase(f"index {name}"):
                cursor.execute(definition)
        with _phase("vacuum"):
            cursor.execute(f"VACUUM (ANALYZE) {', '.join(COLUMNS)}")
        with _phase("checkpoint"):
            cursor.execute("CHECKPOINT")
        # Last, and at once: this is what says that the rest is there.
        cursor.execute(
            "CREATE TABLE benchmark_dataset AS SELECT %s AS project_id, %s AS key, %s AS rows, %s AS version",
            [project_id, dataset.key, rows, VERSION],
        )
    return dataset


def _drop_indexes(cursor: Cursor) -> list[tuple[str, str]]:
    """Drops all but those of constraints, and returns their names and how to create them again."""
    cursor.execute(
        "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index"
        " WHERE indrelid = ANY(%s::regclass[])"
        " AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid) ORDER BY 1",
        [list(COLUMNS)],
    )
    indexes = cursor.fetchall()
    cursor.execute(f"DROP INDEX {', '.join(name for name, _ in indexes)}")
    return indexes


def _copy(cursor: Cursor, dataset: Dataset) -> None:
    now = utc_now()
    makers = (_account_rows(dataset, now), _post_rows(dataset, now), _target_rows(dataset))
    # FREEZE, which saves VACUUM a second write, is for a table that the transaction has made or emptied.
    cursor.execute(f"BEGIN; TRUNCATE {', '.join(COLUMNS)} CASCADE")
    for (table, columns), row in zip(COLUMNS.items(), makers, strict=True):
        with (
            _phase(f"copy {table}"),
            tqdm(total=dataset.rows, desc=table, unit_scale=True, disable=None) as bar,
        ):
            cursor.copy_expert(
                f"COPY {table} ({columns}) FROM STDIN (FREEZE)", RowReader(bar, dataset.rows, row)
            )
    cursor.execute("COMMIT")


def _account_rows(dataset: Dataset, now: datetime) -> Callable[[int], str]:
    step, user_count = dataset.rows // AGENCY_ACCOUNTS, users(dataset.rows)
    expire_time = (now + timedelta(days=60)).isoformat()

    def row(number: int) -> str:
        turn, offset = divmod(number, step)
        owner = f"user_{(number - min(turn + 1, AGENCY_ACCOUNTS)) % user_count + 1:07}"
        if offset == 0 and turn < AGENCY_ACCOUNTS:
            owner = AGENCY
        name = NAMES[number % len(NAMES)]
        state = ACCOUNT_STATES[number * 3 % 100 < 3]
        created = _create_time(number)
        return (
            f"sa_{ulid(number)}\t{dataset.project_id}\t{PLATFORMS[number % len(PLATFORMS)]}\t"
            f"{10**16 + number}\t{owner}\t{name.lower()}_{number:07}\t{name} Example {number % 1000:03}\t"
            f"https://images.example.com/profiles/{number:010}/200x200.jpg\t{state}\t"
            f'{{posts.write,profile.read}}\t{expire_time}\t{{"plan": "pro"}}\t1\t'
            f"{created}\t{created}\t{created}\n"
        )

    return row


def _post_rows(dataset: Dataset, now: datetime) -> Callable[[int], str]:
    step, campaigns = dataset.rows // DUE_POSTS, dataset.rows // PER_EXTERNAL_ID
    due_time = (now - timedelta(hours=1)).isoformat()

    def row(number: int) -> str:
        turn, place = divmod(number, campaigns)
        # Without the turn, all posts of a campaign would have one state.
        state, scheduled_time = POST_STATES[(number + turn) % len(POST_STATES)], NULL
        distance = timedelta(days=1, minutes=number % (365 * 24 * 60))
        if number % step == step // 2 and number < step * DUE_POSTS:
            state, scheduled_time = posts_pb.SOCIAL_POST_STATE_SCHEDULED, due_time
        elif state == posts_pb.SOCIAL_POST_STATE_PUBLISHED:
            scheduled_time = (now - distance).isoformat()
        elif state == posts_pb.SOCIAL_POST_STATE_SCHEDULED:
            scheduled_time = (now + timedelta(days=365) + distance).isoformat()
        media = f'[{{"url": "https://media.example.com/{number:010}.jpg", "alt_text": ""}}]'
        created = _create_time(number)
        return (
            f"sp_{ulid(number)}\t{dataset.project_id}\tcampaign_{place + 1:07}\t"
            f"{CAPTION} https://example.com/{number:010}\t{'[]' if number % 3 else media}\t"
            f"{scheduled_time}\t{state}\t{{}}\t1\t{created}\t{created}\n"
        )

    return row


def _target_rows(dataset: Dataset) -> Callable[[int], str]:
    def row(number: int) -> str:
        ids = f"{dataset.project_id}\tsp_{ulid(number)}\tsa_{ulid(number)}"
        return f"{ids}\t0\t{posts_pb.SOCIAL_POST_TARGET_STATE_PENDING}\t{NULL}\t{NULL}\n"

    return row


def _create_time(number: int) -> str:
    return (START + timedelta(milliseconds=number)).isoformat()


class RowReader:
    """The file that COPY reads: so many rows, made when they are asked for, and shown on a progress bar."""

    def __init__(self, bar: tqdm, rows: int, row: Callable[[int], str]) -> None:
        self._bar = bar
        # Not the bar's: one that is not shown counts nothing.
        self._read, self._rows = 0, rows
        self._row = row

    def read(self, _size: int) -> str:
        """The next rows, or nothing after the last; psycopg2 takes more than it asks for."""
        block = range(self._read, min(self._read + BLOCK, self._rows))
        self._read = block.stop
        self._bar.update(len(block))
        return "".join(map(self._row, block))


@contextmanager
def _phase(name: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    print(f"{name}: {time.monotonic() - started:.1f} s", file=sys.stderr)


def main() -> None:
    """Builds one of SIZES in the embedded PostgreSQL of a folder."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("name", choices=SIZES)
    arguments = parser.parse_args()
    server = embedded.start(arguments.folder)
    try:
        print(build(lambda name: server.get_uri(database=name), arguments.name, SIZES[arguments.name]))
    finally:
        server.cleanup()


if __name__ == "__main__":
    main()
