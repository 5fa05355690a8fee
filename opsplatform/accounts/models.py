"""Users and their logins."""

import datetime as dt

from sqlalchemy import Boolean, ForeignKey, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from opsplatform.core.db import Base, Id, Json, now


class User(Base):
    """Somebody who may log in; `token_version` goes up when all tokens given out so far must end."""

    __tablename__ = "users"  # `user` is a reserved word in PostgreSQL

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    username: Mapped[str] = mapped_column(String(64), unique=True)
    full_name: Mapped[str] = mapped_column(String(64), default="")
    pwd_hash: Mapped[str | None] = mapped_column(String(255), default=None)
    enabled: Mapped[bool] = mapped_column(Boolean(create_constraint=False), default=True)
    token_version: Mapped[int] = mapped_column(Integer, default=1)
    dingtalk_userid: Mapped[str | None] = mapped_column(String(64), unique=True, default=None)
    roles: Mapped[list[str]] = mapped_column(Json, default=list)
    created_at: Mapped[dt.datetime] = mapped_column(default=now)


class Session(Base):
    """One login; `jti` stands in its tokens, the refresh token is kept as a hash and changes with every use."""

    __tablename__ = "user_session"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    jti: Mapped[str] = mapped_column(String(32), unique=True)
    refresh_hash: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[dt.datetime] = mapped_column(default=now)
    expires_at: Mapped[dt.datetime] = mapped_column(index=True)
    revoked_at: Mapped[dt.datetime | None] = mapped_column(default=None)
