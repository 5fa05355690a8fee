"""The first page of `resource.list` at a million rows beside ten thousand, by filter, on SQLite and PostgreSQL."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from flask import Flask
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import OperationalError

from config import Config
from opsplatform.accounts import service as accounts
from opsplatform.accounts import sessions
from opsplatform.app import create_app
from opsplatform.core.db import db, transaction
from opsplatform.inventory.models import Resource
from tests.bench.calls import caller_of, rpc_body
from tests.bench.figures import Figure, lower
from tests.support import SERVERS

FEW, MANY = 10_000, 1_000_000
ROUNDS, CALLS = 40, 5
LONGEST_SECONDS = 4  # of one filter, so that a slow one does not take the whole time
AT_MOST = 1.2
FULL = b'"next_cursor":"'  # every page is full and has a next one
DATABASE = "ops_bench"
FILTERS = {
    "no filter": {},
    "applicant": {"applicant": "user-7"},
    "module": {"module": "module-3"},
    "environment": {"environment": "environment-1"},
    "type": {"type": "type-11"},
    "state active": {"state": "active"},
    "state orphaned": {"state": "orphaned"},
    "created_from, newest day": {"created_from": "2026-01-31T00:00:00Z"},
    "created_to, oldest day": {"created_to": "2026-01-02T00:00:00Z"},
    "query found": {"query": "name-7"},
}
SERIES = {
    "sqlite": "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < ROWS)",
    "postgresql": "WITH s AS (SELECT n FROM generate_series(1, ROWS) AS n)",
}
# The rows fill January 2026, oldest first, however many there are.
MOMENT = {
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f000', 1767225600 + n * 2678400.0 / ROWS, 'unixepoch')",
    "postgresql": "timestamptz 'epoch' + (1767225600 + n * 2678400.0 / ROWS) * interval '1 second'",
}
APPROVAL = '\'{"id": 1, "business_id": "202601010000", "title": "张三提交的申请服务器", "url": null}\''
APPROVERS = '\'[{"userid": "manager1", "name": "王经理", "result": "agree", "at": "2026-01-01T00:00:00Z"}]\''
ATTRIBUTES = '\'{"id": "3f0c", "name": "web-01", "size": "small", "tags": {"team": "ops"}}\''
FILL = f"""
INSERT INTO resource (id, address, type, name, provider_id, module, workspace, environment, applicant_userid,
  applicant_name, approval, approvers, run_id, state, created_at, attributes)
SERIES
SELECT n, 'terraform_data.server', 'type-' || (n % 20), 'name-' || (n % 1000), 'id-' || n, 'module-' || (n % 10),
  'workspace-' || n, 'environment-' || (n % 3), 'user-' || (n % 97), '张三', {APPROVAL}, {APPROVERS}, n,
  CASE WHEN n % 100 = 0 THEN 'orphaned' WHEN n % 10 = 0 THEN 'destroyed' ELSE 'active' END, MOMENT, {ATTRIBUTES}
FROM s
"""


def measure() -> list[Figure]:
    """Both databases; PostgreSQL only where it is there."""
    figures = []
    for kind in ("sqlite", "postgresql"):
        if kind == "postgresql" and (trouble := _fresh_server_database()):
            print(f"   SKIPPED on postgresql: {trouble}")
            figures.append(Figure("resource.list, postgresql", "skipped: no server"))
            continue
        with tempfile.TemporaryDirectory(prefix="ops-bench-") as folder:
            figures += _compare(kind, Path(folder))
    return figures


def _compare(kind: str, folder: Path) -> list[Figure]:
    with _application(kind, folder / "few", FEW) as few, _application(kind, folder / "many", MANY) as many:
        figures = []
        for name, params in FILTERS.items():
            ours, theirs = _in_turns(many(params), few(params))
            beside = f"{FEW:,} rows"
            figure = lower(f"{kind}, {name}", ours, theirs, unit="ms", beside=beside, at_most=AT_MOST)
            figures.append(figure)
    return figures


def _in_turns(first: Callable[[], object], second: Callable[[], object]) -> tuple[float, float]:
    """The median of each, a few calls at a time so that both share the machine's moods; the first few do not count."""
    took: tuple[list[float], list[float]] = ([], [])
    until = time.perf_counter() + LONGEST_SECONDS
    for number in range(ROUNDS + 1):
        if number > 1 and time.perf_counter() > until:
            break
        for call, list_ in zip((first, second), took, strict=True):
            for _ in range(CALLS):
                begun = time.perf_counter()
                call()
                if number:
                    list_.append(time.perf_counter() - begun)
    return median(took[0]), median(took[1])


@contextmanager
def _application(kind: str, folder: Path, rows: int) -> Iterator[Callable[[dict], Callable[[], object]]]:
    """The platform on a database with so many resources; gives a maker of calls."""
    app = create_app(Config(ops_env="testing", ops_data_dir=folder, database_url=_address(kind, folder)))
    with app.app_context():
        db.create_all()
        begun = time.perf_counter()
        _fill(db.engine, rows)
        print(f"   {kind}: {rows:,} rows made in {time.perf_counter() - begun:.1f} s", flush=True)
        with transaction():
            token = sessions.open_session(accounts.create_admin("bench", "a password for the bench")).token
    try:
        yield lambda params: caller_of(app, "/api", rpc_body("resource.list", **params), token, expect=FULL)
    finally:
        _close(app)


def _address(kind: str, folder: Path) -> str:
    """A file, or a schema of its own in the server's database."""
    if kind == "sqlite":
        return ""
    address = SERVERS[kind].rpartition("/")[0] + f"/{DATABASE}"
    with create_engine(address).begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {folder.name}_rows"))
    return f"{address}?options=-csearch_path%3D{folder.name}_rows"


def _fill(engine: Engine, rows: int) -> None:
    """Make the rows inside the database, without indexes, and have it look at what it got."""
    indexes = list(Resource.__table__.indexes)
    with engine.begin() as connection:
        for index in indexes:
            index.drop(connection)
        _insert(connection, rows)
        for index in indexes:
            index.create(connection)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE" if engine.dialect.name == "sqlite" else "VACUUM ANALYZE resource"))


def _insert(connection: Connection, rows: int) -> None:
    kind = connection.dialect.name
    statement = FILL.replace("SERIES", SERIES[kind]).replace("MOMENT", MOMENT[kind]).replace("ROWS", str(rows))
    connection.execute(text(statement))


def _fresh_server_database() -> str | None:
    """Make an empty database of our own; why that is impossible, or None."""
    engine = create_engine(SERVERS["postgresql"], isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 2})
    try:
        with engine.connect() as connection:
            connection.execute(text(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)"))
            connection.execute(text(f"CREATE DATABASE {DATABASE}"))
    except OperationalError as error:
        return str(error.orig).strip().splitlines()[0]
    finally:
        engine.dispose()
    return None


def _close(app: Flask) -> None:
    with app.app_context():
        db.session.remove()
        db.engine.dispose()
