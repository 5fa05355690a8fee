"""`manage.py backup` and `restore`: the whole database as it was at one moment, into one file and out of it again.

A backup reads every table in one transaction that sees one moment (SQLite in WAL mode by itself, the others with
REPEATABLE READ); everybody works on meanwhile. What is sealed stays sealed. The keys are not in it.
"""

import base64
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from alembic import command
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from flask import current_app
from flask_migrate import Migrate
from sqlalchemy import Connection, MetaData, Row, TableClause, func, insert, inspect, select, table, text
from sqlalchemy.exc import DBAPIError

from opsplatform.approvals import inbox
from opsplatform.core import archive, health, openrpc
from opsplatform.core.archive import About, Archive, Manifest, Member
from opsplatform.core.db import MARIADB, db, now, reading, transaction
from opsplatform.core.errors import OpsError
from opsplatform.core.sealing import SealError, key_id, open_with, seal_with
from opsplatform.core.settings import settings
from opsplatform.runs import restored as runs

MIGRATIONS = health.MIGRATIONS.parent
VERSION_TABLE = "alembic_version"
PROOF = "backup"
READ_AT_ONCE, WRITE_AT_ONCE = 50, 100


class BackupError(OpsError):
    """A backup or a restore cannot be done; the text says what to do."""


@dataclass(frozen=True)
class Restored:
    """What a restore brought back; `under_way` are the runs that had not ended, with their status."""

    manifest: Manifest
    under_way: list[tuple[int, str]]
    last_run: int


def backup(path: Path) -> Manifest:
    """Write the database to a file, as it is at this moment."""
    trouble = health.database_trouble() or health.migrations_trouble()
    if trouble:
        raise BackupError(f"There is nothing to back up: {trouble}.")
    about = About(
        version=openrpc.version(),
        revision=health.revision_in_code(),
        database="mariadb" if db.engine.dialect.name in MARIADB else db.engine.dialect.name,
        made_at=now(),
    )
    used: set[str] = set()
    with archive.written(path) as writer, _one_moment() as connection:
        for each in db.metadata.sorted_tables:
            with connection.execute(select(*each.columns)) as rows:
                writer.add(each, _noting_keys(rows, used))
        about.keys = {name: _proof(name) for name in sorted(used)}
        return writer.finish(about)


def restore(path: Path, *, force: bool = False, moved: bool = False, migrations: Path = MIGRATIONS) -> Restored:
    """Fill an empty database from a backup, and bring it to the newest migration.

    Args:
        path: the backup.
        force: empty the database first.
        moved: nothing was done since the backup was made, so plans may be applied without another look.
        migrations: where the migrations are.
    """
    trouble = health.database_trouble()
    if trouble:
        raise BackupError(f"There is nothing to restore into: {trouble}.")
    with archive.opened(path) as found:
        found.verify()
        alembic = _alembic(migrations)
        _require_known_revision(found.manifest, alembic)
        _require_keys(found.manifest)
        _make_room(found.manifest, force=force)
        command.upgrade(alembic, found.manifest.revision)
        _load(found)
        command.upgrade(alembic, "head")
    with transaction():
        if not moved:
            runs.distrust_all()
            inbox.distrust_events()
        return Restored(found.manifest, runs.under_way(), runs.last_run())


@contextmanager
def _one_moment() -> Iterator[Connection]:
    """A connection that sees the database as it is at its first look, to the end."""
    with db.engine.connect() as connection:
        if connection.dialect.name != "sqlite":
            connection.execution_options(isolation_level="REPEATABLE READ")
        connection.execution_options(yield_per=READ_AT_ONCE)
        with connection.begin():
            yield connection


def _noting_keys(rows: Iterable[Row[Any]], used: set[str]) -> Iterator[Row[Any]]:
    """The rows as they are; which keys seal values in them is noted on the way."""
    for row in rows:
        for value in row:
            if isinstance(value, bytes):
                with suppress(SealError):
                    used.add(key_id(value))
        yield row


def _proof(name: str) -> str | None:
    """What only the very same key opens; None for a key that SEAL_KEYS does not hold."""
    key = settings().sealing_keys.get(name)
    return None if key is None else base64.b64encode(seal_with({name: key}, PROOF.encode(), PROOF)).decode()


def _alembic(migrations: Path) -> Any:  # noqa: ANN401 - a package without types
    app = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 - the proxy's documented way to what it stands for
    Migrate(app, db, directory=str(migrations))
    return app.extensions["migrate"].migrate.get_config()


def _require_known_revision(manifest: Manifest, alembic: Any) -> None:  # noqa: ANN401 - as above
    try:
        ScriptDirectory.from_config(alembic).get_revision(manifest.revision)
    except CommandError as error:
        raise BackupError(
            f"The backup was made by version {manifest.version}, which is newer than this one "
            f"(migration {manifest.revision} is not known here); install that version and restore again."
        ) from error


def _require_keys(manifest: Manifest) -> None:
    """Refuse before anything is changed when what is sealed in the backup could not be opened here."""
    for name, proof in manifest.keys.items():
        if proof is None:
            continue  # it could not be opened where the backup was made either
        try:
            open_with(settings().sealing_keys, base64.b64decode(proof), PROOF)
        except SealError as error:
            raise BackupError(
                f"The backup holds values that are sealed with the key {name}, and SEAL_KEYS does not hold that key "
                "(or another one under this name); add it behind the first one and restore again."
            ) from error


def _make_room(manifest: Manifest, *, force: bool) -> None:
    """Take away our tables, empty ones or with `force` all."""
    ours = {*db.metadata.tables, *(member.table for member in manifest.tables), VERSION_TABLE}
    there = [name for name in inspect(db.engine).get_table_names() if name in ours]
    with reading():
        full = [name for name in there if name != VERSION_TABLE and _has_rows(name)]
    if full and not force:
        raise BackupError(
            f"The database is not empty ({', '.join(sorted(full))}): name another one in DATABASE_URL, "
            "or say --force, which deletes what is there."
        )
    old = MetaData()
    old.reflect(db.engine, only=there)
    old.drop_all(db.engine)


def _has_rows(name: str) -> bool:
    return db.session.execute(select(text("1")).select_from(table(name)).limit(1)).first() is not None


def _load(found: Archive) -> None:
    """Write every row in one transaction."""
    with transaction():
        for member in found.manifest.tables:
            try:
                count = _write(member.target, found.rows(member))
            except DBAPIError as error:
                raise BackupError(
                    f"The rows of {member.table} do not fit into this database ({type(error.orig).__name__})."
                ) from error
            if count != member.rows:
                raise BackupError(f"{member.table} holds {count} rows and should hold {member.rows}.")
            if db.engine.dialect.name == "postgresql":
                _go_on_counting(member)


def _write(target: TableClause, rows: Iterator[dict[str, Any]]) -> int:
    count = 0
    while some := list(islice(rows, WRITE_AT_ONCE)):
        db.session.execute(insert(target), some)
        count += len(some)
    return count


def _go_on_counting(member: Member) -> None:
    """Let PostgreSQL's sequences give out ids above those that are there."""
    for name, kind in member.columns:
        if kind != "int":
            continue
        sequence = db.session.scalar(select(func.pg_get_serial_sequence(f'"{member.table}"', name)))
        highest = sequence and db.session.scalar(select(func.max(member.target.c[name])))
        if highest:
            db.session.execute(select(func.setval(sequence, highest)))
