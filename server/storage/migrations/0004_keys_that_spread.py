"""The project in every key of its tables, so that a distributed PostgreSQL can spread projects.

The version before may serve while this runs, and after it: a trigger fills in the project that it does not
write, and the keys that it relies on stay until `hitchpost migrate --finish` (finish/), when none of its
servers is left. Decision 19 has the reasons.

With 1,000,000 accounts with tokens and 1,000,000 posts (2.3 GB), and the version before reading and writing
on the same two cores: 107 seconds, of which 64 fill the column and 36 build indexes and check foreign keys.
No call failed; the longest write took 229 ms, the longest read 181 ms. The database grew by 1.1 GB, with
3.6 GB of WAL; `--finish` took 0.3 s, and gave 0.5 GB back.
"""

from typing import Any

from server.storage import online

# Until now nothing in these rows said whose they are. In one transaction, so that from the moment
# there is a column, every new row has a project.
FILLED = """
ALTER TABLE {table} ADD COLUMN IF NOT EXISTS project_id text COLLATE "C";
CREATE OR REPLACE TRIGGER {table}_project BEFORE INSERT ON {table}
    FOR EACH ROW WHEN (NEW.project_id IS NULL) EXECUTE FUNCTION project_of_social_account()
"""
FILL = """
CREATE OR REPLACE FUNCTION project_of_social_account() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.project_id := (SELECT project_id FROM social_account WHERE id = NEW.social_account_id);
    RETURN NEW;
END $$
"""
PROJECT = "(SELECT project_id FROM social_account WHERE id = {table}.social_account_id)"
# The tables that lacked the column, and the key by which it is filled.
WITHOUT_PROJECT = {"social_account_token": "social_account_id", "social_post_target": "social_post_id"}

UNIQUE = {
    "social_account": "project_id, id",
    "social_account_token": "project_id, social_account_id",
    "social_post": "project_id, id",
    "social_post_target": "project_id, social_post_id, social_account_id",
    "audit_event": "project_id, id",
}
# With the same names as before, which servers of both versions know.
FOREIGN_KEYS = (
    ("social_account_token", "social_account", "social_account_id", "CASCADE"),
    ("social_post_target", "social_post", "social_post_id", "CASCADE"),
    ("social_post_target", "social_account", "social_account_id", "RESTRICT"),
)
REPLACED = ("social_account_project_id_id", "social_post_project_id_id", "audit_event_project_id_id")

atomic = False


def up(migrator: Any, db: Any) -> None:  # noqa: ARG001 (the runner's signature)
    """Adds columns, indexes and foreign keys beside the old ones; see finish/ for the primary keys."""
    db.execute_sql(FILL)
    for table, key in WITHOUT_PROJECT.items():
        online.briefly(db, table, FILLED.format(table=table))
        online.fill(db, table, "project_id", PROJECT.format(table=table), key)
        online.require(db, table, "project_id")
    for table, columns in UNIQUE.items():
        online.build_index(db, f"{table}_pkey_new", f"{table} ({columns})", unique=True)
    online.build_index(
        db,
        "social_post_target_project_id_social_account_id_social_post_id",
        "social_post_target (project_id, social_account_id, social_post_id)",
    )
    for table, referenced, column, on_delete in FOREIGN_KEYS:
        _refer(db, table, referenced, column, on_delete)
    for name in REPLACED:
        online.drop_index(db, name)


def _refer(db: Any, table: str, referenced: str, column: str, on_delete: str) -> None:
    """The foreign key with the project instead of that without; at no time is there none."""
    name = f"{table}_{column}_fkey"
    if not online.has_constraint(db, table, name, 2):
        online.briefly(
            db,
            f"{table}, {referenced}",
            f"""ALTER TABLE {table} DROP CONSTRAINT {name}, ADD CONSTRAINT {name}
            FOREIGN KEY (project_id, {column}) REFERENCES {referenced} (project_id, id)
            ON DELETE {on_delete} NOT VALID""",
        )
    db.execute_sql(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")
