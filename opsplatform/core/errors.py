"""The tree of errors a caller may see, with their JSON-RPC codes (contract, section 4).

OpsError
├── InvalidParams      -32602   a value does not fit; `errors` says which
├── NotLoggedIn        -32001   no valid token
├── NoPermission       -32003   the permission is missing
├── TooManyRequests    -32010   come back after `retry_after` seconds
├── NotFound           -32020   no such thing, or not for you
├── Conflict           -32021   the state forbids it; says state and what is allowed
└── UpstreamError      -32022   DingTalk, a cloud or another system failed
"""

from collections.abc import Sequence
from typing import ClassVar


class OpsError(Exception):
    """An error with one sentence for the caller; `data` goes out beside it and never holds a secret."""

    code: ClassVar[int] = -32603
    reason: ClassVar[str] = "internal"

    def __init__(self, message: str, **data: object) -> None:
        super().__init__(message)
        self.message = message
        self.data: dict[str, object] = {"reason": self.reason, **data}


class InvalidParams(OpsError):
    """A param does not fit; `errors` maps its dotted path to what is wrong with it."""

    code = -32602
    reason = "invalid_params"

    def __init__(self, errors: dict[str, list[str]]) -> None:
        super().__init__("Invalid params", errors=errors)
        self.errors = errors


class NotLoggedIn(OpsError):
    """No token, or none that is valid."""

    code = -32001
    reason = "not_logged_in"

    def __init__(self, message: str = "Log in first: the token is missing, wrong or expired.") -> None:
        super().__init__(message)


class NoPermission(OpsError):
    """The caller is known and may not do this."""

    code = -32003
    reason = "no_permission"


class TooManyRequests(OpsError):
    """A limit was reached."""

    code = -32010
    reason = "too_many_requests"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message, retry_after=retry_after)


class NotFound(OpsError):
    """No such object."""

    code = -32020
    reason = "not_found"


class Conflict(OpsError):
    """The state of an object forbids what was asked."""

    code = -32021
    reason = "conflict"

    def __init__(self, message: str, *, state: str | None = None, allowed: Sequence[str] | None = None) -> None:
        data: dict[str, object] = {}
        if state is not None:
            data = {"state": state, "allowed": list(allowed or ())}
        super().__init__(message, **data)


class UpstreamError(OpsError):
    """Another system failed.

    Attributes:
        system: which one, as `dingtalk`.
        upstream_code: the code that system gave, or None when it gave none.
        certain: whether the call surely had no effect (refused, or never sent), so that it may be repeated.
    """

    code = -32022
    reason = "upstream_failed"

    def __init__(self, system: str, message: str, *, upstream_code: str | None = None, certain: bool = True) -> None:
        super().__init__(message, system=system, upstream_code=upstream_code)
        self.system = system
        self.upstream_code = upstream_code
        self.certain = certain
