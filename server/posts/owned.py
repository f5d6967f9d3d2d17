"""Whose a post is, in SQL: its accounts' common owner's, `$owner`.

OFFSET 0 keeps PostgreSQL from joining tables that it still believes to be small, by reading all of one.
"""

# The accounts of the owner.
ACCOUNTS = """ARRAY(
        SELECT account.id FROM social_account account
        WHERE account.project_id = $project AND account.external_id = $owner
      )"""


def to_others(post_id: str) -> str:
    """Whether the post with this id, an SQL expression, is for an account that is not the owner's."""
    return f"""EXISTS (
        SELECT FROM social_post_target every, LATERAL (
          SELECT FROM social_account account
          WHERE account.project_id = $project AND account.id = every.social_account_id
            AND account.external_id IS DISTINCT FROM $owner OFFSET 0
        ) others
        WHERE every.project_id = $project AND every.social_post_id = {post_id} OFFSET 0
      )"""
