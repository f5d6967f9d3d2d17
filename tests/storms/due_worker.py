"""A worker of the storm's own kind of due work, in a process that may be killed or stopped:
python -m tests.storms.due_worker URL."""

import os
import sys
import time
from datetime import timedelta
from typing import NamedTuple

from server.storage.database import database
from server.storage.due_work import Kind

LEASE_SECONDS, LOOK_SECONDS = 3.0, 2.0
BATCH, SHARE = 50, 10

# Triggers note each lease and each outcome in the transaction that makes it, and whose connection that was.
TABLES = """
CREATE TABLE storm (project_id text COLLATE "C", id bigint, due_time timestamptz, lease_time timestamptz,
  attempt integer NOT NULL DEFAULT 0, worker text, PRIMARY KEY (project_id, id));
CREATE INDEX storm_due ON storm (project_id, due_time) WHERE due_time IS NOT NULL;
CREATE TABLE leased (project_id text, id bigint, attempt integer, lease_time timestamptz, pid integer,
  number bigserial, PRIMARY KEY (id, attempt));
CREATE TABLE ended (id bigint, attempt integer, pid integer);
CREATE TABLE refused (outcomes integer);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF NEW.attempt > OLD.attempt THEN
    INSERT INTO leased VALUES (NEW.project_id, NEW.id, NEW.attempt, NEW.lease_time, pg_backend_pid());
  ELSIF NEW.due_time IS NULL THEN
    INSERT INTO ended VALUES (NEW.id, NEW.attempt, pg_backend_pid());
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER note AFTER UPDATE ON storm FOR EACH ROW EXECUTE FUNCTION note();
"""
LEFT = "SELECT 1 FROM storm WHERE due_time IS NOT NULL LIMIT 1"


class Row(NamedTuple):
    """A row of the storm."""

    project_id: str
    id: int


KIND = Kind("storm", "storm", Row, batch=BATCH, share=SHARE, seconds=LEASE_SECONDS)


def main() -> None:
    """Works until it is killed, or nothing is left that may become due."""
    database.configure(sys.argv[1], timedelta(seconds=20))
    while (batch := KIND.lease(f"storm/{os.getpid()}")) or database.fetch(LEFT):
        if any(leased.ran_out for leased in batch):
            # What somebody else may have done is looked into; meanwhile they may come back.
            time.sleep(LOOK_SECONDS)
        refused = sum(not KIND.done(leased) for leased in batch)
        if refused:
            database.fetch("INSERT INTO refused VALUES (%s)", [refused])


if __name__ == "__main__":
    main()
