"""What the catalogue remembers: modules as they were read, and which DingTalk template orders which module."""

import datetime as dt
from typing import Any

from sqlalchemy import Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from opsplatform.core.db import Base, Id, now


class ModuleVersion(Base):
    """One version of a module, read once; `reader` says by which edition of our own reading."""

    __tablename__ = "module_version"
    __table_args__ = (UniqueConstraint("name", "digest", name="uq_module_version_name_digest"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(String(63))
    digest: Mapped[str] = mapped_column(String(64))
    reader: Mapped[int] = mapped_column(Integer)
    inputs: Mapped[dict[str, Any]]
    variables: Mapped[dict[str, Any]]
    outputs: Mapped[dict[str, Any]]
    offer: Mapped[dict[str, Any]]
    created_at: Mapped[dt.datetime] = mapped_column(default=now)


class Binding(Base):
    """A DingTalk template that orders a module; `fields` names the form component of each input."""

    __tablename__ = "module_binding"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    module: Mapped[str] = mapped_column(String(63), unique=True)
    process_code: Mapped[str] = mapped_column(String(128), unique=True)
    fields: Mapped[dict[str, Any]]
    bound_at: Mapped[dt.datetime] = mapped_column(default=now)
    bound_by: Mapped[str] = mapped_column(String(64))
