"""What all tests share: a fresh database of the kind asked for, an application, and a worker that runs its jobs.

`OPS_TEST_DATABASE` chooses sqlite (the default), postgresql or mariadb. A test that needs a server which is not there
is skipped with the reason; with `OPS_TEST_REQUIRE_SERVERS` set, as in CI, it fails.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from flask import Flask
from flask_migrate import Migrate, upgrade
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from config import Config
from opsplatform.adapters.sandbox import Sandbox
from opsplatform.app import create_app
from opsplatform.core.db import db
from tests.support import KIND, REQUIRED, ROOT, SECRETS, SERVERS


def missing(server: str) -> str | None:
    """Why a server cannot be used; None when it can."""
    try:
        if server == "redis":
            redis.Redis.from_url(SERVERS[server], socket_connect_timeout=1).ping()
        else:
            engine = create_engine(SERVERS[server])
            with engine.connect() as connection:
                connection.execute(text("SELECT 1"))
            engine.dispose()
    except (redis.RedisError, OperationalError) as error:
        return f"{server} does not answer at {SERVERS[server]}: {type(error).__name__}"
    return None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, or in CI fail, what needs a server that is not there."""
    for marker in item.iter_markers("server"):
        trouble = missing(marker.args[0])
        if trouble and REQUIRED:
            pytest.fail(trouble)
        if trouble:
            pytest.skip(trouble)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a database at the newest migration: a file to copy, or a server's to empty."""
    if KIND != "sqlite":
        trouble = missing(KIND)
        if trouble:
            pytest.exit(trouble, returncode=1)
    folder = tmp_path_factory.mktemp("schema")
    url = SERVERS.get(KIND) or f"sqlite:///{folder / 'template.db'}"
    if KIND != "sqlite":
        _drop_everything(url)
    app = create_app(Config(ops_env="testing", ops_data_dir=folder, database_url=url, **SECRETS))
    Migrate(app, db, directory=str(ROOT / "migrations"))
    with app.app_context():
        upgrade()
        if KIND == "sqlite":
            db.session.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
        db.session.remove()
        db.engine.dispose()
    return url


@pytest.fixture
def database_url(migrated: str, tmp_path: Path) -> str:
    """The address of an empty database with all tables."""
    if KIND != "sqlite":
        _empty(migrated)
        return migrated
    path = tmp_path / "ops.db"
    shutil.copy(migrated.removeprefix("sqlite:///"), path)
    return f"sqlite:///{path}"


@pytest.fixture
def make_config(database_url: str, tmp_path: Path) -> Callable[..., Config]:
    """Settings for a test, with what the test wants different."""

    def make(**settings: object) -> Config:
        return Config(
            **{
                "ops_env": "testing",
                "ops_data_dir": tmp_path / "data",
                "database_url": database_url,
                "ops_log_level": "ERROR",
                **SECRETS,
                **settings,
            }
        )

    return make


@pytest.fixture
def clean_up() -> Iterator[Callable[[Flask], Flask]]:
    """Close an application's database connections when the test is over."""
    apps: list[Flask] = []

    def later(app: Flask) -> Flask:
        apps.append(app)
        return app

    yield later
    for app in apps:
        with app.app_context():
            db.session.remove()
            db.engine.dispose()


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    """The sandbox of this host; where there is none the test is skipped, and in CI fails."""
    found = Sandbox("required")
    in_force, text = found.report()
    if not in_force and REQUIRED:
        pytest.fail(f"the sandbox is {text}")
    if not in_force:
        pytest.skip(f"the sandbox is {text}")
    return found


def _drop_everything(url: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
        else:
            connection.execute(text("DROP DATABASE ops_test"))
            connection.execute(text("CREATE DATABASE ops_test"))
    engine.dispose()


def _empty(url: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        for table in reversed(db.metadata.sorted_tables):
            connection.execute(table.delete())
    engine.dispose()
