"""What every model of a table is made of."""

import peewee

from server.storage.database import database


class Model(peewee.Model):
    """A table named like its class."""

    class Meta:
        database = database.peewee
        legacy_table_names = False
