"""What leaves of users: shapes of results and the schema that fills them."""

from typing import NotRequired

from marshmallow import fields
from typing_extensions import TypedDict

from opsplatform.core.schemas import Moment, ma


class AppInfo(TypedDict):
    """What a client may want to know before the login."""

    version: str
    environment: str
    batch_max: int


class Said(TypedDict):
    """`status` 0 and a good word, or 1 and the reason."""

    status: int
    message: str


class Verified(Said):
    """The answer to a password; the tokens are there when `status` is 0."""

    token: NotRequired[str]
    expires_in: NotRequired[int]
    refresh_token: NotRequired[str]


class Tokens(TypedDict):
    """A renewed login."""

    token: str
    expires_in: int
    refresh_token: str


class UserRow(TypedDict):
    """A user as administrators see one."""

    id: int
    username: str
    full_name: str
    enabled: bool
    roles: list[str]
    dingtalk_userid: str | None
    created_at: str


class Me(UserRow):
    """The caller, with the permission patterns the roles add up to."""

    permissions: list[str]


class UserSchema(ma.Schema):  # type: ignore[misc,name-defined]
    """Declared fields only: a password hash is none of them."""

    id = fields.Integer()
    username = fields.String()
    full_name = fields.String()
    enabled = fields.Boolean()
    roles = fields.List(fields.String())
    dingtalk_userid = fields.String(allow_none=True)
    created_at = Moment()
