"""Statements on tables, built once: for what is asked at every step of every run, a third of the session's own cost."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from sqlalchemy import CursorResult, Executable, Insert, Table

from opsplatform.core.db import db


def table_of(row_class: Any) -> Table:  # noqa: ANN401 - a mapped class
    """The table behind a mapped class."""
    return cast("Table", row_class.__table__)


def perform(statement: Executable, values: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> CursorResult[Any]:
    """Run a prebuilt statement; what the session holds is written first, but what it has loaded notices nothing."""
    db.session.flush()
    return db.session.connection().execute(statement, values)


def add(statement: Insert, values: Mapping[str, Any]) -> int:
    """Insert one row; the answer is its id."""
    (row_id,) = perform(statement, values).inserted_primary_key or (0,)
    return int(row_id)
