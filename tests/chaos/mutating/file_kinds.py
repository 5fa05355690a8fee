"""Ways to change the sealed files of an approved run: its plan, the plan people see, its variables, its lock file."""

import io
import json
import zipfile
from collections.abc import Callable
from functools import partial

from opsplatform.core.db import db
from opsplatform.runs import files
from opsplatform.runs.models import RunFile
from tests.chaos.mutating.target import Kind, Target, bits


def _rewritten(change: Callable[[Target, bytes], bytes | None], name: str, target: Target) -> bool:
    """Change a file and seal it again for its place; None takes it away."""
    before = files.fetch(target.run.id, name)
    if not before:
        return False
    after = change(target, before)
    if after is None:
        files.drop(target.run.id, name)
    else:
        files.keep(target.run.id, name, after)
    return after != before


def _cut(target: Target, content: bytes) -> bytes:
    return content[: target.rng.randint(1, len(content) - 1)] if len(content) > 1 else b""


def _longer(target: Target, content: bytes) -> bytes:
    return content + target.rng.randbytes(target.rng.randint(1, 64))


def _other(name: str, target: Target, _content: bytes) -> bytes:
    return files.fetch(target.another(), name) or b""


def _repacked(target: Target, content: bytes) -> bytes:
    """A plan file that is whole, with something else inside: all its checksums fit."""
    packed, into = zipfile.ZipFile(io.BytesIO(content)), io.BytesIO()
    chosen = target.rng.choice([info.filename for info in packed.infolist() if info.file_size])
    with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as rewritten:
        for info in packed.infolist():
            inside = packed.read(info)
            rewritten.writestr(info, bits(target, inside) if info.filename == chosen else inside)
    return into.getvalue()


def _older(target: Target, content: bytes) -> bytes:
    return target.stage.older_plan if target.run.id == target.stage.runs["new"] else content


def _value(target: Target, content: bytes) -> bytes:
    """Another value for one of the variables."""
    values = json.loads(content)
    values[target.rng.choice(sorted(values))] = f"changed-{target.rng.random()}"
    return json.dumps(values, separators=(",", ":"), sort_keys=True).encode()


def _spelling(_target: Target, content: bytes) -> bytes:
    """The same values in other bytes."""
    return json.dumps(json.loads(content), indent=1).encode()


def _one_more(target: Target, content: bytes) -> bytes:
    return json.dumps({**json.loads(content), f"more_{target.rng.randrange(10**6)}": 1}).encode()


def _one_less(target: Target, content: bytes) -> bytes:
    values = json.loads(content)
    values.pop(target.rng.choice(sorted(values)))
    return json.dumps(values).encode()


def _action(target: Target, content: bytes) -> bytes:
    """A plan that looks different to those who read it."""
    shown = json.loads(content)
    change = target.rng.choice(shown["resource_changes"])
    change["change"]["actions"] = target.rng.choice([["no-op"], ["delete"], ["delete", "create"], ["read"]])
    return json.dumps(shown, ensure_ascii=False).encode()


def _sealed_bits(name: str, target: Target) -> bool:
    row = db.session.get(RunFile, (target.run.id, name))
    if row is None or not files.fetch(target.run.id, name):
        return False
    row.sealed = bits(target, row.sealed)
    return True


def _sealed_other(name: str, target: Target) -> bool:
    """The file of another run as it is, sealed for its place and not for this one."""
    row = db.session.get(RunFile, (target.run.id, name))
    other = db.session.get(RunFile, (target.another(), name))
    if row is None or other is None or not files.fetch(target.run.id, name):
        return False
    row.sealed = other.sealed
    return True


FILES = {"plan": files.PLAN, "plan JSON": files.PLAN_JSON, "variables": files.VARIABLES, "lock file": files.LOCK}
ANY_FILE = {
    "bits flipped": bits,
    "cut short": _cut,
    "grown": _longer,
    "emptied": lambda _target, _content: b"",
    "removed": lambda _target, _content: None,
}
ONE_FILE = {
    "plan": {"repacked with other contents": _repacked, "an older one of the same run": _older},
    "plan JSON": {"another action shown": _action},
    "variables": {
        "another value": _value,
        "one more": _one_more,
        "one less": _one_less,
        "spelled otherwise": _spelling,
    },
    "lock file": {},
}
KINDS: dict[str, Kind] = {}
for _title, _name in FILES.items():
    for _how, _change in {**ANY_FILE, "of another run": partial(_other, _name), **ONE_FILE[_title]}.items():
        KINDS[f"{_title}: {_how}"] = partial(_rewritten, _change, _name)
    KINDS[f"{_title}: sealed bits flipped"] = partial(_sealed_bits, _name)
    KINDS[f"{_title}: of another run, as it was sealed there"] = partial(_sealed_other, _name)
