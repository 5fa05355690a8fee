"""The errors of JSON-RPC itself, and how any error is spelled in an answer: code, message and data with a `ref`."""

import secrets
from typing import Any

from flask import current_app, got_request_exception
from pydantic_core import to_json
from sqlalchemy.exc import OperationalError, StatementError

from opsplatform.core.errors import NotLoggedIn, OpsError

# What the first front-ends look for when a login has ended.
NOT_LOGGED_IN_DATA = {"code": -1, "status": 41002, "msg": "未登录"}


class ProtocolError(OpsError):
    """The exchange itself is wrong; the message is the specification's, letter for letter."""

    text = "Invalid Request"
    code = -32600
    reason = "invalid_request"

    def __init__(self, reason: str | None = None, **data: object) -> None:
        super().__init__(self.text, **data)
        self.data["reason"] = reason or self.reason


class ParseError(ProtocolError):
    """The body is no JSON."""

    text = "Parse error"
    code = -32700
    reason = "parse_error"


class InvalidRequest(ProtocolError):
    """The body is JSON and no request object."""


class MethodNotFound(ProtocolError):
    """No method has this name."""

    text = "Method not found"
    code = -32601
    reason = "method_not_found"


class InternalError(ProtocolError):
    """Our own mistake; the log says which under the same `ref`."""

    text = "Internal error"
    code = -32603
    reason = "internal"


class BadResult(Exception):
    """A method answered something else than it declares; the text holds no value of it."""


def new_ref() -> str:
    """What an answer and the log have in common."""
    return secrets.token_hex(6)


def error_member(error: OpsError, ref: str) -> bytes:
    """The member `"error":{…}` of an answer."""
    data = {**error.data, "ref": ref}
    if isinstance(error, NotLoggedIn):
        data = {**NOT_LOGGED_IN_DATA, **data}
    message = InternalError.text if error.code == InternalError.code else error.message
    body = {"code": error.code, "message": message, "data": data}
    return b'"error":' + to_json(body, fallback=str, inf_nan_mode="null")


def failure(error: OpsError, ref: str) -> bytes:
    """A whole answer to a request that could not be read."""
    return b'{"jsonrpc":"2.0",' + error_member(error, ref) + b',"id":null}'


def confess(error: Exception, ref: str) -> bytes:
    """Our own mistake: trackers hear of it, the caller gets the `ref`, and whether to try again."""
    app: Any = current_app
    got_request_exception.send(app._get_current_object(), exception=error)  # noqa: SLF001 - Flask's way to name a sender
    reason = "database_away" if isinstance(error, OperationalError) else None
    return error_member(InternalError(reason), ref)


def hide_values(error: BaseException) -> None:
    """Keep the values of SQL statements out of the text of an error and of all its causes."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        if isinstance(link, StatementError):
            link.hide_parameters = True
        link = link.__cause__ or link.__context__
