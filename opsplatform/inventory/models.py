"""The inventory: every resource that was opened, by whom, when, through which approval and run."""

import datetime as dt
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from opsplatform.core.db import Base, Id, Json, now


class Resource(Base):
    """One resource; a replaced one becomes destroyed and its successor a new row."""

    __tablename__ = "resource"
    __table_args__ = (
        CheckConstraint("state IN ('active', 'destroyed', 'orphaned')", name="state"),
        Index(None, "applicant_userid", "id"),
        Index(None, "module", "id"),
        Index(None, "environment", "id"),
        Index(None, "type", "id"),
        Index(None, "state", "id"),
        Index(None, "workspace", "address"),
        Index(None, "run_id"),
        Index(None, "created_at"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    address: Mapped[str] = mapped_column(String(512))
    type: Mapped[str] = mapped_column(String(128))
    name: Mapped[str] = mapped_column(String(255))
    provider_id: Mapped[str | None] = mapped_column(String(512))
    module: Mapped[str] = mapped_column(String(63))
    workspace: Mapped[str] = mapped_column(String(63))
    environment: Mapped[str] = mapped_column(String(63))
    applicant_userid: Mapped[str] = mapped_column(String(128))
    applicant_name: Mapped[str] = mapped_column(String(128))
    approval: Mapped[dict[str, Any] | None]
    approvers: Mapped[list[Any]] = mapped_column(Json, default=list)
    run_id: Mapped[int]
    state: Mapped[str] = mapped_column(String(10), default="active")
    created_at: Mapped[dt.datetime] = mapped_column(default=now)
    destroyed_at: Mapped[dt.datetime | None]
    expires_at: Mapped[dt.datetime | None]
    attributes: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)  # sensitive ones masked


class ResourceEvent(Base):
    """One line of a resource's history."""

    __tablename__ = "resource_event"
    __table_args__ = (
        CheckConstraint("action IN ('created', 'changed', 'destroyed', 'orphaned')", name="action"),
        Index(None, "resource_id", "id"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    resource_id: Mapped[int] = mapped_column(ForeignKey("resource.id"))
    run_id: Mapped[int]
    action: Mapped[str] = mapped_column(String(10))
    at: Mapped[dt.datetime] = mapped_column(default=now)
    by: Mapped[str | None] = mapped_column("actor", String(128))  # where a person did it, and not the run
    note: Mapped[str | None] = mapped_column(String(1000))
