"""`manage.py seal rotate`: seal every value again with the first key of SEAL_KEYS, while web and workers go on.

Values are taken in small batches: read, sealed again in memory, then written in a transaction of its own, each only
where it is still what was read. What a worker wrote meanwhile stays. It may be stopped and started again at any time:
values that carry the first key are passed over.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    CursorResult,
    LargeBinary,
    Row,
    and_,
    func,
    literal,
    select,
    tuple_,
    update,
)

from opsplatform.app import SEALED
from opsplatform.core.db import db, reading, transaction
from opsplatform.core.errors import OpsError
from opsplatform.core.sealing import SealedColumn, SealError, beginning, key_id, open_with, seal_with
from opsplatform.core.settings import settings

BATCH = 20


@dataclass
class Progress:
    """How far one table is; `kept` were changed by somebody else meanwhile, `broken` do not open."""

    table: str
    sealed: int = 0
    kept: int = 0
    broken: int = 0


@dataclass(frozen=True)
class _Value:
    """One value as it was read: which row, what it is sealed for, and its bytes."""

    key: tuple[Any, ...]
    context: str
    old: bytes


def census() -> dict[str, dict[str, int]]:
    """How many values each key seals, by table and key id."""
    with reading():
        return {_table(sealed): _count(sealed) for sealed in SEALED}


def rotate() -> Iterator[Progress]:
    """Seal again what carries another key than the first; tells how far it is after every batch."""
    for sealed in SEALED:
        yield from _rotate(sealed)


def require_done() -> None:
    """OpsError when values are left that another key seals than the first."""
    first = next(iter(settings().sealing_keys))
    left = {name for keys in census().values() for name in keys} - {first}
    if left:
        raise OpsError(
            f"Values are still sealed with {', '.join(sorted(left))}: start every process with SEAL_KEYS that begin "
            f"with {first}, put the missing keys behind it, and rotate again."
        )


def _rotate(sealed: SealedColumn) -> Iterator[Progress]:
    progress = Progress(_table(sealed))
    last: tuple[Any, ...] | None = None
    while batch := _read(sealed, last):
        last = batch[-1].key
        fresh = [(value, new) for value in batch if (new := _sealed_again(value)) is not None]
        with transaction():
            written = sum(_replace(sealed, value, new) for value, new in fresh)
        progress.sealed += written
        progress.kept += len(fresh) - written
        progress.broken += len(batch) - len(fresh)
        yield progress


def _read(sealed: SealedColumn, last: tuple[Any, ...] | None) -> list[_Value]:
    """The next values that another key seals, in the order of the primary key."""
    keys = _keys(sealed)
    query = sealed.place.add_columns(*keys, sealed.column).where(
        ~_sealed_with(sealed, next(iter(settings().sealing_keys)))
    )
    if last is not None:
        query = query.where(
            tuple_(*keys) > tuple_(*(literal(value, key.type) for value, key in zip(last, keys, strict=True)))
        )
    with reading():
        rows = db.session.execute(query.order_by(*keys).limit(BATCH)).all()
    return [_value(sealed, row, len(keys)) for row in rows]


def _value(sealed: SealedColumn, row: Row[Any], keys: int) -> _Value:
    place, key, old = row[: -1 - keys], tuple(row[-1 - keys : -1]), bytes(row[-1])
    return _Value(key, sealed.context(*place), old)


def _sealed_again(value: _Value) -> bytes | None:
    """The value under the first key; None when it does not open, which `require_done` reports."""
    keys = settings().sealing_keys
    try:
        return seal_with(keys, open_with(keys, value.old, value.context), value.context)
    except SealError:
        return None


def _replace(sealed: SealedColumn, value: _Value, new: bytes) -> bool:
    """Write a value where the old one still stands."""
    keys = _keys(sealed)
    same_row = and_(*(column == key for column, key in zip(keys, value.key, strict=True)))
    result = db.session.execute(
        update(sealed.column.class_)
        .where(same_row, sealed.column == value.old)
        .values({sealed.column: new})
        .execution_options(synchronize_session=False)
    )
    return isinstance(result, CursorResult) and result.rowcount == 1


def _count(sealed: SealedColumn) -> dict[str, int]:
    """Values by key id: look for one of an unknown key, count its like, until there is no unknown one."""
    found: dict[str, int] = {}
    while (stranger := _first_of_other_keys(sealed, list(found))) is not None:
        name = _key_of(sealed, stranger)
        found[name] = db.session.scalar(select(func.count()).where(_sealed_with(sealed, name))) or 0
    return found


def _key_of(sealed: SealedColumn, value: bytes) -> str:
    try:
        return key_id(value)
    except SealError as error:
        raise OpsError(f"{_table(sealed)} holds a value that is not sealed; restore it from a backup.") from error


def _first_of_other_keys(sealed: SealedColumn, known: Sequence[str]) -> bytes | None:
    query = select(sealed.column).where(*(~_sealed_with(sealed, name) for name in known)).limit(1)
    return db.session.scalar(query)


def _sealed_with(sealed: SealedColumn, name: str) -> ColumnElement[bool]:
    start = beginning(name)
    return func.substr(sealed.column, 1, len(start), type_=LargeBinary()) == literal(start, LargeBinary())


def _keys(sealed: SealedColumn) -> list[Column[Any]]:
    return list(sealed.column.class_.__table__.primary_key.columns)


def _table(sealed: SealedColumn) -> str:
    return str(sealed.column.class_.__tablename__)
