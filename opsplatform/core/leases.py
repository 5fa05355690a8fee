"""Claim a row, keep it while working on it, and notice when it was lost.

A claim is one conditional UPDATE that raises the row's fence. Whoever claims later holds a higher fence, and every
write of the earlier holder is refused from then on. The database's clock decides, so hosts need not agree on time.
"""

import logging
import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any, cast

from flask import Flask, current_app
from sqlalchemy import ColumnElement, Float, Integer, Select, String, Table, Update, bindparam, or_, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapped, mapped_column

from opsplatform.core.db import Base, db, epoch, transaction
from opsplatform.core.prebuilt import perform, table_of

LEASE_SECONDS = 5.0
BEAT_SECONDS = 1.5
WAKE_AGAIN_SECONDS = 6.0

log = logging.getLogger(__name__)


class Leased:
    """Columns of a row that a worker claims before it works on it."""

    lease_owner: Mapped[str | None] = mapped_column(String(80), default=None)
    lease_until: Mapped[float | None] = mapped_column(Float(53), default=None)
    fence: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    wake_at: Mapped[float] = mapped_column(
        Float(53), default=lambda: time.time() + WAKE_AGAIN_SECONDS
    )  # the sweeper's turn


class LeaseLost(Exception):
    """Somebody else works on the row now; whoever sees this writes nothing more."""


@dataclass
class Lease:
    """A claim this process holds."""

    row_class: type[Base]
    row_id: int
    fence: int
    lost: threading.Event = field(default_factory=threading.Event)


def owner() -> str:
    """This process, as it stands in `lease_owner`: host and process id."""
    return f"{platform.node()[:60]}:{os.getpid()}"


def free(row_class: type[Any]) -> ColumnElement[bool]:
    """The condition that nobody holds a live lease on the row."""
    return or_(row_class.lease_until.is_(None), row_class.lease_until < epoch())


def claim(row_class: type[Base], row_id: int, *conditions: ColumnElement[bool], counted: bool = False) -> Lease | None:
    """Take the row if it is free and `conditions` hold; None when it is not to be had.

    Belongs inside a transaction. The lease lives for a few seconds unless `held` renews it. With `counted` the row's
    `attempts` grow by one. Conditions are compared by identity, so pass the same objects each time.
    """
    statement = _claim_statement(row_class, conditions, counted=counted)
    if not _changed_one(statement, {"row": row_id, "owner": owner()}):
        return None
    db.session.expire_all()
    fence = db.session.connection().scalar(_statements(row_class).fence, {"row": row_id})
    return Lease(row_class, row_id, int(fence or 0))


def check(lease: Lease) -> None:
    """Refuse to go on when the lease was lost; holds the row until the transaction ends."""
    _as_holder(lease, _statements(lease.row_class).renew)


def release(lease: Lease, **outcome: object) -> None:
    """Give the row back, with what became of it; belongs inside the transaction that writes the outcome."""
    values = {f"new_{name}": value for name, value in outcome.items()}
    _as_holder(lease, _release_statement(lease.row_class, tuple(outcome)), **values)
    if outcome:
        db.session.expire_all()


@dataclass(frozen=True)
class _Statements:
    """What is asked about one kind of row many times a second, built once."""

    fence: Select[Any]
    renew: Update


@cache
def _statements(row_class: type[Base]) -> _Statements:
    table = table_of(row_class)
    return _Statements(
        fence=select(table.c.fence).where(table.c.id == bindparam("row")),
        renew=_held(table).values(lease_until=epoch() + LEASE_SECONDS),
    )


@lru_cache(maxsize=64)
def _release_statement(row_class: type[Base], names: tuple[str, ...]) -> Update:
    outcome: dict[str, Any] = {name: bindparam(f"new_{name}") for name in names}
    return _held(table_of(row_class)).values(lease_owner=None, lease_until=None, **outcome)


def _held(table: Table) -> Update:
    """What changes a row that is held; one that was given back has no owner, and no late heartbeat takes it again."""
    holder = (table.c.fence == bindparam("mine"), table.c.lease_owner.is_not(None))
    return update(table).where(table.c.id == bindparam("row"), *holder)


@lru_cache(maxsize=64)
def _claim_statement(row_class: type[Base], conditions: tuple[ColumnElement[bool], ...], *, counted: bool) -> Update:
    table = table_of(row_class)
    more = {"attempts": table.c.attempts + 1} if counted else {}
    mine = (table.c.id == bindparam("row"), free(cast("Any", row_class)), *conditions)
    taken = {"lease_owner": bindparam("owner"), "lease_until": epoch() + LEASE_SECONDS, "fence": table.c.fence + 1}
    return update(table).where(*mine).values(**taken, **more)


def _as_holder(lease: Lease, statement: Update, **values: object) -> None:
    if not _changed_one(statement, {"row": lease.row_id, "mine": lease.fence, **values}):
        lease.lost.set()
        raise LeaseLost(f"{lease.row_class.__name__} {lease.row_id} was taken over")


def _changed_one(statement: Update, values: dict[str, object]) -> bool:
    return perform(statement, values).rowcount == 1


def due(row_class: type[Any], *conditions: ColumnElement[bool], limit: int = 200) -> list[int]:
    """Ids of rows that wait and that nobody works on; each is named once in a while, not at every sweep."""
    ids = list(
        db.session.scalars(
            select(row_class.id)
            .where(free(row_class), row_class.wake_at <= epoch(), *conditions)
            .order_by(row_class.id)
            .limit(limit)
        )
    )
    if ids:
        db.session.execute(
            update(row_class)
            .where(row_class.id.in_(ids))
            .values(wake_at=epoch() + WAKE_AGAIN_SECONDS)
            .execution_options(synchronize_session=False)
        )
    return ids


def drop_dead_claims(row_class: type[Any]) -> None:
    """Free what processes of this host held that are not there any more, without waiting for their leases."""
    here = f"{platform.node()[:60]}:"
    owners = select(row_class.lease_owner).where(row_class.lease_owner.startswith(here, autoescape=True)).distinct()
    dead = [name for name in db.session.scalars(owners) if not _alive(int(name.removeprefix(here)))]
    if dead:
        db.session.execute(
            update(row_class)
            .where(row_class.lease_owner.in_(dead))
            .values(lease_until=0.0, wake_at=0.0)
            .execution_options(synchronize_session=False)
        )


def heart() -> "Heart":
    """The heart of this application."""
    found: Heart | None = current_app.extensions.get("heart")
    if found is None:
        found = current_app.extensions["heart"] = Heart(current_app._get_current_object())  # type: ignore[attr-defined]  # noqa: SLF001 - the proxy's documented way to what it stands for
    return found


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class Heart:
    """Renews every lease this process holds, from one thread of its own."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._by_id: dict[int, Lease] = {}
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextmanager
    def held(self, lease: Lease) -> Iterator[Lease]:
        """Keep the lease alive while the block works."""
        with self._guard:
            self._by_id[id(lease)] = lease
            if self._thread is None:
                self._thread = threading.Thread(target=self._beat_for_ever, name="heart", daemon=True)
                self._thread.start()
        try:
            yield lease
        finally:
            with self._guard:
                self._by_id.pop(id(lease), None)

    def _beat_for_ever(self) -> None:
        while True:
            time.sleep(BEAT_SECONDS)
            with self._guard:
                leases = list(self._by_id.values())
            if leases:
                self._beat(leases)

    def _beat(self, leases: list[Lease]) -> None:
        for lease in leases:
            try:
                with self._app.app_context(), transaction():
                    check(lease)
            except LeaseLost:
                log.info(
                    "a lease ended or was taken over", extra={"row": lease.row_id, "table": lease.row_class.__name__}
                )
            except SQLAlchemyError:
                log.exception("a heartbeat failed", extra={"row": lease.row_id})
