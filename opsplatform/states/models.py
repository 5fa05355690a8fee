"""Workspaces and the versions of their Terraform state."""

import datetime as dt
from typing import Any

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from opsplatform.core.db import Base, Id, LongBytes, now


class Workspace(Base):
    """A place with one state; the row is what one run at a time holds.

    `serial` and `lineage` name the current version; both are empty before the first and after the state was deleted.
    """

    __tablename__ = "workspace"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(String(63), unique=True)
    module: Mapped[str] = mapped_column(String(63))
    environment: Mapped[str] = mapped_column(String(63))
    created_at: Mapped[dt.datetime] = mapped_column(default=now)
    holder_run_id: Mapped[int | None]
    holder_fence: Mapped[int | None]
    quarantined_reason: Mapped[str | None] = mapped_column(String(1000))
    serial: Mapped[int | None]
    lineage: Mapped[str | None] = mapped_column(String(64))
    resource_count: Mapped[int] = mapped_column(Id, default=0)
    lock_id: Mapped[str | None] = mapped_column(String(64))
    lock_info: Mapped[dict[str, Any] | None]


class StateVersion(Base):
    """One version of a state, sealed; a run rewrites its own version while Terraform keeps the serial."""

    __tablename__ = "state_version"
    __table_args__ = (
        UniqueConstraint("workspace_id", "lineage", "serial"),
        Index(None, "workspace_id", "id"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    workspace_id: Mapped[int] = mapped_column(ForeignKey("workspace.id"))
    lineage: Mapped[str] = mapped_column(String(64))
    serial: Mapped[int]
    run_id: Mapped[int]
    size: Mapped[int]
    digest: Mapped[str] = mapped_column(String(64))
    sealed: Mapped[bytes] = mapped_column(LongBytes, deferred=True)
    created_at: Mapped[dt.datetime] = mapped_column(default=now)
