"""The digest that binds an approval to one plan, and the summary an approver reads.

The digest covers the plan file, the plan as people are shown it, the module tree, the variables, the provider lock
file, what is imported, and the state the plan was made from. It says "this very plan"; it is compared with the run's
own row only.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SHORT_GROUPS = 4
MOST_LISTED = 10
SIGNS = {"create": "+", "delete": "-", "update": "~", "replace": "±", "import": "←"}


@dataclass(frozen=True)
class PlanInputs:
    """Everything a plan depends on, as bytes."""

    plan: bytes
    plan_json: bytes
    module_version: str
    variables: bytes
    lock: bytes
    imports: bytes
    lineage: str
    serial: int
    state: bytes


def canonical(plan_json: Mapping[str, Any]) -> bytes:
    """A plan as JSON in the one way we write it: without the time of day, keys sorted."""
    timeless = {name: value for name, value in plan_json.items() if name != "timestamp"}
    return json.dumps(timeless, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def parts_of(inputs: PlanInputs) -> dict[str, str]:
    """SHA-256 in hex of each part, by the name people know it by; they can give a secret away, so they are sealed."""
    state = f"{inputs.lineage}:{inputs.serial}:".encode() + inputs.state
    parts = {
        "plan file": inputs.plan,
        "plan JSON": inputs.plan_json,
        "module": inputs.module_version.encode(),
        "variables": inputs.variables,
        "provider lock file": inputs.lock,
        "imports": inputs.imports,
        "state": state,
    }
    return {name: hashlib.sha256(part).hexdigest() for name, part in parts.items()}


def digest_of(parts: Mapping[str, str]) -> str:
    """SHA-256 in hex over all parts."""
    return hashlib.sha256("".join(parts.values()).encode()).hexdigest()


def difference(kept: Mapping[str, str], parts: Mapping[str, str]) -> list[str]:
    """The parts that are not as they were kept."""
    return [name for name, digest in parts.items() if kept.get(name, digest) != digest]


def short(digest: str) -> str:
    """The first 16 digits in groups of four: what people compare."""
    return "-".join(digest[start : start + 4] for start in range(0, SHORT_GROUPS * 4, 4))


def action_of(change: dict[str, Any]) -> str:
    """One word for what Terraform would do with a resource: create, update, delete, replace, import, read, no-op."""
    actions = change.get("change", {}).get("actions", ["no-op"])
    if {"create", "delete"} <= set(actions):
        return "replace"
    return "import" if actions == ["no-op"] and _imported(change) else str(actions[0])


def summarise(plan_json: dict[str, Any]) -> dict[str, Any]:
    """Counts, whether it only creates, and a short list, one line a resource."""
    changes = [(action_of(c), f"{c.get('address', '')}{_imported(c)}") for c in plan_json.get("resource_changes", [])]
    real = [(action, text) for action, text in changes if action in SIGNS]
    counts = {action: sum(1 for each, _ in real if each == action) for action in SIGNS}
    lines = [f"{SIGNS[action]} {text}" for action, text in real[:MOST_LISTED]]
    if len(real) > MOST_LISTED:
        lines.append(f"… {len(real) - MOST_LISTED} more")
    return {
        "add": counts["create"] + counts["replace"],
        "change": counts["update"],
        "destroy": counts["delete"] + counts["replace"],
        "imports": sum(1 for change in plan_json.get("resource_changes", []) if _imported(change)),
        "summary": "\n".join(lines),
        "creates_only": counts["create"] == len(real),
        "outputs_change": any(
            output.get("actions") not in (None, ["no-op"]) for output in plan_json.get("output_changes", {}).values()
        ),
    }


def _imported(change: dict[str, Any]) -> str:
    """What to say of a resource that is taken in under its id; empty of any other."""
    importing = change.get("change", {}).get("importing")
    return f" (imports {importing.get('id')})" if importing else ""
