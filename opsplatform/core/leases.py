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
from typing import Any

from flask import Flask, current_app
from sqlalchemy import ColumnElement, CursorResult, Float, Integer, String, or_, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapped, mapped_column

from opsplatform.core.db import Base, db, epoch, transaction

LEASE_SECONDS = 5.0
BEAT_SECONDS = 1.5
WAKE_AGAIN_SECONDS = 20.0

log = logging.getLogger(__name__)


class Leased:
    """Columns of a row that a worker claims before it works on it."""

    lease_owner: Mapped[str | None] = mapped_column(String(80), default=None)
    lease_until: Mapped[float | None] = mapped_column(Float(53), default=None)
    fence: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    wake_at: Mapped[float] = mapped_column(Float(53), default=0.0, server_default="0")  # the sweeper comes again


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


def claim(row_class: type[Any], row_id: int, *conditions: ColumnElement[bool], **values: object) -> Lease | None:
    """Take the row if it is free and `conditions` hold, setting `values`; None when it is not to be had.

    Belongs inside a transaction. The lease lives for a few seconds unless `held` renews it.
    """
    result = db.session.execute(
        update(row_class)
        .where(row_class.id == row_id, free(row_class), *conditions)
        .values(lease_owner=owner(), lease_until=epoch() + LEASE_SECONDS, fence=row_class.fence + 1, **values)
        .execution_options(synchronize_session=False)
    )
    if not isinstance(result, CursorResult) or result.rowcount != 1:
        return None
    db.session.expire_all()
    fence = db.session.scalar(select(row_class.fence).where(row_class.id == row_id))
    return Lease(row_class, row_id, int(fence or 0))


def check(lease: Lease) -> None:
    """Refuse to go on when the lease was lost; holds the row until the transaction ends."""
    row_class: Any = lease.row_class
    result = db.session.execute(
        update(row_class)
        .where(row_class.id == lease.row_id, row_class.fence == lease.fence)
        .values(lease_until=epoch() + LEASE_SECONDS)
        .execution_options(synchronize_session=False)
    )
    if not isinstance(result, CursorResult) or result.rowcount != 1:
        lease.lost.set()
        raise LeaseLost(f"{lease.row_class.__name__} {lease.row_id} was taken over")


def release(lease: Lease) -> None:
    """Give the row back; belongs inside the transaction that writes the outcome."""
    check(lease)
    row_class: Any = lease.row_class
    db.session.execute(
        update(row_class)
        .where(row_class.id == lease.row_id)
        .values(lease_owner=None, lease_until=None)
        .execution_options(synchronize_session=False)
    )


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
            .values(lease_until=0.0)
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
                log.warning("lease lost", extra={"row": lease.row_id, "table": lease.row_class.__name__})
            except SQLAlchemyError:
                log.exception("a heartbeat failed", extra={"row": lease.row_id})
