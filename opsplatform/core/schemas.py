"""What all schemas share: rows leave as dicts with declared fields, times as `2026-01-02T03:04:05Z`."""

import base64
import datetime as dt
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar

from flask_marshmallow import Marshmallow
from marshmallow import fields
from pydantic import Field
from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute
from typing_extensions import TypedDict

from opsplatform.core.db import db
from opsplatform.core.errors import InvalidParams

T = TypeVar("T")

ma = Marshmallow()

Limit = Annotated[int, Field(ge=1, le=200)]
Cursor = Annotated[str, Field(max_length=200)]
RowId = Annotated[int, Field(ge=1, le=2**63 - 1)]
ShortText = Annotated[str, Field(min_length=1, max_length=255)]


class Page(TypedDict, Generic[T]):
    """One page of a list; `next_cursor` is null at its end."""

    items: list[T]
    next_cursor: str | None


class PersonOut(TypedDict):
    """A person in DingTalk."""

    userid: str
    name: str


class Moment(fields.Field[dt.datetime]):
    """A time in UTC, with `Z`; parts of a second only when there are any."""

    def _serialize(self, value: dt.datetime | None, attr: str | None, obj: Any, **kwargs: Any) -> str | None:  # noqa: ANN401 - marshmallow's signature
        return None if value is None else value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


def page(
    query: Select[Any],
    key: InstrumentedAttribute[int],
    *,
    limit: int,
    cursor: str | None,
    dump: Callable[[Sequence[Any]], list[Any]],
) -> dict[str, Any]:
    """The newest `limit` rows below the cursor; `key` is the unique, growing column they are ordered by.

    A cursor names the last row seen, so no row is skipped or repeated while rows are added.
    """
    if cursor is not None:
        query = query.where(key < _read_cursor(cursor))
    rows = db.session.scalars(query.order_by(key.desc()).limit(limit + 1)).all()
    shown = rows[:limit]
    more = len(rows) > limit
    return {"items": dump(shown), "next_cursor": _make_cursor(getattr(shown[-1], key.key)) if more else None}


def _make_cursor(value: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([value]).encode()).decode()


def _read_cursor(cursor: str) -> int:
    try:
        value = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii")))[0]
    except (ValueError, TypeError, LookupError):
        value = None
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidParams({"cursor": ["This is not a cursor that a list gave out."]})
    return value
