"""What is there when everything has settled, and what of it is not as it would have been without a death."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from sqlalchemy import select

from opsplatform.approvals.models import Approval, InboxEvent
from opsplatform.core.db import db
from opsplatform.inventory.models import Resource
from opsplatform.notifications.models import Notice
from opsplatform.runs.models import Run, RunStatus, RunStep
from opsplatform.states.models import Workspace
from tests.chaos.crashing.scene import Scene

Ending = dict[str, Any]
# Between writing a comment and noting that it was written nobody can tell: it may be written twice.
COMMENT = "call: POST /v1.0/workflow/processInstances/comments after"
NOTED = "commit: notifications/tasks.py send before"


def look(scene: Scene) -> Ending:
    """Everything a judge wants to know, as plain values."""
    instance = scene.instance()
    with scene.looking():
        rows = {model.__name__: list(db.session.scalars(select(model).order_by(model.id))) for model in MODELS}
    return {
        "approvals": [each.status for each in rows["Approval"]],
        "events": dict(Counter(each.status for each in rows["InboxEvent"])),
        "runs": [_run(each, rows["RunStep"]) for each in rows["Run"]],
        "resources": [_resource(each) for each in rows["Resource"]],
        "workspaces": [[each.holder_run_id, each.lock_id, each.quarantined_reason] for each in rows["Workspace"]],
        "notices": {each.key: each.status for each in rows["Notice"]},
        "comments": dict(Counter(scene.simulator.comments(instance["instance_id"]) if instance else [])),
        "told": dict(Counter(each["text"] for each in scene.simulator.notifications() if not each["refused"])),
        "objects": [each["id"] for each in scene.cloud.objects() if _is_of(scene, each)],
        "creations": [
            [each["label"].partition("-")[0], each["attributes"]["name"]]
            for each in scene.cloud.ledger("create")
            if _is_of(scene, each["attributes"])
        ],
        "applies": _applies(scene),
        "folders": sorted(path.name for path in (scene.ground.data / "runs").glob("*")),
    }


# What a run may end as whose apply was interrupted, and why that is as good.
INSTEAD = (
    ([RunStatus.ERRORED], [RunStatus.CANCELED]),  # nobody wants it to go on
    ([RunStatus.PLANNED_AND_FINISHED], [RunStatus.APPLIED]),  # all was made, so the retry had nothing to do
)
MODELS = (Approval, InboxEvent, Run, RunStep, Resource, Workspace, Notice)


def broken(ending: Ending, clean: Ending, deadly: str) -> Iterator[str]:
    """Which promises were broken, in words."""
    if ending["approvals"] != clean["approvals"]:
        yield f"the approval is {ending['approvals']} and not {clean['approvals']}"
    yield from _of_runs(ending, clean)
    yield from _of_doubles(ending, deadly)
    yield from _of_leftovers(ending)
    yield from _of_people(ending, clean)


def comments_twice(ending: Ending) -> int:
    """How many comments were written more than once."""
    return sum(number - 1 for number in ending["comments"].values())


def _of_runs(ending: Ending, clean: Ending) -> Iterator[str]:
    last, last_of_clean = ending["runs"][-1:], clean["runs"][-1:]
    died_applying = any(run["died"] for run in ending["runs"])
    status, wanted = ([run["status"] for run in runs] for runs in (last, last_of_clean))
    if status != wanted and not (died_applying and (status, wanted) in INSTEAD):
        yield f"the last run is {status} and not {wanted}"
    if len(ending["runs"]) != len(clean["runs"]) and not died_applying:
        yield f"there are {len(ending['runs'])} runs and not {len(clean['runs'])}"
    active, wanted = _active(ending), _active(clean)
    if active != wanted and wanted and not (died_applying and last_of_clean[0]["status"] == RunStatus.CANCELED):
        yield f"on record are {active} and not {wanted}"
    for run in ending["runs"]:
        if "worker died" in (run["error"] or "") and not run["died"]:
            yield f"run {run['id']} was given up although it was not applied: {run['error']}"


def _of_doubles(ending: Ending, deadly: str) -> Iterator[str]:
    for what in ("applies", "creations"):
        twice = [each for each, number in Counter(map(str, ending[what])).items() if number > 1]
        if twice:
            yield f"done twice, {what}: {twice}"
    may_be_twice = deadly.startswith((COMMENT, NOTED))
    if comments_twice(ending) > may_be_twice:
        yield f"a comment stands there twice: {ending['comments']}"
    if any(number > 1 for number in ending["told"].values()):
        yield f"somebody was told twice: {ending['told']}"


def _of_leftovers(ending: Ending) -> Iterator[str]:
    known = Counter(each["provider_id"] for each in ending["resources"] if each["state"] != "destroyed")
    nameless = known.pop(None, 0)
    lost = [each for each in ending["objects"] if each not in known]
    if len(lost) > nameless:
        yield f"in the cloud and on no record: {lost}"
    if any(any(each) for each in ending["workspaces"]):
        yield f"the workspace is not free: {ending['workspaces']}"
    if ending["folders"]:
        yield f"left behind: {ending['folders']}"
    if set(ending["events"]) - {"done", "ignored"}:
        yield f"events wait: {ending['events']}"


def _of_people(ending: Ending, clean: Ending) -> Iterator[str]:
    unsent = [key for key, status in ending["notices"].items() if status != "sent"]
    if unsent:
        yield f"not told: {unsent}"
    comments, told = (sum(k.startswith(c) for k in ending["notices"]) for c in ("comment:", "work:"))
    gone = not ending["comments"] and clean["approvals"] == ["terminated"]
    if (len(ending["comments"]) < comments and not gone) or sum(ending["told"].values()) < told:
        yield f"said to be told and was not: {ending['notices']}, {ending['comments']}, {ending['told']}"
    same = len(ending["runs"]) == len(clean["runs"]) and not any(run["died"] for run in ending["runs"])
    if same and _keys(ending) != _keys(clean):
        yield f"told was {_keys(ending)} and not {_keys(clean)}"


def _keys(ending: Ending) -> list[str]:
    """The notices without the digests of plans, and runs by their order: a database may leave numbers out."""
    order = {str(run["id"]): f"run {number}" for number, run in enumerate(ending["runs"], 1)}
    words = (key.split(":") for key in ending["notices"])
    return sorted(f"{channel}:{order.get(row, '')}:{what}" for channel, _, row, what, *_ in words)


def _active(ending: Ending) -> list[str]:
    return sorted(each["address"] for each in ending["resources"] if each["state"] == "active")


def _run(run: Run, steps: list[RunStep]) -> dict[str, Any]:
    mine = [step.status for step in steps if step.run_id == run.id]
    died = RunStatus.APPLYING in mine and "worker died" in (run.error or "")
    return {"id": run.id, "status": run.status, "steps": mine, "error": run.error, "died": died}


def _resource(resource: Resource) -> dict[str, Any]:
    return {"address": resource.address, "state": resource.state, "provider_id": resource.provider_id}


def _is_of(scene: Scene, server: dict[str, Any]) -> bool:
    return server["name"] == scene.name or server["name"].startswith(f"{scene.name}-")


def _applies(scene: Scene) -> list[str]:
    record = scene.ground.applies
    return [line.partition("-")[0] for line in record.read_text().split()] if record.exists() else []
