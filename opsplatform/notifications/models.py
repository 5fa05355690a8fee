"""Notices: what is to be told to whom, and whether it was."""

import datetime as dt

from sqlalchemy import CheckConstraint, Float, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from opsplatform.core.db import Base, Id, LongText, now
from opsplatform.core.leases import Leased


class Notice(Leased, Base):
    """One comment on an approval or one work notification; its key makes telling twice impossible."""

    __tablename__ = "notice"
    __table_args__ = (
        CheckConstraint("status IN ('waiting', 'sent', 'failed', 'unsure')", name="status"),
        CheckConstraint("channel IN ('comment', 'work')", name="channel"),
        Index(None, "status", "next_at"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    key: Mapped[str] = mapped_column(String(120), unique=True)
    channel: Mapped[str] = mapped_column(String(10))
    userid: Mapped[str] = mapped_column(String(128))
    instance_id: Mapped[str | None] = mapped_column(String(128))
    title: Mapped[str] = mapped_column(String(255))
    text: Mapped[str] = mapped_column(LongText)
    status: Mapped[str] = mapped_column(String(10), default="waiting")
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    next_at: Mapped[float] = mapped_column(Float(53), default=0.0)
    error: Mapped[str | None] = mapped_column(LongText)
    created_at: Mapped[dt.datetime] = mapped_column(default=now)
    sent_at: Mapped[dt.datetime | None]
