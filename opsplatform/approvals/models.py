"""Approvals as DingTalk knows them, and the inbox of its events."""

import datetime as dt
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, Float, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from opsplatform.core.db import Base, Id, Json, LongText, now
from opsplatform.core.leases import Leased
from opsplatform.core.machines import Cause, Machine, Move


class ApprovalStatus(StrEnum):
    """Where an approval stands (contract, section 4.3)."""

    PENDING = "pending"
    AGREED = "agreed"
    REFUSED = "refused"
    TERMINATED = "terminated"
    INVALID = "invalid"
    IGNORED = "ignored"


S = ApprovalStatus

MACHINE = Machine(
    (S.PENDING, S.IGNORED),
    (
        Move(S.PENDING, S.AGREED, Cause.EVENT, "DingTalk says it ended with agree"),
        Move(S.PENDING, S.REFUSED, Cause.EVENT, "DingTalk says it ended with refuse"),
        Move(S.PENDING, S.TERMINATED, Cause.EVENT, "withdrawn, deleted, or ended in any other way"),
        Move(S.PENDING, S.INVALID, Cause.EVENT, "the form does not fit the module"),
        Move(S.IGNORED, S.PENDING, Cause.EVENT, "its template is bound to a module by now"),
    ),
)
NEXT = MACHINE.next
ENDS = MACHINE.ends


class InboxEvent(Leased, Base):
    """One event that DingTalk pushed: stored once, handled, stamped."""

    __tablename__ = "inbox_event"
    __table_args__ = (
        CheckConstraint("status IN ('received', 'done', 'ignored')", name="status"),
        Index(None, "status", "next_at"),
        Index(None, "instance_id"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    dedupe_key: Mapped[str] = mapped_column(String(64), unique=True)
    event_type: Mapped[str] = mapped_column(String(64))
    event_id: Mapped[str | None] = mapped_column(String(128))
    corp_id: Mapped[str | None] = mapped_column(String(128))
    instance_id: Mapped[str | None] = mapped_column(String(128))
    data: Mapped[dict[str, Any]]
    status: Mapped[str] = mapped_column(String(10), default="received")
    note: Mapped[str | None] = mapped_column(LongText)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    next_at: Mapped[float] = mapped_column(Float(53), default=0.0)
    received_at: Mapped[dt.datetime] = mapped_column(default=now)
    handled_at: Mapped[dt.datetime | None]


class Approval(Base):
    """One DingTalk approval instance as it stood when it was last looked at."""

    __tablename__ = "approval"
    __table_args__ = (
        CheckConstraint(
            "status IN ('pending', 'agreed', 'refused', 'terminated', 'invalid', 'ignored')", name="status"
        ),
        Index(None, "status", "id"),
        Index(None, "applicant_userid", "id"),
        Index(None, "module", "id"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    instance_id: Mapped[str] = mapped_column(String(128), unique=True)
    business_id: Mapped[str | None] = mapped_column(String(64))
    process_code: Mapped[str] = mapped_column(String(128))
    title: Mapped[str] = mapped_column(String(255), default="")
    url: Mapped[str | None] = mapped_column(LongText)
    status: Mapped[str] = mapped_column(String(12), default=ApprovalStatus.PENDING)
    module: Mapped[str | None] = mapped_column(String(63))
    form: Mapped[list[Any]] = mapped_column(Json, default=list)  # what the applicant filled in; sensitive values masked
    applicant_userid: Mapped[str] = mapped_column(String(128), default="")
    applicant_name: Mapped[str] = mapped_column(String(128), default="")
    approvers: Mapped[list[Any]] = mapped_column(Json, default=list)
    error: Mapped[str | None] = mapped_column(LongText)
    created_at: Mapped[dt.datetime] = mapped_column(default=now)
    finished_at: Mapped[dt.datetime | None]

    def move_to(self, status: ApprovalStatus) -> bool:
        """Take a new status where the table allows it; a decided approval stays as it was decided."""
        if status not in MACHINE.after(self.status):
            return False
        self.status = status
        return True


class Person(Base):
    """The name behind a DingTalk user id, as last looked up."""

    __tablename__ = "person"

    userid: Mapped[str] = mapped_column(String(128), primary_key=True)
    name: Mapped[str] = mapped_column(String(128))
    looked_up_at: Mapped[dt.datetime] = mapped_column(default=now)
