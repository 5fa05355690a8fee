"""The digest that binds an approval to one plan, and the summary an approver reads.

The digest covers the plan file, the module tree, the variables, the provider lock file and the state the plan was
made from, each with its length before it. It says "this very plan"; it is compared with the run's own row only.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

SHORT_GROUPS = 4
MOST_LISTED = 10
SIGNS = {"create": "+", "delete": "-", "update": "~", "replace": "±"}


@dataclass(frozen=True)
class PlanInputs:
    """Everything a plan depends on, as bytes."""

    plan: bytes
    module_version: str
    variables: bytes
    lock: bytes
    lineage: str
    serial: int


def digest_of(inputs: PlanInputs) -> str:
    """SHA-256 in hex over all inputs."""
    total = hashlib.sha256()
    state = f"{inputs.lineage}:{inputs.serial}"
    for part in (inputs.plan, inputs.module_version.encode(), inputs.variables, inputs.lock, state.encode()):
        total.update(len(part).to_bytes(8, "big"))
        total.update(part)
    return total.hexdigest()


def short(digest: str) -> str:
    """The first 16 digits in groups of four: what people compare."""
    return "-".join(digest[start : start + 4] for start in range(0, SHORT_GROUPS * 4, 4))


def action_of(change: dict[str, Any]) -> str:
    """One word for what Terraform would do with a resource: create, update, delete, replace, read, no-op."""
    actions = change.get("change", {}).get("actions", ["no-op"])
    return "replace" if {"create", "delete"} <= set(actions) else str(actions[0])


def summarise(plan_json: dict[str, Any]) -> dict[str, Any]:
    """Counts, whether it only creates, and a short list, one line a resource."""
    changes = [(action_of(c), str(c.get("address", ""))) for c in plan_json.get("resource_changes", [])]
    real = [(action, address) for action, address in changes if action in SIGNS]
    counts = {action: sum(1 for each, _ in real if each == action) for action in SIGNS}
    lines = [f"{SIGNS[action]} {address}" for action, address in real[:MOST_LISTED]]
    if len(real) > MOST_LISTED:
        lines.append(f"… {len(real) - MOST_LISTED} more")
    return {
        "add": counts["create"] + counts["replace"],
        "change": counts["update"],
        "destroy": counts["delete"] + counts["replace"],
        "summary": "\n".join(lines),
        "creates_only": counts["create"] == len(real),
        "outputs_change": any(
            output.get("actions") not in (None, ["no-op"]) for output in plan_json.get("output_changes", {}).values()
        ),
    }
