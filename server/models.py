"""The tables as Peewee models: what statements are built from. Migrations create them; a test proves
that the migrations add up to these models. Each table is queried by one module, named here."""

import peewee
from playhouse.postgres_ext import ArrayField, BinaryJSONField, DateTimeTZField

from server.database import database


class Model(peewee.Model):
    """A table named like its class."""

    class Meta:
        database = database.peewee
        legacy_table_names = False


class Project(Model):
    """A tenant: its accounts, posts and keys are invisible to every other (projects.py)."""

    id = peewee.TextField(primary_key=True)
    name = peewee.TextField(unique=True)
    redirect_urls = ArrayField(peewee.TextField, index=False)
    create_time = DateTimeTZField()


class ApiKey(Model):
    """A key of a project, by the SHA-256 of its text (projects.py)."""

    id = peewee.TextField(primary_key=True)
    project = peewee.ForeignKeyField(Project, on_delete="CASCADE")
    name = peewee.TextField()
    hash = peewee.BlobField(unique=True)
    read_only = peewee.BooleanField()
    create_time = DateTimeTZField()
    revoke_time = DateTimeTZField(null=True)


class SocialAccount(Model):
    """A connected profile and its owner; (project, platform, platform_user_id) is its key (accounts.py)."""

    id = peewee.TextField(primary_key=True)
    project = peewee.ForeignKeyField(Project, on_delete="CASCADE", index=False)
    platform = peewee.SmallIntegerField()
    platform_user_id = peewee.TextField()
    external_id = peewee.TextField(null=True)
    username = peewee.TextField()
    display_name = peewee.TextField()
    profile_photo_url = peewee.TextField()
    state = peewee.SmallIntegerField()
    scopes = ArrayField(peewee.TextField, index=False)
    access_token_expire_time = DateTimeTZField(null=True)
    metadata = BinaryJSONField(index=False)
    version = peewee.IntegerField()
    create_time = DateTimeTZField()
    update_time = DateTimeTZField()
    connect_time = DateTimeTZField()

    class Meta:
        indexes = (
            (("project", "platform", "platform_user_id"), True),
            (("project", "id"), False),
            (("project", "external_id", "id"), False),
            (("project", "username", "id"), False),
            (("project", "platform", "id"), False),
            (("project", "state", "id"), False),
        )


class SocialAccountToken(Model):
    """An account's tokens, encrypted (accounts.py). A table of its own, so that no listing touches it."""

    social_account = peewee.ForeignKeyField(SocialAccount, primary_key=True, on_delete="CASCADE")
    access_token = peewee.BlobField()
    refresh_token = peewee.BlobField(null=True)


class AuthSession(Model):
    """A connection attempt, by the SHA-256 of its state (connections.py)."""

    state_hash = peewee.BlobField(primary_key=True)
    project = peewee.ForeignKeyField(Project, on_delete="CASCADE")
    platform = peewee.SmallIntegerField()
    external_id = peewee.TextField(null=True)
    social_account_id = peewee.TextField(null=True)
    code_verifier = peewee.BlobField()
    redirect_url = peewee.TextField()
    create_time = DateTimeTZField()
    expire_time = DateTimeTZField(index=True)
    consume_time = DateTimeTZField(null=True)
    receipt_hash = peewee.BlobField(null=True)
    result = BinaryJSONField(null=True, index=False)


class SocialPost(Model):
    """A draft or a scheduled post (posts.py)."""

    id = peewee.TextField(primary_key=True)
    project = peewee.ForeignKeyField(Project, on_delete="CASCADE", index=False)
    external_id = peewee.TextField(null=True)
    caption = peewee.TextField()
    media = BinaryJSONField(index=False)
    scheduled_time = DateTimeTZField(null=True)
    state = peewee.SmallIntegerField()
    platform_options = BinaryJSONField(index=False)
    version = peewee.IntegerField()
    create_time = DateTimeTZField()
    update_time = DateTimeTZField()

    class Meta:
        indexes = (
            (("project", "id"), False),
            (("project", "external_id", "id"), False),
            (("project", "state", "id"), False),
            (("project", "state", "scheduled_time", "id"), False),
        )


class SocialPostTarget(Model):
    """A post as it concerns one account; what differs there is null where it does not (posts.py)."""

    social_post = peewee.ForeignKeyField(SocialPost, on_delete="CASCADE", index=False)
    social_account = peewee.ForeignKeyField(SocialAccount, on_delete="RESTRICT", index=False)
    position = peewee.SmallIntegerField()
    state = peewee.SmallIntegerField()
    caption = peewee.TextField(null=True)
    media = BinaryJSONField(null=True, index=False)

    class Meta:
        primary_key = peewee.CompositeKey("social_post", "social_account")
        indexes = ((("social_account", "social_post"), False),)


class IdempotentRequest(Model):
    """The first answer to a request_id (idempotency.py)."""

    project = peewee.ForeignKeyField(Project, on_delete="CASCADE", index=False)
    request_id = peewee.TextField()
    body_hash = peewee.BlobField()
    response = peewee.BlobField()
    create_time = DateTimeTZField(index=True)

    class Meta:
        primary_key = peewee.CompositeKey("project", "request_id")


class AuditEvent(Model):
    """What changed an owner, by whose key (accounts.py)."""

    id = peewee.TextField(primary_key=True)
    project = peewee.ForeignKeyField(Project, on_delete="CASCADE", index=False)
    api_key_id = peewee.TextField()
    action = peewee.TextField()
    social_account_id = peewee.TextField()
    from_external_id = peewee.TextField(null=True)
    to_external_id = peewee.TextField(null=True)
    create_time = DateTimeTZField()

    class Meta:
        indexes = ((("project", "id"), False),)


class SandboxGrant(Model):
    """A login, code or token that the sandbox platform issued, by its SHA-256 (web/sandbox_grants.py)."""

    hash = peewee.BlobField(primary_key=True)
    kind = peewee.TextField()
    handle = peewee.TextField()
    detail = BinaryJSONField(index=False)
    expire_time = DateTimeTZField(index=True)


TABLES = (
    Project,
    ApiKey,
    SocialAccount,
    SocialAccountToken,
    AuthSession,
    SocialPost,
    SocialPostTarget,
    IdempotentRequest,
    AuditEvent,
    SandboxGrant,
)
