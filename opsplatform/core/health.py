"""`/healthz`: the process is up. `/readyz`: database, migrations and queue are ready; says which is not."""

from pathlib import Path

from flask import Blueprint, Flask, Response, current_app, jsonify
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from opsplatform.core.db import db
from opsplatform.core.queue import Queue

MIGRATIONS = Path(__file__).parents[2] / "migrations" / "versions"

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz() -> Response:
    """Whether the process answers."""
    return jsonify(status="ok")


@blueprint.get("/readyz")
def readyz() -> tuple[Response, int]:
    """Whether it can work: 200, or 503 with the parts that are not ready."""
    queue: Queue = current_app.extensions["queue"]
    parts = {"database": database_trouble(), "migrations": migrations_trouble(), "queue": queue.trouble()}
    wrong = {name: trouble for name, trouble in parts.items() if trouble}
    return jsonify(status="not ready" if wrong else "ready", parts={n: t or "ok" for n, t in parts.items()}), (
        503 if wrong else 200
    )


def register(app: Flask) -> None:
    """Add the routes."""
    app.register_blueprint(blueprint)


def database_trouble() -> str | None:
    """Why the database cannot be used; None when it can."""
    try:
        db.session.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        return f"the database does not answer ({type(error).__name__})"
    finally:
        db.session.rollback()
    return None


def migrations_trouble() -> str | None:
    """What the database lacks; None when it is at the newest migration."""
    if revision_in_database() == revision_in_code():
        return None
    return "the database is not at the newest migration; run: python manage.py db upgrade"


def revision_in_code() -> str:
    """The newest migration: the one no other names as its predecessor."""
    texts = [path.read_text(encoding="utf-8") for path in MIGRATIONS.glob("*.py")]
    named = {_value(each, "down_revision") for each in texts}
    heads = {_value(each, "revision") for each in texts} - named
    return min(heads) if heads else ""


def revision_in_database() -> str | None:
    """The migration the database is at, or None when it was never migrated."""
    try:
        found = db.session.scalar(text("SELECT version_num FROM alembic_version"))
    except SQLAlchemyError:
        return None
    finally:
        db.session.rollback()
    return str(found) if found else None


def _value(source: str, name: str) -> str:
    line = next((line for line in source.splitlines() if line.startswith((f"{name} =", f"{name}:"))), "")
    return line.partition("=")[2].strip().strip("'\"")
