"""The roles that ship, as patterns over permissions; a permission is the name of a method."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Literal

RoleName = Literal["admin", "operator", "member"]

EVERYBODY = ("App.hello", "user.me", "user.change_password", "sso.logout")
MEMBER = (
    "approval.list",
    "approval.get",
    "approval.create",
    "run.list",
    "run.get",
    "run.log",
    "run.watch",
    "run.plan",
    "module.list",
    "module.get",
    "resource.list",
    "resource.get",
    "resource.history",
    "resource.export",
)
ROLES: dict[str, tuple[str, ...]] = {
    "member": MEMBER,
    "operator": (*MEMBER, "approval.*", "run.*", "workspace.*", "resource.*"),
    "admin": ("**",),
}
ADMIN = "admin"
NEW_USER = ["member"]


def patterns_of(roles: Iterable[str]) -> tuple[str, ...]:
    """What these roles allow together, and what every enabled user may do; an unknown role allows nothing."""
    return _patterns(tuple(roles))


@lru_cache(maxsize=256)
def _patterns(roles: tuple[str, ...]) -> tuple[str, ...]:
    found = [*EVERYBODY, *(pattern for role in roles for pattern in ROLES.get(role, ()))]
    return ("**",) if "**" in found else tuple(dict.fromkeys(found))
