"""Periodic work: once in every period, however many schedulers there are."""

import logging
import threading
import time
from dataclasses import dataclass

from flask import Flask
from sqlalchemy import CursorResult, Float, String, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapped, mapped_column

from opsplatform.core.db import Base, db, transaction
from opsplatform.core.queue import enqueue

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Periodic:
    """A task that runs once in every period of `seconds`, however many schedulers there are."""

    task: str
    seconds: float


class ScheduleTick(Base):
    """The last period in which a periodic task was enqueued."""

    __tablename__ = "schedule_tick"

    task: Mapped[str] = mapped_column(String(80), primary_key=True)
    period: Mapped[float] = mapped_column(Float(53))


def run_scheduler(app: Flask, schedule: list[Periodic], stop: threading.Event) -> None:
    """Enqueue what is due until `stop` is set; several schedulers do no harm."""
    while not stop.is_set():
        for periodic in schedule:
            with app.app_context():
                try:
                    _tick(periodic, time.time())
                except SQLAlchemyError:
                    log.exception("a periodic task was not enqueued", extra={"task": periodic.task})
        stop.wait(min(periodic.seconds for periodic in schedule) / 2)


def _tick(periodic: Periodic, clock: float) -> None:
    """Enqueue the task if no scheduler has done so in this period."""
    period = clock - clock % periodic.seconds
    with transaction():
        result = db.session.execute(
            update(ScheduleTick)
            .where(ScheduleTick.task == periodic.task, ScheduleTick.period < period)
            .values(period=period)
        )
        due = isinstance(result, CursorResult) and result.rowcount == 1
        if not due and db.session.get(ScheduleTick, periodic.task) is None:
            db.session.add(ScheduleTick(task=periodic.task, period=period))
            due = True
        if due:
            enqueue(periodic.task)
