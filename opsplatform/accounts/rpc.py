"""The methods of the first tutorial, of users and of logins."""

from typing import Annotated, cast

from pydantic import Field
from sqlalchemy import select

from opsplatform.accounts import passwords, service, sessions
from opsplatform.accounts.models import User
from opsplatform.accounts.roles import RoleName
from opsplatform.accounts.schemas import AppInfo, Me, Said, Tokens, UserRow, UserSchema, Verified
from opsplatform.core import openrpc
from opsplatform.core.db import reading, transaction
from opsplatform.core.errors import NotLoggedIn
from opsplatform.core.rpc import BATCH_MAX, Method, caller
from opsplatform.core.schemas import Cursor, Limit, Page, page
from opsplatform.core.settings import settings

WRONG = "用户名或密码错误"
LOGINS = "120/minute"

DingTalkUserid = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[!-~]+$")]

_user = UserSchema()
_users = UserSchema(many=True)


def index() -> str:
    """The tutorial's greeting; a client sees that it is understood."""
    return "Hello World!"


def hello(name: Annotated[str, Field(max_length=255)]) -> str:
    """Greet somebody; a client sees that its token is good."""
    return f"Hello {name}!"


def info() -> AppInfo:
    """Version, environment and the largest batch."""
    return {"version": openrpc.version(), "environment": settings().ops_env, "batch_max": BATCH_MAX}


def register(username: str, password: str) -> Said:
    """Make an account; `status` 1 says why not."""
    try:
        service.register(username, password)
    except service.NotAccepted as refusal:
        return {"status": 1, "message": refusal.message}
    return {"status": 0, "message": "注册成功"}


def verify(username: str, password: str) -> Verified:
    """Log in with a password; a wrong name and a wrong password get the same answer after the same time.

    The check takes long on purpose, so it runs outside any transaction.
    """
    with reading():
        pwd_hash = service.find_hash(username)
    if not passwords.is_password(password, pwd_hash) or pwd_hash is None:
        return {"status": 1, "message": WRONG}
    with transaction():
        opened = service.log_in(username, pwd_hash)
        if opened is None:
            return {"status": 1, "message": WRONG}
        user, login = opened
        name = user.username
    return {"status": 0, "message": f"欢迎{name}", **_tokens(login)}


def me() -> Me:
    """The caller."""
    principal = caller()
    row = _dumped(service.get(principal.user_id))
    return {**row, "permissions": list(principal.patterns)}


def list_users(limit: Limit = 50, cursor: Cursor | None = None) -> Page[UserRow]:
    """All users, newest first."""
    found = page(select(User), User.id, limit=limit, cursor=cursor, dump=_users.dump)
    return cast("Page[UserRow]", found)


def set_roles(username: str, roles: Annotated[list[RoleName], Field(max_length=20)]) -> UserRow:
    """Give a user exactly these roles."""
    return _dumped(service.set_roles(username, roles, by=caller().user_id))


def disable(username: str) -> UserRow:
    """Shut a user out; all logins end at once."""
    return _dumped(service.disable(username, by=caller().user_id))


def enable(username: str) -> UserRow:
    """Let a user in again."""
    return _dumped(service.enable(username))


def bind_dingtalk(username: str, dingtalk_userid: DingTalkUserid | None) -> UserRow:
    """Say which DingTalk user somebody is, in whose name approvals are started; null takes it back."""
    return _dumped(service.bind_dingtalk(username, dingtalk_userid))


def change_password(old_password: str, new_password: str) -> Said:
    """Change the caller's password and end all logins; `status` 1 says why not."""
    principal = caller()
    refusal = passwords.refusal_of_password(new_password, principal.username)
    if refusal:
        return {"status": 1, "message": refusal}
    with reading():
        old_hash = service.find_own_hash(principal.user_id)
    if not passwords.is_password(old_password, old_hash) or old_hash is None:
        return {"status": 1, "message": "原密码错误"}
    new_hash = passwords.hash_password(new_password)
    with transaction():
        changed = service.change_password(principal.user_id, checked_hash=old_hash, new_hash=new_hash)
    if not changed:
        return {"status": 1, "message": "原密码错误"}
    return {"status": 0, "message": "密码已修改，请重新登录"}


def refresh(refresh_token: str) -> Tokens:
    """Renew a login; a refresh token works once, and using it again ends the login."""
    # Ending a login must be kept although the answer is an error, so the transaction is our own.
    with transaction():
        login = sessions.refresh(refresh_token)
    if login is None:
        raise NotLoggedIn("The refresh token is wrong, used or expired; log in again.")
    return _tokens(login)


def logout(all: bool = False) -> None:  # noqa: A002, FBT001, FBT002 - the contract's name of the param
    """End this login, or with `all` every login of the caller."""
    principal = caller()
    if all:
        sessions.end_all(service.get(principal.user_id))
    elif principal.session is not None:
        sessions.end(principal.session)


def _tokens(login: sessions.Login) -> Tokens:
    return {"token": login.token, "expires_in": login.expires_in, "refresh_token": login.refresh_token}


def _dumped(user: User) -> UserRow:
    return cast("UserRow", _user.dump(user))


METHODS: tuple[Method, ...] = (
    Method("App.index", index, public=True),
    Method("App.hello", hello, any_text=True),
    Method("App.info", info, public=True),
    Method("user.register", register, public=True, changes=True, limit=LOGINS, any_text=True),
    Method("user.verify", verify, public=True, limit=LOGINS, limit_by="username", any_text=True),
    Method("user.me", me),
    Method("user.list", list_users),
    Method("user.set_roles", set_roles, changes=True),
    Method("user.disable", disable, changes=True),
    Method("user.enable", enable, changes=True),
    Method("user.bind_dingtalk", bind_dingtalk, changes=True),
    Method("user.change_password", change_password, limit="20/minute", any_text=True),
    Method("sso.refresh", refresh, public=True, limit=LOGINS),
    Method("sso.logout", logout, changes=True),
)
