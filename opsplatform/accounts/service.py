"""Users: register, check a password, give and take roles."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from opsplatform.accounts import passwords, sessions
from opsplatform.accounts.models import User
from opsplatform.accounts.roles import ADMIN, NEW_USER, ROLES
from opsplatform.core.db import db, now
from opsplatform.core.errors import Conflict, InvalidParams, NoPermission, NotFound, OpsError
from opsplatform.core.settings import settings

EXISTS = "用户已存在"
CLOSED = "注册未开放，请联系管理员"


class NotAccepted(OpsError):
    """A name or password is not taken; the message is for the person who typed it."""

    code = -32602
    reason = "not_accepted"


def register(username: str, password: str) -> User:
    """A new member, or NotAccepted with the reason."""
    if not settings().open_registration:
        raise NotAccepted(CLOSED)
    return _create(username, password, NEW_USER)


def create_admin(username: str, password: str) -> User:
    """A new administrator, or NotAccepted with the reason."""
    return _create(username, password, [ADMIN])


def find_hash(username: str) -> str | None:
    """The password hash of an enabled user; None when there is nobody to log in."""
    name = passwords.normalise(username)
    if passwords.refusal_of_username(name):
        return None
    return db.session.scalar(select(User.pwd_hash).where(User.username == name, User.enabled.is_(True)))


def find_own_hash(user_id: int) -> str | None:
    """The password hash of a logged-in user."""
    return db.session.scalar(select(User.pwd_hash).where(User.id == user_id))


def log_in(username: str, checked_hash: str) -> tuple[User, sessions.Login] | None:
    """Open a session for a user whose password was checked; None when user or password changed meanwhile."""
    name = passwords.normalise(username)
    user = db.session.scalar(
        select(User).where(User.username == name, User.enabled.is_(True), User.pwd_hash == checked_hash)
    )
    return (user, sessions.open_session(user)) if user else None


def change_password(user_id: int, *, checked_hash: str, new_hash: str) -> bool:
    """Set a new password and end every login; False when the old one was changed meanwhile."""
    user = get(user_id)
    if user.pwd_hash != checked_hash:
        return False
    user.pwd_hash = new_hash
    sessions.end_all(user)
    return True


def get(user_id: int) -> User:
    """A user by id."""
    user = db.session.get(User, user_id)
    if user is None:
        raise NotFound(f"There is no user {user_id}.")
    return user


def get_by_name(username: str) -> User:
    """A user by name."""
    user = db.session.scalar(select(User).where(User.username == passwords.normalise(username)))
    if user is None:
        raise NotFound(f"There is no user {username}.")
    return user


def set_roles(username: str, roles: Sequence[str], *, by: int) -> User:
    """Give a user exactly these roles; who loses one has to log in again."""
    unknown = [role for role in roles if role not in ROLES]
    if unknown:
        raise InvalidParams({"roles": [f"Unknown: {', '.join(unknown)}; there are {', '.join(ROLES)}"]})
    user = get_by_name(username)
    _refuse_self(user, by)
    if ADMIN not in roles:
        _keep_an_admin(user)
    if set(user.roles) - set(roles):
        user.token_version += 1
    user.roles = list(dict.fromkeys(roles))
    return user


def disable(username: str, *, by: int) -> User:
    """Shut a user out; all logins end at once."""
    user = get_by_name(username)
    _refuse_self(user, by)
    _keep_an_admin(user)
    user.enabled = False
    sessions.end_all(user)
    return user


def enable(username: str) -> User:
    """Let a user in again."""
    user = get_by_name(username)
    user.enabled = True
    return user


def bind_dingtalk(username: str, userid: str | None) -> User:
    """Say which DingTalk user somebody is, or with None that it is not known; two users are never the same one."""
    user = get_by_name(username)
    try:
        with db.session.begin_nested():
            user.dingtalk_userid = userid
    except IntegrityError as error:
        raise Conflict(f"Another user is bound to the DingTalk user {userid}; unbind that one first.") from error
    return user


def _create(username: str, password: str, roles: list[str]) -> User:
    name = passwords.normalise(username)
    refusal = passwords.refusal_of_username(name) or passwords.refusal_of_password(password, name)
    if refusal:
        raise NotAccepted(refusal)
    # Hashing takes long, so it is done before the first statement opens the transaction.
    user = User(username=name, pwd_hash=passwords.hash_password(password), roles=list(roles), created_at=now())
    try:
        with db.session.begin_nested():
            db.session.add(user)
    except IntegrityError as error:
        raise NotAccepted(EXISTS) from error
    return user


def _refuse_self(user: User, by: int) -> None:
    if user.id == by:
        raise NoPermission("Nobody changes their own roles or disables themselves; ask another administrator.")


def _keep_an_admin(user: User) -> None:
    """Refuse to take away the last enabled administrator; the rows are locked against a second such call."""
    enabled = db.session.execute(select(User.id, User.roles).where(User.enabled.is_(True)).with_for_update()).all()
    admins = {row.id for row in enabled if ADMIN in row.roles}
    if admins == {user.id}:
        raise Conflict(f"{user.username} is the last administrator; make somebody else one first.")
