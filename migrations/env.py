"""Migrations run on the application's own database, in one transaction where the database can do that."""

from typing import Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from flask import current_app
from sqlalchemy import Column, MetaData

from opsplatform.core import db as db_types

target = current_app.extensions["migrate"].db
config = context.config
config.set_main_option("sqlalchemy.url", target.engine.url.render_as_string(hide_password=False).replace("%", "%%"))


def _same_type(
    _context: object, _inspected: object, _column: Column[object], found: object, wanted: object
) -> bool | None:
    """MariaDB stores JSON as LONGTEXT, and what the models call Float(53) as DOUBLE."""
    same = ({"LONGTEXT", "JSON"}, {"DOUBLE", "Float"})
    return False if {type(found).__name__, type(wanted).__name__} in same else None


def _render(kind: str, item: object, autogen: AutogenContext) -> str | Literal[False]:
    """Name the platform's own column types instead of spelling them out for every database."""
    for name in ("Id", "Json", "LongBytes", "LongText", "UTCDateTime"):
        own = getattr(db_types, name)
        if kind == "type" and (item is own or (isinstance(own, type) and isinstance(item, own))):
            autogen.imports.add(f"from opsplatform.core.db import {name}")
            return f"{name}()" if isinstance(own, type) else name
    return False


def run() -> None:
    """Bring the database to the revision asked for."""
    metadata: MetaData = target.metadata
    with target.engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=metadata,
            render_as_batch=connection.dialect.name == "sqlite",
            compare_type=_same_type,
            render_item=_render,
            transaction_per_migration=True,
        )
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()


run()
