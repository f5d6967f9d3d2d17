"""The sandbox platform's own tables as Peewee models; see models.py."""

import peewee
from playhouse.postgres_ext import BinaryJSONField, DateTimeTZField

from server.storage.model import Model


class SandboxGrant(Model):
    """A login, code or token that the sandbox platform issued, by its SHA-256 (web/sandbox_grants.py)."""

    hash = peewee.BlobField(primary_key=True)
    kind = peewee.TextField()
    handle = peewee.TextField()
    detail = BinaryJSONField(index=False)
    expire_time = DateTimeTZField(index=True)


class SandboxPost(Model):
    """What was published on the sandbox platform; a comment has what it replies to (sandbox/)."""

    id = peewee.TextField(primary_key=True)
    handle = peewee.TextField()
    reply_to = peewee.TextField(null=True)
    text = peewee.TextField()
    media = BinaryJSONField(index=False)
    visibility = peewee.TextField()
    create_time = DateTimeTZField(index=True)


SandboxPost.add_index(SandboxPost.reply_to, where=SandboxPost.reply_to.is_null(False))


class SandboxMedia(Model):
    """A file that was uploaded to the sandbox platform (sandbox/)."""

    id = peewee.TextField(primary_key=True)
    handle = peewee.TextField()
    content_type = peewee.TextField()
    content = peewee.BlobField()
    create_time = DateTimeTZField(index=True)


class SandboxBehaviour(Model):
    """How the sandbox platform was told to misbehave (sandbox/)."""

    name = peewee.TextField(primary_key=True)
    value = BinaryJSONField(index=False)
    until_time = DateTimeTZField(null=True)
