"""Logins: tokens that are given out, checked on every call, renewed and ended."""

import datetime as dt
import hashlib
import hmac
import secrets
from dataclasses import dataclass

from sqlalchemy import CursorResult, bindparam, delete, select, update

from opsplatform.accounts.models import Session, User
from opsplatform.accounts.roles import patterns_of
from opsplatform.core import tokens
from opsplatform.core.db import db, now
from opsplatform.core.rpc_caller import Principal

PURPOSE = "session.v1"
TOKEN_SECONDS = 2 * 60 * 60
REFRESH_LIFE = dt.timedelta(days=14)
JTI_BYTES = 12
LONGEST_REFRESH_TOKEN = 200

# One query with only the columns a call needs, built once: it runs before every call that is not public.
_LOOKUP = (
    select(User.id, User.username, User.full_name, User.dingtalk_userid, User.roles, User.token_version)
    .join(Session, Session.user_id == User.id)
    .where(
        Session.jti == bindparam("jti"),
        Session.revoked_at.is_(None),
        User.id == bindparam("user_id"),
        User.enabled.is_(True),
    )
)


@dataclass(frozen=True)
class Login:
    """What a client holds after a login."""

    token: str
    expires_in: int
    refresh_token: str


def open_session(user: User) -> Login:
    """Record a login of this user."""
    jti, secret = secrets.token_hex(JTI_BYTES), secrets.token_urlsafe(32)
    db.session.add(
        Session(
            user_id=user.id,
            jti=jti,
            refresh_hash=_hash(secret),
            created_at=now(),
            expires_at=now() + REFRESH_LIFE,
        )
    )
    return _login(user, jti, secret)


def authenticate(token: str) -> Principal | None:
    """Whose token this is; None when it is not ours, too old, ended, or its user is disabled."""
    payload = tokens.read(token, PURPOSE, max_age=TOKEN_SECONDS)
    if payload is None:
        return None
    jti, user_id, version = payload.get("j"), payload.get("u"), payload.get("tv")
    row = db.session.execute(_LOOKUP, {"jti": jti, "user_id": user_id}).one_or_none()
    if row is None or row.token_version != version:
        return None
    return Principal(
        user_id=row.id,
        username=row.username,
        full_name=row.full_name,
        dingtalk_userid=row.dingtalk_userid,
        patterns=patterns_of(row.roles),
        session=jti,
    )


def refresh(refresh_token: str) -> Login | None:
    """Renew a login; None when it cannot be, and a refresh token that was used before ends its login at once."""
    jti, _, secret = refresh_token[:LONGEST_REFRESH_TOKEN].partition(".")
    found = db.session.execute(
        select(Session, User).join(User, User.id == Session.user_id).where(Session.jti == jti)
    ).one_or_none()
    if found is None:
        return None
    session, user = found
    if session.revoked_at is not None or session.expires_at <= now() or not user.enabled:
        return None
    fresh = secrets.token_urlsafe(32)
    if not _rotate(session, old=secret, new=fresh):
        end(jti)
        return None
    return _login(user, jti, fresh)


def end(jti: str) -> None:
    """End one login: its token and its refresh token."""
    db.session.execute(update(Session).where(Session.jti == jti, Session.revoked_at.is_(None)).values(revoked_at=now()))


def end_all(user: User) -> None:
    """End every login of a user, wherever it is."""
    user.token_version += 1
    db.session.execute(
        update(Session).where(Session.user_id == user.id, Session.revoked_at.is_(None)).values(revoked_at=now())
    )


def forget_expired() -> None:
    """Delete logins that nothing can be renewed with any more."""
    db.session.execute(delete(Session).where(Session.expires_at < now()))


def _rotate(session: Session, *, old: str, new: str) -> bool:
    """Put the new secret in place of the old one, unless somebody else did; the database decides."""
    if not hmac.compare_digest(session.refresh_hash, _hash(old)):
        return False
    result = db.session.execute(
        update(Session)
        .where(Session.id == session.id, Session.refresh_hash == _hash(old), Session.revoked_at.is_(None))
        .values(refresh_hash=_hash(new), expires_at=now() + REFRESH_LIFE)
        .execution_options(synchronize_session=False)
    )
    return isinstance(result, CursorResult) and result.rowcount == 1


def _login(user: User, jti: str, secret: str) -> Login:
    token = tokens.sign({"u": user.id, "tv": user.token_version, "j": jti}, PURPOSE)
    return Login(token, TOKEN_SECONDS, f"{jti}.{secret}")


def _hash(secret: str) -> str:
    """Random secrets need no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()
