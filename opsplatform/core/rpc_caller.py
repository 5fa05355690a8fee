"""Who calls: the principal of the running method and what the permission patterns allow it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache

from opsplatform.core.errors import NotLoggedIn

NOBODY = 0


@dataclass(frozen=True)
class Principal:
    """A logged-in user as one call sees it; `session` is the id of the login, if the token belongs to one."""

    user_id: int
    username: str
    full_name: str
    dingtalk_userid: str | None
    patterns: tuple[str, ...]
    session: str | None = None

    def may(self, method: str) -> bool:
        """Whether one of the patterns covers the permission; `*` stays inside one segment, `**` covers everything."""
        return any(_covers(pattern, method) for pattern in self.patterns)


@lru_cache(maxsize=8192)
def _covers(pattern: str, permission: str) -> bool:
    parts = (".*" if part == "**" else "[^.]*" if part == "*" else re.escape(part) for part in _tokens(pattern))
    return re.fullmatch("".join(parts), permission, re.DOTALL) is not None


def _tokens(pattern: str) -> list[str]:
    return re.split(r"(\*\*|\*)", pattern)


_caller: ContextVar[Principal | None] = ContextVar("caller", default=None)


@contextmanager
def one_call() -> Iterator[None]:
    """Forget after the block who called; nobody is known when it begins."""
    marker = _caller.set(None)
    try:
        yield
    finally:
        _caller.reset(marker)


def identify(principal: Principal | None) -> None:
    """Say who calls, until `one_call` ends."""
    _caller.set(principal)


def known_caller() -> Principal | None:
    """The logged-in caller, or None in a public method."""
    return _caller.get()


def caller() -> Principal:
    """The logged-in caller of the running method."""
    principal = _caller.get()
    if principal is None:
        raise NotLoggedIn
    return principal
