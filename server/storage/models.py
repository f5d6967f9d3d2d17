"""The tables as Peewee models: what statements are built from. Migrations create them; a test proves
that the migrations add up to these models. Each table is queried by one module or room, named here."""

import peewee
from playhouse.postgres_ext import ArrayField, BinaryJSONField, DateTimeTZField

from server.storage.model import Model
from server.storage.sandbox_models import SandboxBehaviour, SandboxGrant, SandboxMedia, SandboxPost


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


class AdminKey(Model):
    """A key of no project, which administers all of them, by the SHA-256 of its text (projects.py)."""

    id = peewee.TextField(primary_key=True)
    name = peewee.TextField()
    hash = peewee.BlobField(unique=True)
    read_only = peewee.BooleanField()
    create_time = DateTimeTZField()
    revoke_time = DateTimeTZField(null=True)


class AdminEvent(Model):
    """What was done to a project or a key, by which admin key; without one from a shell (admin_events.py)."""

    id = peewee.TextField(primary_key=True)
    api_key_id = peewee.TextField(null=True)
    action = peewee.TextField()
    # "" when it concerns an admin key.
    project_id = peewee.TextField()
    subject = peewee.TextField()
    create_time = DateTimeTZField()


class PlatformApp(Model):
    """An OAuth client of a platform, secret encrypted, of a project or of one of its owners (projects/)."""

    project = peewee.ForeignKeyField(Project, on_delete="CASCADE", index=False)
    id = peewee.TextField()
    platform = peewee.SmallIntegerField()
    # Of the owner; "" for the project's own.
    external_id = peewee.TextField()
    # The server that it is registered at, for platforms of many; else "".
    instance = peewee.TextField()
    client_id = peewee.TextField()
    # JSON of the secret and the settings.
    secrets = peewee.BlobField()
    create_time = DateTimeTZField()
    update_time = DateTimeTZField()
    # Since when another app has its place, and it serves those alone who were connected by it.
    retire_time = DateTimeTZField(null=True)

    class Meta:
        primary_key = peewee.CompositeKey("project", "id")


PlatformApp.add_index(
    PlatformApp.project,
    PlatformApp.platform,
    PlatformApp.external_id,
    PlatformApp.instance,
    unique=True,
    where=PlatformApp.retire_time.is_null(),
)


class SocialAccount(Model):
    """A connected profile and its owner; (project, platform, platform_user_id) is its key (accounts/)."""

    id = peewee.TextField()
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
    # Why the state is NEEDS_REAUTH.
    reauth_reason = peewee.SmallIntegerField(null=True)
    # What the platform says of this account's posts, by the names of platforms/limits.py.
    limits = BinaryJSONField(null=True, index=False)

    class Meta:
        primary_key = peewee.CompositeKey("project", "id")
        indexes = (
            (("project", "platform", "platform_user_id"), True),
            (("project", "external_id", "id"), False),
            (("project", "username", "id"), False),
            (("project", "platform", "id"), False),
            (("project", "state", "id"), False),
        )


class SocialAccountToken(Model):
    """An account's tokens, encrypted, and when they are to be refreshed: due work (accounts/refreshes.py).

    A table of its own, so that no listing touches it.
    """

    project_id = peewee.TextField()
    social_account = peewee.ForeignKeyField(SocialAccount, field="id", on_delete="CASCADE", index=False)
    access_token = peewee.BlobField()
    refresh_token = peewee.BlobField(null=True)
    # What calls need beside the tokens, encrypted JSON; and how they were had: the row of platforms.toml, the
    # app, and the login, if its other accounts have the same tokens.
    context = peewee.BlobField(null=True)
    connection = peewee.TextField(null=True)
    platform_app_id = peewee.TextField(null=True)
    login_id = peewee.TextField(null=True)
    due_time = DateTimeTZField(null=True)
    lease_time = DateTimeTZField(null=True)
    # Never begins anew while the row is there: outcomes are fenced by it. What counts tries in vain since the
    # last success is another column.
    attempt = peewee.IntegerField()
    worker = peewee.TextField(null=True)
    refresh_failures = peewee.SmallIntegerField()

    class Meta:
        primary_key = peewee.CompositeKey("project_id", "social_account")


SocialAccountToken.add_index(
    SocialAccountToken.project_id,
    SocialAccountToken.login_id,
    where=SocialAccountToken.login_id.is_null(False),
)
SocialAccountToken.add_index(
    SocialAccountToken.project_id,
    SocialAccountToken.due_time,
    where=SocialAccountToken.due_time.is_null(False),
)


class TokenRevocation(Model):
    """Tokens, encrypted, that are to be revoked at their platform: due work (accounts/revocations.py)."""

    project = peewee.ForeignKeyField(Project, on_delete="CASCADE", index=False)
    id = peewee.TextField()
    platform = peewee.SmallIntegerField()
    social_account_id = peewee.TextField()
    access_token = peewee.BlobField()
    refresh_token = peewee.BlobField(null=True)
    create_time = DateTimeTZField()
    due_time = DateTimeTZField(null=True)
    lease_time = DateTimeTZField(null=True)
    attempt = peewee.IntegerField()
    worker = peewee.TextField(null=True)
    context = peewee.BlobField(null=True)
    connection = peewee.TextField(null=True)
    platform_app_id = peewee.TextField(null=True)
    # The call that has made it due, as a `traceparent`, if somebody traces.
    trace_context = peewee.TextField(null=True)

    class Meta:
        primary_key = peewee.CompositeKey("project", "id")


# Of the rows that are due some day; the rest of a table never makes a lease dearer.
TokenRevocation.add_index(
    TokenRevocation.project, TokenRevocation.due_time, where=TokenRevocation.due_time.is_null(False)
)


class AuthSession(Model):
    """A connection attempt, by the SHA-256 of its state (attempt_records.py); until they are confirmed with
    the profiles that it brought, encrypted (confirmations.py)."""

    state_hash = peewee.BlobField(primary_key=True)
    project = peewee.ForeignKeyField(Project, on_delete="CASCADE", index=False)
    platform = peewee.SmallIntegerField()
    external_id = peewee.TextField(null=True)
    social_account_id = peewee.TextField(null=True)
    code_verifier = peewee.BlobField()
    redirect_url = peewee.TextField()
    create_time = DateTimeTZField()
    expire_time = DateTimeTZField()
    consume_time = DateTimeTZField(null=True)
    receipt_hash = peewee.BlobField(null=True)
    result = BinaryJSONField(null=True, index=False)
    connection = peewee.TextField(null=True)
    platform_app_id = peewee.TextField(null=True)
    # What the platform needs when the browser comes back, encrypted JSON.
    flow = peewee.BlobField(null=True)
    require_confirmation = peewee.BooleanField()
    confirmation_hash = peewee.BlobField(null=True)
    profiles = peewee.BlobField(null=True)
    erase_time = DateTimeTZField(null=True)

    class Meta:
        indexes = ((("project", "expire_time"), False),)


for _column in (AuthSession.confirmation_hash, AuthSession.erase_time):
    AuthSession.add_index(AuthSession.project, _column, where=_column.is_null(False))


class SocialPost(Model):
    """A post (posts/). Its state follows from its targets'."""

    id = peewee.TextField()
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
    follow_ups = BinaryJSONField(index=False)

    class Meta:
        primary_key = peewee.CompositeKey("project", "id")
        indexes = (
            (("project", "external_id", "id"), False),
            (("project", "state", "id"), False),
            (("project", "state", "scheduled_time", "id"), False),
        )


class SocialPostTarget(Model):
    """A post as it concerns one account; what differs there is null where it does not (posts/). Sending it is
    due work (publish/)."""

    project_id = peewee.TextField()
    social_post = peewee.ForeignKeyField(SocialPost, field="id", on_delete="CASCADE", index=False)
    social_account = peewee.ForeignKeyField(SocialAccount, field="id", on_delete="RESTRICT", index=False)
    position = peewee.SmallIntegerField()
    state = peewee.SmallIntegerField()
    caption = peewee.TextField(null=True)
    media = BinaryJSONField(null=True, index=False)
    # Whose the account was when this was scheduled.
    owner = peewee.TextField(null=True)
    # Its place among what the account has to send: unlike due_time it stays when it is tried again.
    queue_time = DateTimeTZField(null=True)
    due_time = DateTimeTZField(null=True)
    lease_time = DateTimeTZField(null=True)
    # Leases, by which outcomes are fenced; how often it was begun to be sent is attempt_count.
    attempt = peewee.IntegerField()
    worker = peewee.TextField(null=True)
    attempt_count = peewee.IntegerField()
    send_time = DateTimeTZField(null=True)
    publish_time = DateTimeTZField(null=True)
    platform_post_id = peewee.TextField(null=True)
    platform_post_url = peewee.TextField(null=True)
    error = BinaryJSONField(null=True, index=False)
    # What its steps have brought, and what became of its follow-ups (publish/records.py).
    steps = BinaryJSONField(index=False)
    follow_ups = BinaryJSONField(index=False)
    # The call that has made it due, as a `traceparent`, if somebody traces.
    trace_context = peewee.TextField(null=True)

    class Meta:
        primary_key = peewee.CompositeKey("project_id", "social_post", "social_account")
        indexes = (
            (("project_id", "social_account", "social_post"), False),
            (("project_id", "state", "social_post", "social_account"), False),
        )


_SENDABLE = SocialPostTarget.due_time.is_null(False) & SocialPostTarget.state.in_((1, 2))
SocialPostTarget.add_index(
    SocialPostTarget.project_id,
    SocialPostTarget.due_time,
    where=SocialPostTarget.due_time.is_null(False),
)
SocialPostTarget.add_index(
    SocialPostTarget.index(
        SocialPostTarget.project_id,
        SocialPostTarget.social_account,
        SocialPostTarget.queue_time,
        SocialPostTarget.social_post,
        where=_SENDABLE,
        name="social_post_target_queue",
    )
)
# One account sends one target at a time.
SocialPostTarget.add_index(
    SocialPostTarget.index(
        SocialPostTarget.project_id,
        SocialPostTarget.social_account,
        unique=True,
        where=SocialPostTarget.state == 2,
        name="social_post_target_sending",
    )
)


class RateLimit(Model):
    """Until when a platform takes no calls of an account, an app or this server (publish/rate_limits.py)."""

    project = peewee.ForeignKeyField(Project, on_delete="CASCADE", index=False)
    scope = peewee.TextField()
    until_time = DateTimeTZField()

    class Meta:
        primary_key = peewee.CompositeKey("project", "scope")
        indexes = ((("project", "until_time"), False),)


class IdempotentRequest(Model):
    """The first answer to a request_id (idempotency.py)."""

    project = peewee.ForeignKeyField(Project, on_delete="CASCADE", index=False)
    request_id = peewee.TextField()
    body_hash = peewee.BlobField()
    response = peewee.BlobField()
    create_time = DateTimeTZField()

    class Meta:
        primary_key = peewee.CompositeKey("project", "request_id")
        indexes = ((("project", "create_time"), False),)


class AuditEvent(Model):
    """What changed an owner, by whose key (ownership.py)."""

    id = peewee.TextField()
    project = peewee.ForeignKeyField(Project, on_delete="CASCADE", index=False)
    api_key_id = peewee.TextField()
    action = peewee.TextField()
    social_account_id = peewee.TextField()
    from_external_id = peewee.TextField(null=True)
    to_external_id = peewee.TextField(null=True)
    create_time = DateTimeTZField()

    class Meta:
        primary_key = peewee.CompositeKey("project", "id")


TABLES = (
    Project,
    ApiKey,
    AdminKey,
    AdminEvent,
    PlatformApp,
    SocialAccount,
    SocialAccountToken,
    TokenRevocation,
    AuthSession,
    SocialPost,
    SocialPostTarget,
    IdempotentRequest,
    AuditEvent,
    RateLimit,
    SandboxGrant,
    SandboxPost,
    SandboxMedia,
    SandboxBehaviour,
)
