"""The database: typed base, column types that mean the same everywhere, and the only commit.

SQLite runs in WAL mode with full sync. A writing transaction begins IMMEDIATE, so that two writers queue up and
never fail half-way; a reading one begins deferred and blocks nobody.
"""

import datetime as dt
import fcntl
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import (
    JSON,
    BigInteger,
    Connection,
    DateTime,
    Dialect,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    event,
    make_url,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, registry
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement
from sqlalchemy.types import Float

MARIADB = ("mysql", "mariadb")
BUSY_TIMEOUT_MS = 30_000
MOST_TRIES = 3
# How the databases say that they gave a transaction up for the sake of another one; nothing of it was kept.
GIVEN_UP_POSTGRESQL = {"40001", "40P01"}  # serialization failure, deadlock
GIVEN_UP_MARIADB = {1205, 1213}  # waited too long for a lock, deadlock

T = TypeVar("T")

log = logging.getLogger(__name__)

_writing: ContextVar[bool] = ContextVar("writing", default=False)


class UTCDateTime(TypeDecorator[dt.datetime]):
    """A moment in UTC with microseconds; aware on the way in and out, whatever the database stores."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:  # noqa: ANN401 - the type of the engine's own value
        """Keep microseconds on MariaDB too, where the default has none."""
        if dialect.name in MARIADB:
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        """Refuse a naive time; store UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone cannot be stored")
        value = value.astimezone(dt.UTC)
        return value if dialect.name == "postgresql" else value.replace(tzinfo=None)

    def process_result_value(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        """Say that it is UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)


LongText = Text().with_variant(mysql.LONGTEXT(), *MARIADB)
LongBytes = LargeBinary().with_variant(mysql.LONGBLOB(), *MARIADB)
Id = BigInteger().with_variant(Integer(), "sqlite")
Json = JSON(none_as_null=True)


class Base(DeclarativeBase):
    """What every model stands on; constraint names are fixed, so that migrations can name them."""

    registry = registry(
        metadata=MetaData(
            naming_convention={
                "ix": "ix_%(table_name)s_%(column_0_N_name)s",
                "uq": "uq_%(table_name)s_%(column_0_N_name)s",
                "ck": "ck_%(table_name)s_%(constraint_name)s",
                "fk": "fk_%(table_name)s_%(column_0_N_name)s",
                "pk": "pk_%(table_name)s",
            }
        ),
        type_annotation_map={
            dt.datetime: UTCDateTime(),
            str: String(255),
            bytes: LongBytes,
            int: Id,
            dict[str, Any]: Json,
            list[Any]: Json,
        },
    )


db = SQLAlchemy(model_class=Base, disable_autonaming=True)


class epoch(FunctionElement[float]):  # noqa: N801 - it reads as the SQL function it is
    """The database's own clock in seconds since 1970, so that hosts need not agree about time."""

    type = Float()
    inherit_cache = True


@compiles(epoch, "sqlite")
def _epoch_sqlite(_element: epoch, _compiler: SQLCompiler, **_kw: object) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(epoch, "postgresql")
def _epoch_postgresql(_element: epoch, _compiler: SQLCompiler, **_kw: object) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) AS DOUBLE PRECISION)"


@compiles(epoch, "mysql", "mariadb")
def _epoch_mariadb(_element: epoch, _compiler: SQLCompiler, **_kw: object) -> str:
    return "CAST(unix_timestamp(sysdate(6)) AS DOUBLE)"


@event.listens_for(Table, "after_parent_attach")
def _compare_bytes_on_mariadb(table: Table, _metadata: MetaData) -> None:
    """Tell `a` from `A` on MariaDB, as the other databases do."""
    for name in MARIADB:
        table.dialect_options[name]["charset"] = "utf8mb4"
        table.dialect_options[name]["collate"] = "utf8mb4_bin"


def init_db(app: Flask, url: str) -> None:
    """Bind the database to the application."""
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = _engine_options(url)
    db.init_app(app)
    with app.app_context():
        if db.engine.dialect.name == "sqlite":
            _prepare_sqlite(db.engine)


def _engine_options(url: str) -> dict[str, Any]:
    name = make_url(url).get_backend_name()
    if name == "sqlite":
        return {"connect_args": {"timeout": BUSY_TIMEOUT_MS / 1000}, "hide_parameters": True}
    options: dict[str, Any] = {"pool_pre_ping": True, "pool_size": 20, "max_overflow": 20, "hide_parameters": True}
    options["isolation_level"] = "READ COMMITTED"
    options["connect_args"] = {"connect_timeout": 5}
    return options


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _on_connect(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        if _writing.get():
            _take_turn(connection, f"{engine.url.database}.turn")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if _writing.get() else "BEGIN")

    @event.listens_for(engine, "checkin")
    def _on_checkin(_connection: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
        if record.info.pop("has_turn", False):
            fcntl.flock(record.info["turn"], fcntl.LOCK_UN)

    @event.listens_for(engine, "close")
    def _on_close(_connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        if "turn" in record.info:
            os.close(record.info.pop("turn"))


def _take_turn(connection: Connection, path: str) -> None:
    """Queue up for writing, across threads and processes.

    SQLite itself only sleeps and tries again, so that under load a writer may wait for seconds while others pass it.
    """
    if "turn" not in connection.info:
        connection.info["turn"] = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(connection.info["turn"], fcntl.LOCK_EX)
    connection.info["has_turn"] = True


def now() -> dt.datetime:
    """The present moment; the one clock of the platform, so that a test can hold it still."""
    return dt.datetime.now(dt.UTC)


@contextmanager
def transaction() -> Iterator[None]:
    """Commit what the block wrote, or nothing of it; afterwards run what waits for the commit.

    The first statement opens it, so that a block may talk to the outside before it writes. It does not nest.
    """
    if _writing.get():
        raise RuntimeError("a transaction is already open")
    db.session.rollback()  # end a reading transaction: it could not become a writing one
    marker = _writing.set(True)
    waiting: list[Callable[[], None]] = []
    db.session.info["after_commit"] = waiting
    try:
        yield
        db.session.commit()
    except BaseException:
        db.session.rollback()
        raise
    finally:
        _writing.reset(marker)
        db.session.info.pop("after_commit", None)
    for call in waiting:
        call()


def in_transaction(work: Callable[[], T]) -> T:
    """Do `work` in a transaction of its own, and again when the database gave that up for the sake of another one.

    So `work` does nothing outside the database, and changes no object that outlives it but through `after_commit`.
    """
    for tried in range(1, MOST_TRIES):
        try:
            return _do(work)
        except DBAPIError as error:
            if not given_up(error):
                raise
            log.warning("a transaction met another one and is done again", extra={"tried": tried})
    return _do(work)


def given_up(error: BaseException) -> bool:
    """Whether the database broke a transaction off that may simply be done again.

    MariaDB drops the savepoints of such a transaction too, so that a later complaint may hide the first one.
    """
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, DBAPIError) and _says_given_up(link.orig):
            return True
        link = link.__cause__ or link.__context__
    return False


@contextmanager
def reading() -> Iterator[None]:
    """Read without blocking a writer; nothing is kept of what the block writes."""
    try:
        yield
    finally:
        db.session.rollback()


def after_commit(call: Callable[[], None]) -> None:
    """Run `call` once the open transaction is committed; never when it is not."""
    db.session.info["after_commit"].append(call)


def _do(work: Callable[[], T]) -> T:
    with transaction():
        return work()


def _says_given_up(error: BaseException | None) -> bool:
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
    if getattr(error, "sqlstate", None) in GIVEN_UP_POSTGRESQL:
        return True
    return bool(error and error.args and error.args[0] in GIVEN_UP_MARIADB)
