"""Migrations: from nothing to the models and back, on the database of OPS_TEST_DATABASE."""

import pytest
from alembic.script import ScriptDirectory
from flask_migrate import Migrate, check, downgrade, upgrade
from sqlalchemy import create_engine, inspect, make_url, text

from config import Config
from opsplatform.app import create_app
from opsplatform.core import health
from opsplatform.core.db import db
from tests.support import KIND, ROOT, SECRETS, SERVERS

MIGRATIONS = ROOT / "migrations"
OWN_NAME = "ops_migrations"


@pytest.fixture
def empty(tmp_path):
    """The address of a database without a table in it."""
    if KIND == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    engine = create_engine(SERVERS[KIND], isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        force = " WITH (FORCE)" if KIND == "postgresql" else ""
        connection.execute(text(f"DROP DATABASE IF EXISTS {OWN_NAME}{force}"))
        connection.execute(text(f"CREATE DATABASE {OWN_NAME}"))
    engine.dispose()
    return make_url(SERVERS[KIND]).set(database=OWN_NAME).render_as_string(hide_password=False)


@pytest.fixture
def context(empty, tmp_path, clean_up):
    """The application on that database."""
    app = clean_up(create_app(Config(ops_env="testing", ops_data_dir=tmp_path, database_url=empty, **SECRETS)))
    Migrate(app, db, directory=str(MIGRATIONS))
    with app.app_context():
        yield


def tables():
    return set(inspect(db.engine).get_table_names()) - {"alembic_version"}


def columns():
    """Every table with its columns, indexes and constraints."""
    inspector = inspect(db.engine)
    return {
        name: (
            sorted((column["name"], str(column["type"]), column["nullable"]) for column in inspector.get_columns(name)),
            sorted(
                str((index["name"], index["column_names"], index["unique"])) for index in inspector.get_indexes(name)
            ),
            sorted(str(check["name"]) for check in inspector.get_check_constraints(name)),
            sorted(str(key["name"]) for key in inspector.get_foreign_keys(name)),
        )
        for name in tables()
    }


def test_there_is_one_newest_migration_and_every_other_leads_to_it():
    scripts = ScriptDirectory(str(MIGRATIONS))

    assert scripts.get_heads() == [health.revision_in_code()]
    assert len(list(scripts.walk_revisions())) == len(list((MIGRATIONS / "versions").glob("*.py")))


def test_from_nothing_migrations_make_exactly_what_the_models_say(context):
    upgrade()

    check()  # ends the program where a model and its table differ
    assert tables() == set(db.metadata.tables)
    assert health.migrations_trouble() is None


def test_down_to_nothing_and_up_again_ends_where_it_was(context):
    upgrade()
    before = columns()

    downgrade(revision="base")
    after_down = tables()
    upgrade()

    assert after_down == set()
    assert columns() == before


def test_every_step_up_can_be_taken_back_and_taken_again(context):
    scripts = list(ScriptDirectory(str(MIGRATIONS)).walk_revisions())[::-1]

    for script in scripts:
        upgrade(revision=script.revision)
        here = columns()
        downgrade(revision=script.down_revision or "base")
        upgrade(revision=script.revision)
        assert columns() == here


def test_a_column_nobody_migrated_is_noticed(context):
    upgrade()
    with db.engine.begin() as connection:
        connection.execute(text("ALTER TABLE schedule_tick ADD COLUMN extra INTEGER"))

    with pytest.raises(SystemExit):
        check()
