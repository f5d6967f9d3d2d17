"""What every command begins with: the settings of the environment, and the database they lead to."""

import os
import sys

import click
from pydantic import SecretStr, ValidationError

from server.base import logs
from server.config import Settings
from server.run import embedded, mistakes, setting_errors
from server.storage.database import database


def read_settings() -> Settings:
    """The settings. Raises ClickException with a line for each that is wrong, SettingsRefused."""
    mistakes.refuse_unknown(os.environ)
    try:
        settings = Settings()
    except ValidationError as error:
        raise click.ClickException("\n".join(setting_errors.explain(error))) from None
    mistakes.refuse_accidental_dev_mode(settings)
    logs.configure(settings.log_level)
    return settings


def with_database(settings: Settings) -> Settings:
    """The settings with a database and an encryption key, which dev mode starts and makes itself."""
    if settings.database_url is None:
        url = embedded.start(settings.data_dir).get_uri()
        settings = settings.model_copy(update={"database_url": SecretStr(url)})
    else:
        url = settings.database_url.get_secret_value()
    if settings.encryption_keys is None and settings.dev_mode:
        key = embedded.encryption_key(settings.data_dir)
        settings = settings.model_copy(update={"encryption_keys": SecretStr(key)})
    database.configure(url, settings.statement_timeout)
    return settings


def nobody_looks() -> bool:
    """Whether nobody looks at a progress bar."""
    return not sys.stderr.isatty()
