"""The first schema. Ids are COLLATE "C": they are ASCII, and pages are ordered by them."""

from typing import Any

TABLES = """
CREATE TABLE project (
    id text COLLATE "C" NOT NULL CONSTRAINT project_pkey PRIMARY KEY,
    name text NOT NULL,
    redirect_urls text[] NOT NULL,
    create_time timestamptz NOT NULL
);
CREATE UNIQUE INDEX project_name ON project (name);

CREATE TABLE api_key (
    id text COLLATE "C" NOT NULL CONSTRAINT api_key_pkey PRIMARY KEY,
    project_id text COLLATE "C" NOT NULL
        CONSTRAINT api_key_project_id_fkey REFERENCES project (id) ON DELETE CASCADE,
    name text NOT NULL,
    hash bytea NOT NULL,
    read_only boolean NOT NULL,
    create_time timestamptz NOT NULL,
    revoke_time timestamptz
);
CREATE INDEX api_key_project_id ON api_key (project_id);
CREATE UNIQUE INDEX api_key_hash ON api_key (hash);

CREATE TABLE social_account (
    id text COLLATE "C" NOT NULL CONSTRAINT social_account_pkey PRIMARY KEY,
    project_id text COLLATE "C" NOT NULL
        CONSTRAINT social_account_project_id_fkey REFERENCES project (id) ON DELETE CASCADE,
    platform smallint NOT NULL,
    platform_user_id text NOT NULL,
    external_id text CONSTRAINT social_account_external_id_length
        CHECK (char_length(external_id) BETWEEN 1 AND 255),
    username text NOT NULL,
    display_name text NOT NULL,
    profile_photo_url text NOT NULL,
    state smallint NOT NULL,
    scopes text[] NOT NULL,
    access_token_expire_time timestamptz,
    metadata jsonb NOT NULL,
    version integer NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    connect_time timestamptz NOT NULL
);
CREATE UNIQUE INDEX social_account_project_id_platform_platform_user_id
    ON social_account (project_id, platform, platform_user_id);
CREATE INDEX social_account_project_id_id ON social_account (project_id, id);
CREATE INDEX social_account_project_id_external_id_id ON social_account (project_id, external_id, id);
CREATE INDEX social_account_project_id_username_id ON social_account (project_id, username, id);
CREATE INDEX social_account_project_id_state_id ON social_account (project_id, state, id);

CREATE TABLE social_account_token (
    social_account_id text COLLATE "C" NOT NULL CONSTRAINT social_account_token_pkey PRIMARY KEY
        CONSTRAINT social_account_token_social_account_id_fkey
        REFERENCES social_account (id) ON DELETE CASCADE,
    access_token bytea NOT NULL,
    refresh_token bytea
);

CREATE TABLE auth_session (
    state_hash bytea NOT NULL CONSTRAINT auth_session_pkey PRIMARY KEY,
    project_id text COLLATE "C" NOT NULL
        CONSTRAINT auth_session_project_id_fkey REFERENCES project (id) ON DELETE CASCADE,
    platform smallint NOT NULL,
    external_id text CONSTRAINT auth_session_external_id_length
        CHECK (char_length(external_id) BETWEEN 1 AND 255),
    social_account_id text COLLATE "C",
    code_verifier bytea NOT NULL,
    redirect_url text NOT NULL,
    create_time timestamptz NOT NULL,
    expire_time timestamptz NOT NULL,
    consume_time timestamptz
);
CREATE INDEX auth_session_project_id ON auth_session (project_id);
CREATE INDEX auth_session_expire_time ON auth_session (expire_time);

CREATE TABLE social_post (
    id text COLLATE "C" NOT NULL CONSTRAINT social_post_pkey PRIMARY KEY,
    project_id text COLLATE "C" NOT NULL
        CONSTRAINT social_post_project_id_fkey REFERENCES project (id) ON DELETE CASCADE,
    external_id text CONSTRAINT social_post_external_id_length
        CHECK (char_length(external_id) BETWEEN 1 AND 255),
    caption text NOT NULL,
    media jsonb NOT NULL,
    scheduled_time timestamptz,
    state smallint NOT NULL,
    platform_options jsonb NOT NULL,
    version integer NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL
);
CREATE INDEX social_post_project_id_id ON social_post (project_id, id);
CREATE INDEX social_post_project_id_external_id_id ON social_post (project_id, external_id, id);
CREATE INDEX social_post_project_id_state_id ON social_post (project_id, state, id);
CREATE INDEX social_post_project_id_scheduled_time ON social_post (project_id, scheduled_time);

CREATE TABLE social_post_target (
    social_post_id text COLLATE "C" NOT NULL CONSTRAINT social_post_target_social_post_id_fkey
        REFERENCES social_post (id) ON DELETE CASCADE,
    social_account_id text COLLATE "C" NOT NULL CONSTRAINT social_post_target_social_account_id_fkey
        REFERENCES social_account (id) ON DELETE RESTRICT,
    position smallint NOT NULL,
    state smallint NOT NULL,
    caption text,
    media jsonb,
    CONSTRAINT social_post_target_pkey PRIMARY KEY (social_post_id, social_account_id)
);
CREATE INDEX social_post_target_social_account_id_social_post_id
    ON social_post_target (social_account_id, social_post_id);

CREATE TABLE idempotent_request (
    project_id text COLLATE "C" NOT NULL CONSTRAINT idempotent_request_project_id_fkey
        REFERENCES project (id) ON DELETE CASCADE,
    request_id text NOT NULL,
    body_hash bytea NOT NULL,
    response bytea NOT NULL,
    create_time timestamptz NOT NULL,
    CONSTRAINT idempotent_request_pkey PRIMARY KEY (project_id, request_id)
);
CREATE INDEX idempotent_request_create_time ON idempotent_request (create_time);

CREATE TABLE audit_event (
    id text COLLATE "C" NOT NULL CONSTRAINT audit_event_pkey PRIMARY KEY,
    project_id text COLLATE "C" NOT NULL
        CONSTRAINT audit_event_project_id_fkey REFERENCES project (id) ON DELETE CASCADE,
    api_key_id text COLLATE "C" NOT NULL,
    action text NOT NULL,
    social_account_id text COLLATE "C" NOT NULL,
    from_external_id text,
    to_external_id text,
    create_time timestamptz NOT NULL
);
CREATE INDEX audit_event_project_id_id ON audit_event (project_id, id);

CREATE TABLE sandbox_grant (
    hash bytea NOT NULL CONSTRAINT sandbox_grant_pkey PRIMARY KEY,
    kind text NOT NULL,
    handle text NOT NULL,
    detail jsonb NOT NULL,
    expire_time timestamptz NOT NULL
);
CREATE INDEX sandbox_grant_expire_time ON sandbox_grant (expire_time);
"""


def up(migrator: Any, db: Any) -> None:  # noqa: ARG001 (the runner's signature)
    """Creates every table."""
    db.execute_sql(TABLES)
