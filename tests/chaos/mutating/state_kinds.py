"""Ways to move the state away from under an approved plan."""

import hashlib
import json
from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy import select

from opsplatform.core.db import db
from opsplatform.core.sealing import seal
from opsplatform.states import service as states
from opsplatform.states.models import StateVersion
from tests.chaos.mutating.target import Kind, Target, bits


def _state(target: Target) -> dict[str, Any] | None:
    stored = states.latest(target.run.workspace)
    return json.loads(stored.content) if stored else None


def _version(target: Target) -> StateVersion | None:
    """The row of the current state."""
    workspace = target.workspace
    return db.session.scalar(
        select(StateVersion).where(
            StateVersion.workspace_id == workspace.id,
            StateVersion.lineage == workspace.lineage,
            StateVersion.serial == workspace.serial,
        )
    )


def _moved(target: Target) -> bool:
    """Another state is stored, as if somebody had applied something meanwhile."""
    state = _state(target) or {"version": 4, "serial": 0, "lineage": str(target.rng.random()), "resources": []}
    state["serial"] += target.rng.randint(1, 1000)
    return states.store(target.run.workspace, json.dumps(state).encode(), run_id=target.run.id)


def _wiped(target: Target) -> bool:
    workspace = target.workspace
    had_one = workspace.serial is not None
    states.delete(workspace.name, run_id=target.run.id, fence=workspace.holder_fence or 0)
    return had_one


def _row_gone(target: Target) -> bool:
    version = _version(target)
    if version is not None:
        db.session.delete(version)
    return version is not None


def _set_back(target: Target) -> bool:
    """An older version is declared the current one."""
    workspace = target.workspace
    older = select(StateVersion.serial).where(
        StateVersion.workspace_id == workspace.id, StateVersion.serial < (workspace.serial or 0)
    )
    serials = db.session.scalars(older).all()
    if not serials:
        return False
    workspace.serial = target.rng.choice(serials)
    return True


def _rewritten(change: Callable[[Target, dict[str, Any]], None], target: Target) -> bool:
    """The current state says something else; its rows and its seal fit."""
    state, version, workspace = _state(target), _version(target), target.workspace
    if state is None or version is None:
        return False
    change(target, state)
    version.lineage, version.serial = workspace.lineage, workspace.serial = state["lineage"], state["serial"]
    _seal(target, version, json.dumps(state).encode())
    return True


def _seal(target: Target, version: StateVersion, content: bytes) -> None:
    version.digest = hashlib.sha256(content).hexdigest()
    version.sealed = seal(content, states._context(target.run.workspace, version.lineage, version.serial))


def _lineage(target: Target, state: dict[str, Any]) -> None:
    state["lineage"] = str(target.rng.random())


def _serial(target: Target, state: dict[str, Any]) -> None:
    state["serial"] += target.rng.randint(1, 1000)


def _content(target: Target, state: dict[str, Any]) -> None:
    state["resources"][0]["instances"][0]["attributes"]["id"] = str(target.rng.random())


def _bits(target: Target) -> bool:
    """Bits of the state itself flipped, and sealed again."""
    stored, version = states.latest(target.run.workspace), _version(target)
    if stored is None or version is None:
        return False
    _seal(target, version, bits(target, stored.content))
    return True


def _sealed_bits(target: Target) -> bool:
    version = _version(target)
    if version is not None:
        version.sealed = bits(target, version.sealed)
    return version is not None


KINDS: dict[str, Kind] = {
    "state: a newer one stored": _moved,
    "state: wiped": _wiped,
    "state: its row removed": _row_gone,
    "state: set back to an older one": _set_back,
    "state: another lineage": partial(_rewritten, _lineage),
    "state: another serial": partial(_rewritten, _serial),
    "state: another content, the same serial": partial(_rewritten, _content),
    "state: bits flipped": _bits,
    "state: sealed bits flipped": _sealed_bits,
}
