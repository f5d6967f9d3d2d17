"""The keys with the project become the primary keys; what the version before needed goes."""

from typing import Any

from server.storage import online

# The tables, and how many columns their primary key gets.
PRIMARY = {
    "social_account": 2,
    "social_account_token": 2,
    "social_post": 2,
    "social_post_target": 3,
    "audit_event": 2,
}

atomic = False


def up(migrator: Any, db: Any) -> None:  # noqa: ARG001 (the runner's signature)
    """Only the catalog is written; the indexes are there."""
    for table in ("social_account_token", "social_post_target"):
        online.briefly(db, table, f"DROP TRIGGER IF EXISTS {table}_project ON {table}")
    db.execute_sql("DROP FUNCTION IF EXISTS project_of_social_account")
    for table, columns in PRIMARY.items():
        name = f"{table}_pkey"
        if not online.has_constraint(db, table, name, columns):
            online.briefly(
                db,
                table,
                f"""ALTER TABLE {table} DROP CONSTRAINT {name},
                ADD CONSTRAINT {name} PRIMARY KEY USING INDEX {name}_new""",
            )
    online.drop_index(db, "social_post_target_social_account_id_social_post_id")
